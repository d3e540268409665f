"""Jobs on another machine, here another process with Beam's own job server: they are told, and end with the run."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from apache_beam.portability.api import beam_job_api_pb2 as job_api
from apache_beam.portability.api import beam_job_api_pb2_grpc as job_service

from pipeline import jobs

# In a process of its own, whose threads are Beam's workers and end with it.
_PROGRAM = """
import os, signal, sys, time
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from pipeline import jobs

def slow(element, begun):
    open(begun, "w").close()
    time.sleep(600)

def interrupt(*_):
    if os.path.exists(sys.argv[2]):
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise KeyboardInterrupt

told = PipelineOptions(["--runner=PortableRunner", "--job_endpoint=" + sys.argv[1], "--environment_type=LOOPBACK"])
with jobs.watched(print):
    with beam.Pipeline(options=told) as pipeline:
        _ = pipeline | beam.Create([1, 2]) | beam.Map(str)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = pipeline | beam.Create([1])
print(beam.Pipeline.run.__module__)
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
try:
    with jobs.watched(print), beam.Pipeline(options=told) as pipeline:
        _ = pipeline | beam.Create([1]) | beam.Map(slow, sys.argv[2])
except KeyboardInterrupt:
    print("interrupted", flush=True)
os._exit(0)
"""


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("jobs") / "port"
    command = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main", "--port_file", str(file)]
    with subprocess.Popen([*command, "-p", "0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(600):
                if file.exists() and file.read_text().strip():
                    break
                time.sleep(0.1)
            yield f"localhost:{file.read_text().strip()}"
        finally:
            server.kill()


def test_jobs_are_told_and_ctrl_c_cancels_the_one_that_still_runs(endpoint: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM, endpoint, str(tmp_path / "begun")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    sentence = rf"job \S+ on {endpoint}; its workers' messages are in the log of this run"
    assert re.fullmatch(sentence, lines[0])
    assert lines[1] == "apache_beam.pipeline"  # as it was; the job of this process was not told
    assert re.fullmatch(sentence, lines[2])
    assert lines[3:] == ["interrupted"]
    with grpc.insecure_channel(endpoint) as channel:
        found = job_service.JobServiceStub(channel).GetJobs(job_api.GetJobsRequest()).job_info
    assert sorted(job_api.JobState.Enum.Name(one.state) for one in found) == ["CANCELLED", "DONE"]


class DataflowPipelineResult:
    def job_id(self) -> str:
        return "2026-1"


class PipelineResult:
    _job_id = "7"


def test_a_dataflow_job_is_named_by_its_page() -> None:
    page = "https://console.cloud.google.com/dataflow/jobs/europe-west4/2026-1?project=p"
    found = jobs.described(DataflowPipelineResult(), {"project": "p", "region": "europe-west4"})
    assert found == f"job 2026-1: {page}, which has its workers' logs"


@pytest.mark.parametrize(
    ("told", "place", "logs"),
    [
        ({"flink_master": "a:8081"}, "a:8081", "the logs of Flink's task managers"),
        ({"spark_master_url": "spark://a:7077"}, "spark://a:7077", "the logs of Spark's executors"),
        ({"job_endpoint": "a:8099", "environment_type": "DOCKER"}, "a:8099", "the log of the engine"),
        (
            {"job_endpoint": "a:8099", "environment_type": "EXTERNAL", "environment_config": "localhost:50000"},
            "a:8099",
            "the output of the worker pool at localhost:50000",
        ),
    ],
)
def test_a_job_is_named_with_its_place_and_that_of_its_workers_logs(
    told: dict[str, str], place: str, logs: str
) -> None:
    assert jobs.described(PipelineResult(), told) == f"job 7 on {place}; its workers' messages are in {logs}"


def test_what_runs_in_this_process_is_not_named() -> None:
    assert jobs.described(object(), {}) == ""


# A process whose only step ends it, as the kernel does where memory is short.
_KILLED = """
import os, signal
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from pipeline import jobs

def die(element):
    os.kill(os.getpid(), signal.SIGKILL)

told = PipelineOptions(["--runner=apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner",
                        "--direct_running_mode=multi_processing", "--direct_num_workers=2"])
try:
    with jobs.watched(print), beam.Pipeline(options=told) as pipeline:
        _ = pipeline | beam.Create([1, 2]) | beam.Reshuffle() | beam.Map(die)
except jobs.WorkerLost as lost:
    print(lost)
"""


def test_a_worker_process_that_is_killed_ends_the_run_with_one_sentence() -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED], stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    assert re.fullmatch("a worker process of Beam ended .*; nothing of this stage is used, and .*\n", done.stdout)
