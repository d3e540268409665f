"""What Dataflow is asked to do, by a service on this machine that takes the jobs and does them; see `service`."""

import _thread
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import yaml
from apache_beam.internal.gcp import auth
from apache_beam.options.pipeline_options import PipelineOptions
from projects import Project, write_tiny

from engines import outcomes
from engines.dataflow import service
from engines.dataflow.service import Job, Service
from pipeline import cli, config, jobs
from pipeline.config import beam as beam_options
from pipeline.runs import preflight

PAGE = (Path(__file__).parents[3] / "docs" / "scaling.md").read_text(encoding="utf-8")
BUCKET, PROJECT, REGION = "pictures", "a-project", "europe-west4"
IMAGE = "europe-west4-docker.pkg.dev/a-project/images/imagegate@sha256:" + "0" * 64
OPTIONS = [
    "--runner=DataflowRunner",
    f"--project={PROJECT}",
    f"--region={REGION}",
    f"--temp_location=gs://{BUCKET}/temp",
    f"--staging_location=gs://{BUCKET}/staging",
    f"--sdk_container_image={IMAGE}",
    "--machine_type=n2-standard-4",
    "--num_workers=3",
    "--max_num_workers=20",
    "--disk_size_gb=50",
    f"--subnetwork=regions/{REGION}/subnetworks/private",
    "--no_use_public_ips",
    "--service_account_email=worker@a-project.iam.gserviceaccount.com",
    "--labels=team=birds",
    "--experiments=no_use_multiple_sdk_containers",
    "--dataflow_service_options=enable_image_streaming",
]
OWN_LIMIT = 1 << 20  # bytes; a tenth of Dataflow's


@pytest.fixture
def dataflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """The service; this process has an account of nobody, as Google's libraries take it from the environment."""
    with service.served(BUCKET) as found:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service.account(tmp_path, found.url)))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", found.url)
        monkeypatch.setenv("NO_PROXY", "localhost")
        # Beam keeps the account for the whole process.
        monkeypatch.setattr(auth._Credentials, "_credentials", None)
        monkeypatch.setattr(auth._Credentials, "_credentials_init", False)
        yield found


@pytest.fixture
def run(dataflow: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """`run(project)` runs on Dataflow, in this process, and returns the summary."""
    # The real workers see no folder of this machine, so that these options are refused. Those of the service do.
    monkeypatch.setattr(preflight.beam, "check", lambda _: [])
    told = [*OPTIONS, f"--dataflow_endpoint={dataflow.url}"]

    def run_there(project: Project, *overrides: str) -> dict[str, Any]:
        there = f"beam={json.dumps(told)}", f"output.folder={project.folder / 'dataflow'}"
        return project.run(*there, f"push.destination={tmp_path / 'served'}", *overrides)

    return run_there


def assert_as_the_user_says(job: Job) -> None:
    environment, pool = job.request["environment"], job.pool
    assert (job.project, job.region) == (PROJECT, REGION)
    assert pool["workerHarnessContainerImage"] == IMAGE
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE]
    assert (pool["machineType"], pool["diskSizeGb"]) == ("n2-standard-4", 50)
    assert (pool["numWorkers"], pool["autoscalingSettings"]["maxNumWorkers"]) == (3, 20)
    assert pool["subnetwork"] == f"regions/{REGION}/subnetworks/private"
    assert pool["ipConfiguration"] in (2, "WORKER_IP_PRIVATE")
    assert environment["tempStoragePrefix"].startswith(f"storage.googleapis.com/{BUCKET}/temp/")
    assert environment["serviceAccountEmail"] == "worker@a-project.iam.gserviceaccount.com"
    assert environment["serviceOptions"] == ["enable_image_streaming"]
    assert "no_use_multiple_sdk_containers" in environment["experiments"]
    assert "use_multiple_sdk_containers" not in environment["experiments"]
    assert job.request["labels"]["team"] == "birds"
    # Nothing is installed on the workers: Beam stages a list of the packages here, and the graph.
    [package] = pool["packages"]
    assert package["name"] == "submission_environment_dependencies.txt"
    assert package["location"].startswith(f"storage.googleapis.com/{BUCKET}/staging/")
    assert job.size < OWN_LIMIT < service.LIMIT
    assert len(job.graph) < OWN_LIMIT


