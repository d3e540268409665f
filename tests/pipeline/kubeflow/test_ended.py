"""The task at the end of a run on Kubeflow tells people what the logs say, or that they cannot be read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import registry_api
import simulator
import yaml
from loopback import Api
from receivers import Script, http

from components.base.artifact_files import SUMMARY
from components.report.run_summary import Pushed, RunSummary, ServedModel
from pipeline import config
from pipeline.kubeflow import compiler, container, ended, gate_log, package, pods, server
from pipeline.stages import STAGES

IMAGE = "registry.example/imagegate@sha256:" + "0" * 64
HOOK = {"to": "webhook", "url_env": "HOOK", "secret_env": "SECRET"}
SECRETS = [
    {"secret": "people", "key": "url", "env": "HOOK"},
    {"secret": "people", "key": "secret", "env": "SECRET"},
    {"secret": "store", "key": "id", "env": "AWS_ACCESS_KEY_ID"},
]


def settings(folder: Path, **sections: Any) -> config.Config:
    told = {"name": "pets", "task": "single_label", "data": {"root": "/data/none"}, "push": {"destination": "/models"}}
    told |= {"notify": [HOOK], "kubeflow": {"image": IMAGE, "secrets": SECRETS}}
    (folder / "pets.yaml").write_text(yaml.safe_dump(told | sections))
    return config.load(str(folder / "pets.yaml"))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    script = Script()
    with http(script) as url:
        monkeypatch.setenv("HOOK", f"{url}/planted-token")
        monkeypatch.setenv("SECRET", "planted-secret")
        yield script


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The API as a pod of its namespace finds it, with a run that has ended."""
    api = Api()
    api.runs["run-1"] = {"run_id": "run-1", "display_name": "pets"}
    monkeypatch.setenv("ML_PIPELINE_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("ML_PIPELINE_SERVICE_PORT", str(api.server_port))
    yield api
    api.shutdown()
    api.server_close()


def tell(state: str, *on: str) -> None:
    recipients = [HOOK | ({"on": list(on)} if on else {})]
    ended.notify("pets", json.dumps(recipients), "run-1", {"state": state})


def message(script: Script) -> dict[str, Any]:
    [request] = script.seen
    found: dict[str, Any] = json.loads(request.body)
    return found


def log(capfd: pytest.CaptureFixture[str]) -> str:
    """What a pod's log holds, between the lines of others."""
    return f"I1231 launcher_v2.go:1] begins\n{capfd.readouterr().err}F1231 main.go:59] exit status\n"


def test_the_sentence_of_the_gate_that_refused_comes_from_its_log(
    script: Script, api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    container._fail("cat has 3 examples in train, expected 10\ndog has 2", 3)
    api.logs["birds-x1-ClassBalance"] = log(capfd)
    api.script = [("RUNNING", [("Stages", "FAILED"), ("ImageExampleGen", "SUCCEEDED"), ("ClassBalance", "FAILED")])]
    tell("FAILED", "refused")
    told = message(script)
    assert (told["events"], told["exit_code"], told["run_id"]) == (["refused"], 3, "run-1")
    assert told["reason"] == "cat has 3 examples in train, expected 10\ndog has 2"


def test_why_a_retried_stage_failed_comes_from_the_log_of_its_last_attempt(
    script: Script, api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    # Argo's identity of birds-x1.root.Stages.Trainer.executor, and of that with (0) and (1), by Go's hash/fnv.New32a.
    api.children = {
        "Trainer": ["birds-x1-3863217028"],
        "executor": ["birds-x1-847082095", "birds-x1-377455858"],
    }
    for node, reason in (("847082095", "the store is away"), ("377455858", "no GPU")):
        container._fail(reason, 1)
        api.logs[f"birds-x1-retry-system-container-impl-{node}"] = log(capfd)
    api.script = [("RUNNING", [("Stages", "FAILED"), ("Trainer", "FAILED"), ("executor", "FAILED")])]
    tell("FAILED")
    assert (message(script)["events"], message(script)["reason"]) == (["failed"], "no GPU")


def write_report(folder: Path, **values: object) -> str:
    served = ServedModel(version="7", metrics={"accuracy": 0.8})
    told = {"name": "pets", "task": "single_label", "metrics": {"accuracy": 0.9}, "baseline": served} | values
    (folder / SUMMARY).write_text(RunSummary.model_validate(told).to_json())
    return str(folder)


def test_a_push_is_told_with_the_metric_against_the_served_model(
    script: Script, api: Api, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended.record(write_report(tmp_path, status="pushed", exit_code=0, pushed=Pushed(path="/models/8", version="8")))
    api.logs["birds-x1-ModelGate"] = log(capfd)
    api.script = [("RUNNING", [("Pusher", "SUCCEEDED"), ("ModelGate", "SUCCEEDED"), ("Notify", "RUNNING")])]
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", api.url)  # an address that people can open, too
    tell("COMPLETE")
    told = message(script)
    assert (told["events"], told["version"], told["status"]) == (["pushed"], "8", "pushed")
    assert (told["metric"], told["value"], told["served_version"], told["served_value"]) == ("accuracy", 0.9, "7", 0.8)
    assert told["report"] == f"{api.url}/#/runs/details/run-1"


def test_a_refused_model_is_told_with_its_metric(
    script: Script, api: Api, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ended.record(write_report(tmp_path, status="not_blessed", exit_code=4, error="accuracy fell"))
    container._fail("accuracy fell", 4)
    api.logs["birds-x1-ModelGate"] = log(capfd)
    api.script = [("RUNNING", [("ModelGate", "FAILED")])]
    tell("FAILED")
    told = message(script)
    assert (told["events"], told["exit_code"], told["reason"], told["value"]) == (["refused"], 4, "accuracy fell", 0.9)


def test_a_run_without_anything_new_is_nothing_to_tell(
    script: Script, api: Api, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ended.record(write_report(tmp_path, status="up_to_date", exit_code=0))
    api.logs["birds-x1-ModelGate"] = log(capfd)
    api.script = [("RUNNING", [("ModelGate", "SUCCEEDED")])]
    tell("COMPLETE")
    assert script.seen == []


def run(identity: str, minute: int, state: str, pipeline: str = "p-1") -> dict[str, Any]:
    version = {"pipeline_id": pipeline, "pipeline_version_id": "v"}
    told = {"run_id": identity, "experiment_id": "e-1", "created_at": f"2026-01-05T03:{minute:02}:00Z"}
    return told | {"state": state, "pipeline_version_reference": version}


@pytest.mark.parametrize(
    ("before", "recovered"),
    [
        ([("SUCCEEDED", "p-1"), ("FAILED", "p-1")], True),
        ([("FAILED", "p-1"), ("SUCCEEDED", "p-1")], False),
        ([("FAILED", "p-1"), ("CANCELED", "p-1"), ("RUNNING", "p-1")], True),  # how these end says nothing
        ([("FAILED", "p-2")], False),  # of another pipeline in the same experiment
        ([], False),
    ],
)
def test_a_run_recovers_where_the_one_before_it_failed(
    script: Script,
    api: Api,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    before: list[tuple[str, str]],
    recovered: bool,
) -> None:
    api.experiments["e-1"] = {"experiment_id": "e-1"}
    earlier = {f"r-{i}": run(f"r-{i}", i, *one) for i, one in enumerate(before)}
    api.runs = {**earlier, "run-1": run("run-1", 30, "RUNNING"), "later": run("later", 40, "FAILED")}
    ended.record(write_report(tmp_path, status="up_to_date", exit_code=0))
    api.logs["birds-x1-ModelGate"] = log(capfd)
    api.script = [("RUNNING", [("ModelGate", "SUCCEEDED")])]
    tell("COMPLETE")
    assert [json.loads(request.body)["events"] for request in script.seen] == ([["recovered"]] if recovered else [])
    tell("FAILED")
    assert "recovered" not in json.loads(script.seen[-1].body)["events"]


def test_a_failure_is_found_behind_many_runs_of_other_pipelines(api: Api) -> None:
    """120 runs that were cancelled, of which a page holds 50, lie between; the failure is on the third page."""
    api.experiments["e-1"], api.page = {"experiment_id": "e-1"}, 50
    between = {f"r-{i}": run(f"r-{i}", 10, "CANCELED") for i in range(120)}
    api.runs = {"first": run("first", 1, "FAILED"), **between, "run-1": run("run-1", 30, "RUNNING")}
    client = server.connect(server.Server(api.url))
    assert ended._follows_a_failure(client, client.get_run("run-1"))


@pytest.mark.parametrize("last", ["begins\n", None])
def test_the_exit_code_is_that_of_the_last_attempt_or_unknown(api: Api, last: str | None) -> None:
    """The first attempt was refused by a gate, and the second was killed, with a log or without one."""
    api.children = {"Trainer": ["birds-x1-3863217028"], "executor": ["birds-x1-847082095", "birds-x1-377455858"]}
    api.logs["birds-x1-retry-system-container-impl-847082095"] = "imagegate: exit code 3\n"
    if last is not None:
        api.logs["birds-x1-retry-system-container-impl-377455858"] = last
    api.script = [("FAILED", [("Stages", "FAILED"), ("Trainer", "FAILED"), ("executor", "FAILED")])]
    client = server.connect(server.Server(api.url))
    latest = client.get_run("run-1")
    [trainer] = [task for task in latest.run_details.task_details if task.display_name == "Trainer"]
    assert gate_log.exit_code(client, latest, trainer) is None


@pytest.mark.parametrize(
    ("state", "events", "title"),
    [("FAILED", ["refused", "failed"], "why is unknown"), ("COMPLETE", ["pushed"], "whether a model was pushed")],
)
def test_where_no_log_can_be_read_the_status_is_told(
    script: Script, api: Api, state: str, events: list[str], title: str
) -> None:
    api.trouble[r"GET .*"] = (403, "forbidden")
    tell(state)
    told = message(script)
    assert told["events"] == events
    assert told["reason"].startswith(title)


@pytest.mark.parametrize(
    "written", ['{"exit_code": "3x"}', '{"exit_code": [1]}', '{"reason": 7}', "{not JSON}", '{"value": "high"}']
)
def test_what_another_release_wrote_into_a_log_is_no_obstacle(script: Script, api: Api, written: str) -> None:
    api.logs["birds-x1-ModelGate"] = f"imagegate: outcome {written}\n"
    api.script = [("RUNNING", [("ModelGate", "FAILED")])]
    tell("FAILED")
    assert message(script)["events"][-1] == "failed"


def test_a_key_of_a_later_release_is_left_out(script: Script, api: Api) -> None:
    api.logs["birds-x1-ModelGate"] = 'imagegate: outcome {"exit_code": 4, "reason": "low", "later": 1}\n'
    api.script = [("RUNNING", [("ModelGate", "FAILED")])]
    tell("FAILED")
    assert (message(script)["events"], message(script)["reason"]) == (["refused"], "low")


def test_an_api_that_is_not_there_is_no_obstacle(
    script: Script, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ML_PIPELINE_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("ML_PIPELINE_SERVICE_PORT", "9")
    script.answers = [404]
    tell("FAILED")
    assert len(script.seen) == 1
    assert capfd.readouterr().err == (
        "warning: what the tasks have to tell cannot be read: ServerError\n"
        "warning: notify: webhook (HOOK): not sent: the server answered 404\n"
    )


def test_a_pipeline_that_fails_in_its_first_task_tells_so_and_the_rest_is_skipped(
    script: Script, tmp_path: Path
) -> None:
    path = tmp_path / "pipeline.yaml"
    compiler.write(settings(tmp_path), str(path))
    backend = simulator.Backend(tmp_path / "backend", simulator.in_this_process)
    tasks = backend.run(path)
    statuses = {name: task.status for name, task in tasks.items()}
    assert (statuses.pop("Preflight"), statuses.pop("Notify")) == ("failed", "succeeded")
    assert set(statuses.values()) == {"skipped"}
    assert "data.root: /data/none does not exist" in tasks["Preflight"].log
    told = message(script)
    assert (told["name"], told["events"]) == ("pets", ["refused", "failed"])  # no API here to read the log through
    assert len(told["run_id"]) == 36


def test_the_specification_holds_names_of_variables_and_no_value(script: Script, tmp_path: Path) -> None:
    told = settings(tmp_path)
    spec, platform = compiler.compile(told)
    text = package.Package("pets", spec, platform).text
    assert "planted" not in text
    assert "HOOK" in text
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    given = {
        label: {entry["envVar"] for secret in pod.get("secretAsEnv", ()) for entry in secret["keyToEnv"]}
        for label, pod in executors.items()
    }
    assert given["Notify_executor"] == {"HOOK", "SECRET"}
    assert {frozenset(names) for label, names in given.items() if label != "Notify_executor"} == {
        frozenset(), frozenset({"AWS_ACCESS_KEY_ID"}),
    }  # fmt: skip


def test_the_task_runs_at_exit_of_all_others_which_stay_what_they_are(tmp_path: Path) -> None:
    with_it, _ = compiler.compile(settings(tmp_path))
    without, _ = compiler.compile(settings(tmp_path, notify=[]))
    outer = with_it["root"]["dag"]["tasks"]
    assert set(outer) == {"Stages", "Notify"}
    assert outer["Notify"]["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert outer["Notify"]["inputs"]["parameters"]["status"] == {"taskFinalStatus": {"producerTask": "Stages"}}
    inner = with_it["components"]["Stages"]["dag"]["tasks"]
    changed = {name for name, task in without["root"]["dag"]["tasks"].items() if inner[name] != task}
    assert changed <= {"ModelGate", "ModelReport"}  # the report is an input, and names the configuration
    assert set(inner) == set(without["root"]["dag"]["tasks"])
    tasks = package.Package("pets", with_it, {}).tasks
    assert set(tasks) == {*inner, "Notify"}
    assert set(tasks) <= {stage.name for stage in STAGES}


def test_what_pods_cannot_do_is_said_when_it_is_compiled(tmp_path: Path) -> None:
    told = settings(tmp_path, notify=[HOOK, {"to": "slack", "url_env": "SLACK"}], sinks={"mlflow": {}})
    notes = [note for note in pods.notes(told) if note.startswith(("notify", "sinks"))]
    assert notes == [
        "notify: no entry of kubeflow.secrets sets SLACK, so that it has to be set in the image",
        "sinks: no entry of kubeflow.secrets sets MLFLOW_TRACKING_URI, so that it has to be set in the image",
    ]


REGISTRY = {"model_registry": {"url_env": "REGISTRY", "token_env": "TOKEN"}}


def test_a_push_is_recorded_in_the_sinks_by_the_last_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    report = write_report(tmp_path, status="pushed", exit_code=0, pushed=Pushed(path="/models/8", version="8"))
    (tmp_path / "report.html").write_text("the page")
    with registry_api.running() as registry:
        monkeypatch.setenv("REGISTRY", registry.url)
        monkeypatch.setenv("TOKEN", "planted-token")
        told = settings(tmp_path, sinks=REGISTRY).sinks.to_json()
        ended.record(report, "pets", told, "run-1")
        [version] = registry.versions.values()
        assert version["name"] == "8"
        assert version["customProperties"]["imagegate.run_id"]["string_value"] == "run-1"
        assert version["customProperties"]["imagegate.report"]["string_value"] == str(tmp_path / "report.html")
        assert "warning" not in capfd.readouterr().err
        ended.record(report, "pets", told, "run-2")
    line = "warning: sinks: model registry (REGISTRY): not recorded: pets has a version 8 already\n"
    assert capfd.readouterr().err.endswith(line)


def test_only_the_last_task_gets_the_variables_of_the_sinks_and_the_specification_no_value(tmp_path: Path) -> None:
    entries = [{"secret": "registry", "key": key, "env": key.upper()} for key in ("registry", "token")]
    kubeflow = {"image": IMAGE, "secrets": [*SECRETS, *entries]}
    spec, platform = compiler.compile(settings(tmp_path, notify=[], sinks=REGISTRY, kubeflow=kubeflow))
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    given = {
        label: {entry["envVar"] for secret in pod.get("secretAsEnv", ()) for entry in secret["keyToEnv"]}
        for label, pod in executors.items()
    }
    assert given.pop("ModelGate_executor") == {"REGISTRY", "TOKEN"}
    assert {"REGISTRY", "TOKEN"}.isdisjoint(set().union(*given.values()))
    inputs = spec["root"]["dag"]["tasks"]["ModelGate"]["inputs"]
    assert "report" in inputs["artifacts"]
    assert set(inputs["parameters"]) == {"name", "sinks", "run"}
