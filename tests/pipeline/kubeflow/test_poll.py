"""`schedule --on-change` on a server: the task that recurs starts a run where enough is new, and only then."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import signing_keys
import simulator
import yaml
from loopback import Api

from components.push import versions
from components.push.manifest import PushedManifest
from pipeline import cli, config
from pipeline.commands import remote
from pipeline.kubeflow import compiler
from pipeline.kubeflow.package import Package
from pipeline.kubeflow.polling import poll as schedule_task

IMAGE = "registry.example/imagegate@sha256:" + "0" * 64
Poll = Callable[[], str]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The API, which a pod of its namespace finds."""
    for name in ("KF_PIPELINES_ENDPOINT", "KFP_NAMESPACE", "KFP_EXISTING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    server = Api()
    monkeypatch.setenv("ML_PIPELINE_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("ML_PIPELINE_SERVICE_PORT", str(server.server_port))
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "pets.yaml"
    told = {"name": "pets", "task": "single_label", "data": {"root": "data"}, "push": {"destination": "models"}}
    secrets = [{"secret": "api", "key": "url", "env": "KF_PIPELINES_ENDPOINT"}]
    path.write_text(yaml.safe_dump(told | {"kubeflow": {"image": IMAGE, "secrets": secrets}}))
    add(tmp_path, 2)
    return path


def add(folder: Path, count: int) -> None:
    """Adds images, of which only the listing is read."""
    label = folder / "data" / "cat"
    label.mkdir(parents=True, exist_ok=True)
    there = len(list(label.iterdir()))
    for i in range(there, there + count):
        (label / f"{i}.png").write_bytes(b"no image")


@pytest.fixture
def poll(api: Api, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Poll:
    """Schedules a pipeline of one stage; returns what runs the pipeline that recurs, and returns the end of its log."""
    trainer = {"taskInfo": {"name": "Trainer"}, "componentRef": {"name": "Trainer"}}
    spec = {
        "pipelineInfo": {"name": "pets"},
        "schemaVersion": "2.1.0",
        "components": {"Trainer": {"executorLabel": "trainer"}},
        "deploymentSpec": {"executors": {"trainer": {"container": {"image": IMAGE, "command": ["true"]}}}},
        "root": {"dag": {"tasks": {"Trainer": trainer}}},
    }
    monkeypatch.setattr(remote, "_package", lambda _: Package("pets", spec, {}))
    assert cli.main(["schedule", str(project), "--on-change", "--min-new", "3", "--host", api.url]) == 0
    [recurring] = api.recurringruns.values()
    path = tmp_path / "poll.yaml"
    path.write_text(api.uploaded[recurring["pipeline_version_reference"]["pipeline_version_id"]])
    backend = simulator.Backend(tmp_path / "backend", simulator.in_this_process)

    def run() -> str:
        [task] = backend.run(path).values()
        lines = [line for line in task.log.splitlines() if line]
        assert task.status == "succeeded", lines
        return lines[-1]

    return run


def test_the_pipeline_that_recurs_has_one_task_and_starts_the_version_that_was_compiled(
    api: Api, poll: Poll, project: Path
) -> None:
    [recurring] = api.recurringruns.values()
    assert (recurring["display_name"], recurring["trigger"]["cron_schedule"]["cron"]) == ("pets", "0 0 * * * *")
    assert {pipeline["display_name"] for pipeline in api.pipelines.values()} == {"pets", "pets on change"}
    assert poll().startswith("started run run-")
    [run] = api.runs.values()
    version = api.versions[run["pipeline_version_reference"]["pipeline_version_id"]]
    assert "Trainer" in version["pipeline_spec"]["components"]
    # The polls have an experiment of their own, and the runs that they start that of all runs.
    named = [api.experiments[one["experiment_id"]]["display_name"] for one in (recurring, run)]
    assert named == ["pets on change", "pets"]
    capsys_code = cli.main(["schedule", str(project), "--delete", "--host", api.url])
    assert (capsys_code, api.recurringruns) == (0, {})


def test_a_run_is_started_where_enough_is_new_since_the_run_before(api: Api, poll: Poll, tmp_path: Path) -> None:
    assert poll().startswith("started run")
    api.script = [("RUNNING", [])]
    add(tmp_path, 3)
    assert poll() == f"the run {next(iter(api.runs))} continues: nothing to do"
    api.script = [("SUCCEEDED", [])]
    assert poll().startswith("started run")  # three are new since the first run began
    assert len(api.runs) == 2
    assert poll() == "unchanged, nothing to do"
    add(tmp_path, 2)
    assert poll().startswith("images: 2 new or changed, 0 gone or changed; fewer than 3 are new")
    add(tmp_path, 1)
    assert poll().startswith("started run")
    assert len(api.runs) == 3


@pytest.mark.parametrize(
    ("code", "served", "again"),
    [(3, False, False), (4, False, False), (4, True, True), (1, False, True), (None, False, True)],
)
def test_only_a_run_that_was_judged_is_not_repeated(
    api: Api, poll: Poll, tmp_path: Path, code: int | None, served: bool, again: bool
) -> None:
    """A refusal by the model gate is repeated where another version came to be served meanwhile."""
    assert poll().startswith("started run")
    api.script = [("FAILED", [("ClassBalance", "FAILED")])]
    api.logs["birds-x1-ClassBalance"] = "" if code is None else f"imagegate: exit code {code}\n"
    if served:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "saved_model.pb").write_text("a")
        versions.push(str(tmp_path / "model"), str(tmp_path / "models"), PushedManifest(name="pets"))
    last = poll()
    assert (last.startswith("started run"), len(api.runs)) == (again, 2 if again else 1)
    assert again or last == "unchanged, nothing to do"


def test_images_that_were_written_just_before_the_listing_are_not_new_later(
    api: Api, poll: Poll, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the last two seconds is no proof that it is unchanged; the next listing, it is."""
    add(tmp_path, 3)
    ahead = time.time_ns() + 60_000_000_000
    monkeypatch.setattr("components.base.proof.time.time_ns", lambda: ahead - 60_000_000_000)  # within these seconds
    assert poll().startswith("started run")
    monkeypatch.setattr("components.base.proof.time.time_ns", lambda: ahead)
    assert poll() == "unchanged, nothing to do"


def test_where_the_state_cannot_be_written_no_run_is_started(api: Api, poll: Poll, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("no folder")
    for _ in range(2):
        with pytest.raises(AssertionError, match="models"):
            poll()
    assert api.runs == {}


def test_a_run_that_was_started_without_a_note_is_waited_for(api: Api, poll: Poll, tmp_path: Path) -> None:
    """The poll was killed between the start and the note of it; or somebody else has submitted the pipeline."""
    assert poll().startswith("started run")
    state = tmp_path / "models" / ".imagegate-schedule" / "started.json"
    state.write_text("{}")
    assert poll() == f"the run {next(iter(api.runs))} continues: nothing to do"
    assert len(api.runs) == 1


@pytest.mark.parametrize("content", ["", "[]", "{", '{"run": 7, "served": ""}', '{"run": "run-1"}', "7", "null"])
def test_a_damaged_note_of_the_run_is_none(api: Api, poll: Poll, tmp_path: Path, content: str) -> None:
    assert poll().startswith("started run")
    next(iter(api.runs.values()))["state"] = "FAILED"
    (tmp_path / "models" / ".imagegate-schedule" / "started.json").write_text(content)
    assert poll().startswith("started run")


def test_the_list_says_that_the_state_is_that_of_the_check(
    api: Api, poll: Poll, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [recurring] = api.recurringruns.values()
    api.new(
        "runs",
        "run_id",
        {"experiment_id": recurring["experiment_id"], "recurring_run_id": recurring["recurring_run_id"]}
        | {"display_name": "poll", "state": "SUCCEEDED"},
    )
    capsys.readouterr()
    assert cli.main(["schedule", str(project), "--list", "--host", api.url]) == 0
    assert "SUCCEEDED (the check)" in capsys.readouterr().out


def test_only_versions_that_a_key_signed_are_served(project: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_text("a")
    pushed = versions.push(str(tmp_path / "model"), str(tmp_path / "models"), PushedManifest(name="pets"))
    assert schedule_task._served(config.load(str(project))) == pushed.version
    signing_keys.write(tmp_path, "key")
    told = yaml.safe_load(project.read_text())
    told["push"] |= {"sign": {"key": "key.pem"}, "verify": {"keys": ["key.pub"]}}
    project.write_text(yaml.safe_dump(told))
    assert schedule_task._served(config.load(str(project))) == ""  # nobody has signed it


def test_a_run_that_somebody_removed_is_repeated(api: Api, poll: Poll) -> None:
    poll()
    api.runs.clear()
    assert poll().startswith("started run")


def test_without_an_api_the_task_fails_with_a_sentence(api: Api, poll: Poll, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ML_PIPELINE_SERVICE_HOST")
    with pytest.raises(AssertionError, match="the API that starts the run is not in this pod's namespace; set KF_"):
        poll()


def test_data_that_cannot_be_listed_fail_the_task(api: Api, poll: Poll, tmp_path: Path) -> None:
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    with pytest.raises(AssertionError, match=r"data\.root: .* cannot be listed; imagegate check says why"):
        poll()
    assert api.runs == {}


def test_the_pod_gets_the_data_the_destination_and_the_way_to_the_api(project: Path) -> None:
    started = {"experiment": "e", "pipeline": "p", "version": "v", "name": "n", "root": None, "values": {"epochs": 3}}
    spec, platform = compiler.compile_poll(config.load(str(project)), started, 3, 7.0)
    pod: dict[str, Any] = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["OnChange_executor"]
    assert [one["keyToEnv"][0]["envVar"] for one in pod["secretAsEnv"]] == ["KF_PIPELINES_ENDPOINT"]
    told = spec["root"]["dag"]["tasks"]["OnChange"]
    assert told["cachingOptions"] == {}
    assert json.loads(told["inputs"]["parameters"]["submission"]["runtimeValue"]["constant"]) == started