@pytest.mark.end_to_end
def test_ingest_and_statistics_are_submitted_as_the_user_says(
    dataflow: Service, run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    summary = run(write_tiny(tmp_path / "project"), "balance.min_examples=31")  # of 30 images of each label
    assert summary["status"] == "data_rejected", summary["error"]
    ingest, statistics = dataflow.jobs.values()
    assert (ingest.state, statistics.state) == ("JOB_STATE_DONE", "JOB_STATE_DONE")
    assert "WriteShard" in ingest.steps
    assert "GenerateStatistics[train]" in statistics.steps
    for job in (ingest, statistics):
        assert_as_the_user_says(job)
    places = {path.rpartition("/")[0] for path in dataflow.objects}
    assert len(places) == 2, "each job stages to a folder of its own"


@pytest.mark.slow
@pytest.mark.end_to_end
@pytest.mark.parametrize("task", outcomes.TASKS)
def test_all_stages_are_submitted_and_the_graphs_give_the_results_of_the_default_runner(
    task: str, dataflow: Service, run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    project = outcomes.project(tmp_path / "project", task)
    expected = outcomes.run(project, "default")
    summary = run(project, *outcomes.QUICK)
    assert summary["status"] == "pushed", summary["error"]
    found = [job.steps for job in dataflow.jobs.values()]
    for step, steps in zip(
        ("WriteShard", "GenerateStatistics[train]", "Analyze", "ExtractEvaluateAndWriteResults"), found, strict=True
    ):
        assert step in steps
    for job in dataflow.jobs.values():
        assert_as_the_user_says(job)
        print(f"{task}: {job.steps[0]}: request {job.size:,} bytes, graph {len(job.graph):,} bytes")
    assert outcomes.differences(expected, outcomes.read(project, "dataflow")) == []


def test_a_job_is_named_once_and_ctrl_c_cancels_it(dataflow: Service) -> None:
    dataflow.works = False
    said: list[str] = []

    def interrupt() -> None:
        while not dataflow.jobs or not said:
            time.sleep(0.05)
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    options = PipelineOptions([*OPTIONS, f"--dataflow_endpoint={dataflow.url}"])
    with pytest.raises(KeyboardInterrupt), jobs.watched(said.append), beam.Pipeline(options=options) as pipeline:
        _ = pipeline | beam.Create([1]) | beam.Map(str)
    for thread in threading.enumerate():  # Beam looks after the job every five seconds, until it is over
        if "poll_for_job_completion" in thread.name:
            thread.join(30)
    [(identity, job)] = dataflow.jobs.items()
    assert job.requested == ["JOB_STATE_CANCELLED"]
    page = f"https://console.cloud.google.com/dataflow/jobs/{REGION}/{identity}?project={PROJECT}"
    assert said == [f"job {identity}: {page}, which has its workers' logs"]


def test_pods_get_the_options_as_they_are_written(tmp_path: Path) -> None:
    told = {"name": "pets", "task": "single_label", "data": {"root": f"gs://{BUCKET}/pets"}, "beam": OPTIONS}
    told |= {"push": {"destination": f"gs://{BUCKET}/served"}, "kubeflow": {"image": IMAGE}}
    (tmp_path / "pets.yaml").write_text(yaml.safe_dump(told))
    assert cli.main(["compile", str(tmp_path / "pets.yaml"), "-o", str(tmp_path / "compiled.yaml")]) == 0
    spec = next(yaml.safe_load_all((tmp_path / "compiled.yaml").read_text()))
    for stage in outcomes.ON_ENGINE:
        label = spec["components"][spec["root"]["dag"]["tasks"][stage]["componentRef"]["name"]]["executorLabel"]
        arguments = spec["deploymentSpec"]["executors"][label]["container"]["args"]
        assert [one for one in arguments if one in OPTIONS] == OPTIONS


def test_the_options_of_the_page_are_accepted_and_mean_what_it_says(tmp_path: Path) -> None:
    [block] = [text for text in PAGE.split("```yaml\n") if "--runner=DataflowRunner" in text]
    told = yaml.safe_load(block.partition("```")[0])
    told = {"name": "pets", "task": "single_label", "push": {"destination": "served"}} | told
    loaded = config.validated(told | {"folder": str(tmp_path)})
    notes = beam_options.check(loaded, here=False)
    assert not [note for note in notes if "does not know" in note or "no effect" in note]
    # Nothing replaces the user's image, and nothing is packed for the workers.
    assert beam_options.passed(loaded.beam) == list(loaded.beam)
