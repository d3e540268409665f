"""Jobs on another machine, here another process with Beam's own job server: they are told, and end with the run."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import apache_beam as beam
import grpc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_job_api_pb2 as job_api
from apache_beam.portability.api import beam_job_api_pb2_grpc as job_service
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from pipeline import jobs


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("jobs") / "port"
    command = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main", "--port_file", str(file)]
    with subprocess.Popen([*command, "-p", "0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(300):
                if file.exists() and file.read_text().strip():
                    break
                time.sleep(0.1)
            yield f"localhost:{file.read_text().strip()}"
        finally:
            server.kill()


def options(endpoint: str) -> PipelineOptions:
    return PipelineOptions(["--runner=PortableRunner", f"--job_endpoint={endpoint}", "--environment_type=LOOPBACK"])


def states(endpoint: str) -> list[str]:
    with grpc.insecure_channel(endpoint) as channel:
        found = job_service.JobServiceStub(channel).GetJobs(job_api.GetJobsRequest()).job_info
    return [job_api.JobState.Enum.Name(one.state) for one in found]


def test_a_job_is_told_and_one_of_this_process_is_not(endpoint: str) -> None:
    told: list[str] = []
    with jobs.watched(told.append):
        with beam.Pipeline(options=options(endpoint)) as pipeline:
            _ = pipeline | beam.Create([1, 2]) | beam.Map(str)
        with beam.Pipeline(runner=FnApiRunner()) as pipeline:
            _ = pipeline | beam.Create([1])
    [sentence] = told
    assert re.fullmatch(
        rf"job \S+ on {endpoint}; its workers' messages are in the logs of the environment that it starts", sentence
    )
    assert beam.Pipeline.run.__module__ == "apache_beam.pipeline"  # as it was


def slow(element: int, file: str) -> int:
    Path(file).touch()
    time.sleep(600)
    return element


def test_ctrl_c_cancels_a_job_that_still_runs(endpoint: str, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def interrupt(_: int, __: FrameType | None) -> None:
        if begun.exists():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
    try:
        with (
            pytest.raises(KeyboardInterrupt),
            jobs.watched(lambda _: None),
            beam.Pipeline(options=options(endpoint)) as pipeline,
        ):
            _ = pipeline | beam.Create([1]) | beam.Map(slow, str(begun))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert states(endpoint)[-1] in ("CANCELLED", "CANCELLING")


def test_a_dataflow_job_is_named_by_its_page() -> None:
    class DataflowPipelineResult:
        def job_id(self) -> str:
            return "2026-1"

    told = PipelineOptions(["--project=p", "--region=europe-west4"])
    page = "https://console.cloud.google.com/dataflow/jobs/europe-west4/2026-1?project=p"
    assert jobs.described(DataflowPipelineResult(), told) == f"job 2026-1: {page}, which has its workers' logs"
