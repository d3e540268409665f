"""Runs and schedules on a Kubeflow Pipelines API that takes nothing that the real one would not; see `loopback`."""

import datetime
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback import Api

from components.base.errors import ConfigError, ImagegateError
from pipeline import cli
from pipeline.commands import remote
from pipeline.kubeflow import api_errors, follow, schedule, server, submit
from pipeline.kubeflow.package import Package, parameters

TOKEN = "eyJhbGciOi.secret"
OK = [(name, "SUCCEEDED") for name in ("ImageExampleGen", "ClassBalance", "Trainer", "ModelGate")]
Call = Callable[..., tuple[int, str, str]]
# As kfp's compiler names tasks -> as stages are called.
STAGES = {"ingest": "ImageExampleGen", "judge": "ClassBalance", "train": "Trainer", "gate": "ModelGate"}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's environment or home folder; and Google's ways in, which must not be taken."""
    for name in ("KF_PIPELINES_ENDPOINT", "KFP_NAMESPACE", "KFP_EXISTING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KF_PIPELINES_IAP_OAUTH2_CLIENT_ID", "kfp would ask Google for a token")


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Four stages in a row, with one parameter of each type, compiled by kfp and called as ours are."""
    from kfp import compiler, dsl

    def stage(name: str) -> Any:
        def make():  # type: ignore[no-untyped-def]
            return dsl.ContainerSpec(image="busybox", command=["true"])

        make.__name__ = name
        return dsl.container_component(make)

    @dsl.pipeline(name="birds")
    def birds(
        data_root: str = "s3://bucket/birds",
        epochs: int = 3,
        rate: float = 0.5,
        augment: bool = True,
        names: list = [],  # noqa: B006  kfp reads it, nobody changes it
        weights: dict = {},  # noqa: B006
    ) -> None:
        before: list[Any] = []
        for name in STAGES:
            before = [stage(name)().after(*before)]

    path = tmp_path_factory.mktemp("compiled") / "birds.yaml"
    compiler.Compiler().compile(birds, str(path))
    spec = yaml.safe_load(path.read_text())
    tasks = spec["root"]["dag"]["tasks"]
    for task in tasks.values():
        if "dependentTasks" in task:
            task["dependentTasks"] = [STAGES[name] for name in task["dependentTasks"]]
    spec["root"]["dag"]["tasks"] = {STAGES[name]: task for name, task in tasks.items()}
    return Package("birds", spec, {}, "minio://bucket/root")


@pytest.fixture
def call(tmp_path: Path, package: Package, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """`call("submit", …)`: the command on a configuration whose compiled pipeline is `package`."""
    path = tmp_path / "imagegate.yaml"
    path.write_text("name: birds\ntask: single_label\ndata: {root: data}\npush: {destination: models}\n")
    monkeypatch.setattr(remote, "_package", lambda _: package)

    def run(command: str, *arguments: str) -> tuple[int, str, str]:
        code = cli.main([command, str(path), *arguments])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow.follow, "__kwdefaults__", {"pause": 0.01})


def only(items: dict[str, dict[str, object]]) -> dict[str, object]:
    [item] = items.values()
    return item


def test_submit_starts_a_run_of_a_new_version(api: Api, call: Call, package: Package) -> None:
    code, out, err = call("submit", "--host", api.url + "/", "--param", "epochs=7")
    run, pipeline, version = only(api.runs), only(api.pipelines), only(api.versions)
    assert (code, err) == (0, "")
    assert out == f"submitted run {run['run_id']}: {api.url}/#/runs/details/{run['run_id']}\n"
    assert (pipeline["display_name"], only(api.experiments)["display_name"]) == ("birds", "birds")
    assert version["pipeline_spec"] == package.spec
    assert run["pipeline_version_reference"] == {
        "pipeline_id": pipeline["pipeline_id"],
        "pipeline_version_id": version["pipeline_version_id"],
    }
    assert run["runtime_config"] == {"parameters": {"epochs": 7}, "pipeline_root": "minio://bucket/root"}
    assert run["display_name"] == f"birds {version['display_name']}"


def test_a_second_run_is_another_version_of_the_same_pipeline(api: Api, call: Call) -> None:
    assert call("submit", "--host", api.url)[0] == 0
    assert call("submit", "--host", api.url)[0] == 0
    assert (len(api.pipelines), len(api.experiments), len(api.versions), len(api.runs)) == (1, 1, 2, 2)


def test_a_version_is_named_by_time_and_content(package: Package) -> None:
    day = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d-")
    other = Package("birds", {**package.spec, "defaultPipelineRoot": "minio://x/y"}, {})
    assert package.version().startswith(day)
    assert package.version()[-8:] == package.version()[-8:] != other.version()[-8:]


def test_the_platform_is_the_second_document(api: Api, package: Package) -> None:
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-train": {}}}}}}
    to = server.Server(api.url)
    client = server.connect(to)
    submit.submit(client, to, Package("birds", package.spec, platform), {})
    [uploaded] = api.bodies("POST", "/pipelines/upload_version")
    assert list(yaml.safe_load_all(uploaded)) == [package.spec, platform]
    assert "pipeline_root" not in only(api.runs)["runtime_config"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("data_root=s3://a=b", {"data_root": "s3://a=b"}),
        ("data_root=", {"data_root": ""}),
        ("epochs=12", {"epochs": 12}),
        ("rate=0.25", {"rate": 0.25}),
        ("rate=2", {"rate": 2}),
        ("augment=false", {"augment": False}),
        ('names=["cat"]', {"names": ["cat"]}),
        ('weights={"cat": 2.0}', {"weights": {"cat": 2.0}}),
    ],
)
def test_parameters_are_typed_as_declared(package: Package, given: str, expected: dict[str, object]) -> None:
    assert parameters(package.spec, [given]) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "epoch=3",
            "--param epoch=3: expected NAME=VALUE; the pipeline's parameters: augment, data_root, epochs, names, rate",
        ),
        ("epochs", "--param epochs: expected NAME=VALUE; the pipeline's parameters: augment"),
        ("epochs=x", "--param epochs=x: expected a whole number"),
        ("epochs=1.5", "--param epochs=1.5: expected a whole number"),
        ("epochs=true", "--param epochs=true: expected a whole number"),
        ("augment=1", "--param augment=1: expected true or false"),
        ("names={}", "--param names={}: expected a JSON list"),
        ("weights=[]", "--param weights=[]: expected a JSON struct"),
    ],
)
def test_wrong_parameters_exit_with_2_and_upload_nothing(api: Api, call: Call, given: str, message: str) -> None:
    code, out, err = call("submit", "--host", api.url, "--param", given)
    assert (code, out) == (2, "")
    assert err.startswith(f"imagegate: {message}")
    assert api.versions == {}


def test_a_parameter_without_a_default_is_asked_for(package: Package) -> None:
    declared = {"parameters": {"data_root": {"parameterType": "STRING"}}}
    spec = {"root": {**package.spec["root"], "inputDefinitions": declared}}
    with pytest.raises(ConfigError, match="the pipeline needs --param data_root=VALUE"):
        parameters(spec, [])
    assert parameters(spec, ["data_root=x"]) == {"data_root": "x"}


# Following a run.


def test_wait_shows_stages_as_they_go_and_ends_well(api: Api, call: Call) -> None:
    drivers = [("root-driver", "SUCCEEDED"), ("ImageExampleGen-driver", "SUCCEEDED")]
    api.script = [
        ("PENDING", []),
        ("RUNNING", [*drivers, ("ImageExampleGen", "RUNNING")]),
        ("RUNNING", [*drivers, *OK[:1], ("executor", "SUCCEEDED"), ("ClassBalance", "RUNNING")]),
        ("SUCCEEDED", [*drivers, *OK, ("root", "SUCCEEDED")]),
    ]
    code, out, err = call("submit", "--host", api.url, "--wait")
    assert (code, err) == (0, "")
    _, *stages, last = out.splitlines()
    # Each task of the server's ends seven seconds after it began.
    assert stages == [f"{name:<18} ok  7.0 s" for name, _ in OK]
    assert last == f"the run {only(api.runs)['run_id']} succeeded"


@pytest.mark.parametrize(
    ("tasks", "state", "code", "words"),
    [
        ([*OK[:2], ("Trainer", "FAILED"), ("ModelGate", "SKIPPED")], "FAILED", 1, "Trainer: failed"),
        ([("ClassBalance", "FAILED"), ("Trainer", "FAILED")], "FAILED", 1, "ClassBalance, Trainer: failed"),
        ([("ClassBalance-driver", "FAILED")], "FAILED", 1, "ClassBalance-driver: failed"),
        ([], "FAILED", 1, "the run failed"),
        (OK[:1], "CANCELED", 1, "the run was cancelled"),
        ([], "SKIPPED", 1, "the run was skipped"),
    ],
)
def test_wait_ends_with_the_failed_task(
    api: Api, call: Call, tasks: list[tuple[str, str]], state: str, code: int, words: str
) -> None:
    api.script = [("RUNNING", []), (state, tasks)]
    found, out, err = call("submit", "--host", api.url, "--wait")
    run = only(api.runs)["run_id"]
    assert (found, err) == (code, f"imagegate: {words}; its log says why: {api.url}/#/runs/details/{run}\n")
    assert f"{'Trainer':<18} stopped  7.0 s" in out or ("Trainer", "FAILED") not in tasks


def log(exit_code: int | None) -> str:
    """What stands in a pod's log: the stage's lines, then the launcher's. A killed stage says nothing at its end."""
    said = "" if exit_code is None else f"imagegate: exit code {exit_code}\nimagegate: the reason\n"
    return f"imagegate: exit code 77 is what a label is called\n{said}I1128 launcher_v2.go:151] Stopping Modelcar\n"


UNKNOWN = "failed; whether the data gate refused or broke is unknown, because its log does not say or cannot be read"


@pytest.mark.parametrize(
    ("task", "pod", "text", "code", "words"),
    [
        ("ClassBalance", "birds-x1-system-container-impl-ClassBalance", log(3), 3, "the data gate refused"),
        ("ClassBalance", "birds-x1-ClassBalance", log(3), 3, "the data gate refused"),  # an old Argo's name of the pod
        ("ModelGate", "birds-x1-system-container-impl-ModelGate", log(4), 4, "the model gate refused"),
        ("ImageExampleGen", "birds-x1-system-container-impl-ImageExampleGen", log(1), 1, "failed"),  # the store is away
        ("ClassBalance", "birds-x1-system-container-impl-ClassBalance", log(143), 1, "failed"),  # stopped
        ("ClassBalance", "birds-x1-system-container-impl-ClassBalance", log(None), 1, UNKNOWN),  # killed for memory
        ("ClassBalance", "", "", 1, UNKNOWN),  # the log is gone
    ],
)
def test_a_gate_that_broke_is_told_from_one_that_refused(
    api: Api, call: Call, task: str, pod: str, text: str, code: int, words: str
) -> None:
    api.logs = {pod: text}
    api.script = [("FAILED", [(task, "FAILED"), ("root", "FAILED")])]
    found, _, err = call("submit", "--host", api.url, "--wait")
    run = only(api.runs)["run_id"]
    assert (found, err) == (code, f"imagegate: {task}: {words}; its log says why: {api.url}/#/runs/details/{run}\n")


# Identities of Argo's nodes below birds-x1.root, by Go's hash/fnv.New32a.
RETRIED = {
    "Trainer.executor": "birds-x1-3987641929",
    "Trainer.executor(0)": "birds-x1-83537200",
    "Trainer.executor(1)": "birds-x1-4042805021",
    "Stages.Trainer.executor": "birds-x1-3863217028",
    "Stages.Trainer.executor(0)": "birds-x1-847082095",
    "Stages.Trainer.executor(1)": "birds-x1-377455858",
}


@pytest.mark.parametrize("parents", ["", "Stages."])
@pytest.mark.parametrize("template", ["retry-system-container-impl-", "system-container-impl-", ""])
@pytest.mark.parametrize(
    ("first", "second", "code", "words"),
    [
        (log(1), log(4), 4, "the model gate refused"),  # the attempt that counts is the last one
        (log(3), log(1), 1, "failed"),
        (log(3), log(None), 1, "failed"),  # killed: that the first was refused says nothing about the second
    ],
)
def test_the_log_of_the_last_attempt_of_a_retried_stage_says_why_it_failed(
    api: Api, call: Call, parents: str, template: str, first: str, second: str, code: int, words: str
) -> None:
    nodes = {name.removeprefix(parents): node for name, node in RETRIED.items() if name.startswith(parents + "T")}
    attempts = [nodes["Trainer.executor(0)"], nodes["Trainer.executor(1)"]]
    api.children = {"Trainer": [nodes["Trainer.executor"]], "executor": attempts}
    api.logs = {
        node.replace("birds-x1-", f"birds-x1-{template}"): text
        for node, text in zip(attempts, (first, second), strict=True)
    }
    tasks = [("Trainer", "FAILED"), ("executor", "FAILED"), ("executor(0)", "FAILED"), ("executor(1)", "FAILED")]
    api.script = [("FAILED", tasks)]
    found, _, err = call("submit", "--host", api.url, "--wait")
    assert (found, err.partition(";")[0]) == (code, f"imagegate: Trainer: {words}")


def test_where_logs_may_not_be_read_it_is_unknown_whether_a_gate_refused(api: Api, call: Call) -> None:
    api.trouble = {r"GET .*/log": (403, '{"message": "no readLog on runs"}')}
    api.script = [("FAILED", [("ClassBalance", "FAILED")])]
    code, _, err = call("submit", "--host", api.url, "--wait")
    assert code == 1
    assert err.startswith(f"imagegate: ClassBalance: {UNKNOWN}; ")


def looks(api: Api) -> int:
    return sum(m == "GET" and "/runs/" in path for m, path, *_ in api.seen)


def test_wait_outlasts_a_server_that_is_away_for_a_while(api: Api, call: Call) -> None:
    api.script = [("RUNNING", []), ("SUCCEEDED", OK)]
    api.trouble = {r"GET /runs/.*": (503, "upstream connect error")}

    def come_back() -> None:
        while looks(api) < 3:
            time.sleep(0.01)
        api.trouble = {}

    threading.Thread(target=come_back, daemon=True).start()
    assert call("submit", "--host", api.url, "--wait")[0] == 0
    assert looks(api) >= 5  # three in vain, RUNNING, SUCCEEDED


@pytest.mark.parametrize("seconds", [1, pytest.param(30, marks=pytest.mark.slow)])
def test_wait_outlasts_a_restart_of_the_server(api: Api, call: Call, seconds: float) -> None:
    """The port is closed for a while, as while a pod is replaced; then another process answers there."""
    api.script = [("RUNNING", [("Trainer", "RUNNING")])]
    again: list[Api] = []

    def restart() -> None:
        while not looks(api):
            time.sleep(0.01)
        api.shutdown()
        api.server_close()
        with pytest.raises(ConnectionRefusedError), socket.create_connection(api.server_address):
            pass
        time.sleep(seconds)
        new = Api(port=api.server_port)
        new.runs, new.script = api.runs, [("RUNNING", [("Trainer", "RUNNING")]), ("SUCCEEDED", OK)]
        again.append(new)

    restarting = threading.Thread(target=restart)
    restarting.start()
    code, _, err = call("submit", "--host", api.url, "--wait")
    restarting.join()
    assert (code, err) == (0, "")
    assert looks(again[0]) == 2
    again[0].shutdown()
    again[0].server_close()


def test_wait_gives_up_on_a_server_that_stays_away(api: Api, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    api.trouble = {r"GET /runs/.*": (503, '{"message": "no healthy upstream"}')}
    monkeypatch.setattr(follow, "_PATIENCE", 0.2)
    code, _, err = call("submit", "--host", api.url, "--wait")
    run = only(api.runs)["run_id"]
    assert code == 1
    assert err == (
        f"imagegate: {api.url}: it failed: no healthy upstream; try again later, or see the API server's log (HTTP 503)"
        f"; the run goes on: {api.url}/#/runs/details/{run}\n"
    )


def test_wait_stops_at_once_where_looking_is_not_allowed(api: Api, call: Call) -> None:
    api.trouble = {r"GET /runs/.*": (403, '{"message": "no get on runs"}')}
    code, _, err = call("submit", "--host", api.url, "--wait")
    assert code == 1
    assert "this account may not do that here: no get on runs (HTTP 403); the run goes on: " in err


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where a shell started the tests in its background and has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_stops_waiting_and_says_that_the_run_goes_on(api: Api, call: Call, interruptible: None) -> None:
    api.script = [("RUNNING", [("Trainer", "RUNNING")])]

    def interrupt() -> None:
        while not looks(api):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    code, _, err = call("submit", "--host", api.url, "--wait")
    assert code == 1
    run = only(api.runs)["run_id"]
    assert err == f"imagegate: stopped waiting; the run goes on: {api.url}/#/runs/details/{run}\n"


# Schedules.


def test_a_schedule_neither_overlaps_nor_catches_up(api: Api, call: Call) -> None:
    code, out, err = call("schedule", "--cron", "30 3 * * MON-FRI", "--host", api.url, "--param", "epochs=2")
    assert (code, err) == (0, "")
    made = only(api.recurringruns)
    identity = made["recurring_run_id"]
    assert out == f"scheduled birds at '30 3 * * 1,2,3,4,5': {api.url}/#/recurringrun/details/{identity}\n"
    [body] = api.bodies("POST", "/recurringruns")
    assert body["trigger"] == {"cron_schedule": {"cron": "0 30 3 * * 1,2,3,4,5"}}
    assert (body["mode"], body["max_concurrency"], body["no_catchup"]) == ("ENABLE", 1, True)
    assert body["runtime_config"] == {"parameters": {"epochs": 2}, "pipeline_root": "minio://bucket/root"}
    assert (body["display_name"], body["experiment_id"]) == ("birds", only(api.experiments)["experiment_id"])


def test_the_second_schedule_replaces_the_first_once_it_exists(api: Api, call: Call) -> None:
    call("schedule", "--cron", "@daily", "--host", api.url)
    [first] = api.recurringruns
    assert call("schedule", "--cron", "@weekly", "--host", api.url)[0] == 0
    assert first not in api.recurringruns
    assert only(api.recurringruns)["trigger"] == {"cron_schedule": {"cron": "0 0 0 * * 0"}}
    changes = [(m, p.rpartition("/")[2]) for m, p, *_ in api.seen if "recurringruns" in p and m != "GET"]
    assert changes == [("POST", "recurringruns"), ("POST", "recurringruns"), ("DELETE", first)]


def test_all_older_schedules_are_deleted_however_many_pages_they_fill(api: Api, call: Call) -> None:
    call("schedule", "--cron", "@daily", "--host", api.url)
    [kept] = api.recurringruns.values()
    for i in range(7):
        api.recurringruns[f"old-{i}"] = kept | {"recurring_run_id": f"old-{i}"}
    api.recurringruns["theirs"] = kept | {"recurring_run_id": "theirs", "display_name": "fish"}
    api.page = 3
    assert call("schedule", "--cron", "@weekly", "--host", api.url)[0] == 0
    assert len(api.recurringruns) == 2
    assert "theirs" in api.recurringruns


def test_the_old_schedule_stays_where_the_new_one_fails(api: Api, call: Call) -> None:
    call("schedule", "--cron", "@daily", "--host", api.url)
    before = dict(api.recurringruns)
    api.trouble = {"POST /recurringruns": (400, '{"message": "Invalid input error: quota"}')}
    code, out, err = call("schedule", "--cron", "@weekly", "--host", api.url)
    assert (code, out) == (1, "")
    assert err == (f"imagegate: {api.url}: Invalid input error: quota (HTTP 400); the old schedule, if any, stays\n")
    assert api.recurringruns == before


def test_a_lost_answer_to_the_new_schedule_is_reported(api: Api, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_errors, "_SECONDS", (0.3, 0.3))
    api.trouble = {"POST /recurringruns": 1.0}
    code, _, err = call("schedule", "--cron", "@weekly", "--host", api.url)
    assert code == 1
    assert "whether the new schedule is on beside the old one is unknown: look with --list, or give it again" in err


def test_two_active_schedules_are_reported_and_a_second_try_repairs_them(api: Api, call: Call) -> None:
    call("schedule", "--cron", "@daily", "--host", api.url)
    api.trouble = {"DELETE /recurringruns/.*": (500, '{"message": "database is locked"}')}
    code, out, err = call("schedule", "--cron", "@weekly", "--host", api.url)
    assert (code, out) == (1, "")
    assert err == (
        "imagegate: the new schedule is on, but an older one may be too, which would start runs as well: "
        f"{api.url}: it failed: database is locked; try again later, or see the API server's log (HTTP 500); "
        "then give the same command again\n"
    )
    assert len(api.recurringruns) == 2
    api.trouble = {}
    assert call("schedule", "--cron", "@weekly", "--host", api.url)[0] == 0
    assert len(api.recurringruns) == 1


def test_a_schedule_that_appeared_in_between_is_reported(api: Api, call: Call) -> None:
    def after(what: str) -> None:
        if what == "POST /recurringruns":
            [made] = api.recurringruns.values()
            api.recurringruns["old"] = made | {"recurring_run_id": "old"}
        if what == "DELETE /recurringruns/old":
            api.recurringruns["late"] = api.recurringruns[min(api.recurringruns)] | {"recurring_run_id": "late"}

    api.after = after
    code, _, err = call("schedule", "--cron", "@weekly", "--host", api.url)
    assert code == 1
    assert f"{api.url}/#/recurringrun/details/late; somebody made it just now: give the same command again" in err


def test_a_schedule_that_is_gone_already_is_not_a_failure(api: Api, call: Call) -> None:
    call("schedule", "--cron", "@daily", "--host", api.url)
    api.trouble = {"DELETE /recurringruns/.*": (404, '{"message": "not found"}')}
    assert call("schedule", "--delete", "--host", api.url)[0] == 0


def test_schedules_are_deleted_and_listed(api: Api, call: Call) -> None:
    assert call("schedule", "--list", "--host", api.url) == (0, "there is no schedule\n", "")
    assert call("schedule", "--delete", "--host", api.url) == (0, "there is no schedule birds\n", "")
    call("schedule", "--cron", "30 3 1 1 *", "--host", api.url)
    made = only(api.recurringruns)
    code, out, _ = call("schedule", "--list", "--host", api.url)
    now = datetime.datetime.now(datetime.UTC)
    following = datetime.datetime(now.year, 1, 1, 3, 30, tzinfo=datetime.UTC)
    if following <= now:
        following = following.replace(year=now.year + 1)
    assert code == 0
    heading, row = out.splitlines()
    assert heading.split("  ")[0] == "name"
    assert [c.strip() for c in row.split("  ") if c.strip()] == [
        "birds", "30 3 1 1 *", "on", "never", f"{following:%Y-%m-%d %H:%M} UTC",
    ]  # fmt: skip
    for i, (state, schedule_of) in enumerate([("SUCCEEDED", made), ("FAILED", made), ("RUNNING", {})]):
        api.runs[f"run-{i}"] = {
            "run_id": f"run-{i}",
            "experiment_id": made["experiment_id"],
            "recurring_run_id": schedule_of.get("recurring_run_id", ""),
            "state": state,
            "created_at": f"2026-01-0{i + 1}T03:30:00Z",
        }
    made["mode"] = "DISABLE"
    _, out, _ = call("schedule", "--list", "--host", api.url)
    assert [c.strip() for c in out.splitlines()[1].split("  ") if c.strip()] == [
        "birds", "30 3 1 1 *", "off", "2026-01-02 03:30 UTC FAILED", "never",
    ]  # fmt: skip
    assert call("schedule", "--delete", "--host", api.url) == (0, "deleted the schedule birds\n", "")
    assert api.recurringruns == {}


def test_a_schedule_made_in_another_way_is_listed_too(api: Api, call: Call) -> None:
    call("schedule", "--cron", "@daily", "--host", api.url)
    only(api.recurringruns)["trigger"] = {"periodic_schedule": {"interval_second": "60"}}
    code, out, _ = call("schedule", "--list", "--host", api.url)
    assert code == 0
    assert out.splitlines()[1].split() == ["birds", "unknown", "on", "never", "unknown"]


# The server, and who asks.


def test_a_namespace_goes_everywhere_and_is_asked_for_where_it_is_needed(
    api: Api, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.multi_user = True
    code, _, err = call("submit", "--host", api.url)
    assert (code, err) == (
        2,
        f"imagegate: {api.url} keeps pipelines by namespace: give --namespace, or set KFP_NAMESPACE\n",
    )
    assert call("submit", "--host", api.url, "--namespace", "team-a")[0] == 0
    monkeypatch.setenv("KFP_NAMESPACE", "team-a")
    assert call("schedule", "--cron", "@daily", "--host", api.url)[0] == 0
    assert call("schedule", "--list", "--host", api.url)[0] == 0
    assert only(api.experiments)["namespace"] == only(api.pipelines)["namespace"] == "team-a"
    assert len(api.versions) == 2


def test_the_token_is_sent_and_never_shown(
    api: Api, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api.token = TOKEN
    code, out, err = call("submit", "--host", api.url)
    assert (code, out) == (1, "")
    assert err == (
        f"imagegate: {api.url}: it wants a token, or another one: give --token-file, or set KFP_EXISTING_TOKEN "
        "(HTTP 401)\n"
    )
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    with caplog.at_level("DEBUG"):
        results = [call("submit", "--host", api.url, "--token-file", str(file), "--wait")]
        monkeypatch.setenv("KFP_EXISTING_TOKEN", TOKEN)
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", api.url)
        results.append(call("schedule", "--cron", "@daily"))
        api.trouble = {"GET /experiments": (500, f"<p>you sent {TOKEN}</p>")}
        results.append(call("submit"))
    assert [code for code, *_ in results] == [0, 0, 1]
    assert TOKEN not in str(results) + caplog.text
    assert "you sent ***" in results[2][2]
    assert TOKEN not in str([seen[:4] for seen in api.seen])
    assert not (tmp_path / "home").exists()  # kfp would keep a namespace and tokens there


def test_credentials_that_kfp_keeps_in_the_home_folder_are_not_used(
    api: Api, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import kfp

    context = tmp_path / "context.json"
    context.write_text('{"namespace": "other", "client_authentication_cookie": "session=1"}')
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(context))
    assert call("submit", "--host", api.url)[0] == 0
    assert {headers["Cookie"] for *_, headers in api.seen} == {None}
    assert only(api.experiments)["namespace"] == ""
    kfp.Client(api.url, existing_token="x").list_pipelines(filter=submit.name_filter("birds"))  # as kfp's own would
    assert api.seen[-1][-1]["Cookie"] == "session=1"


def test_a_rotated_token_is_read_again(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    client = server.connect(server.address(api.url, None, str(file), None))
    file.write_text("second")
    client.list_runs(experiment_id=api.new("experiments", "experiment_id", {})["experiment_id"],
                     sort_by="created_at desc")  # fmt: skip
    assert [headers["authorization"] for *_, headers in api.seen] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("content", ["", "two words", "a\r\nX-Evil: 1", "schlüssel"])
def test_a_file_without_a_token_exits_with_2_and_is_not_shown(
    api: Api, call: Call, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    code, _, err = call("submit", "--host", api.url, "--token-file", str(file))
    assert (code, err) == (2, f"imagegate: --token-file {file}: expected one token, without spaces\n")
    assert api.seen == []


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("", "--host: expected the URL of the Kubeflow Pipelines API, such as https://kubeflow.example/pipeline; or "),
        ("kubeflow.example", "--host 'kubeflow.example': expected the URL"),
        ("ftp://kubeflow.example", "--host 'ftp://kubeflow.example': expected the URL"),
        ("file:///etc/passwd", "--host 'file:///etc/passwd': expected the URL"),
        ("https://me:hunter2@kubeflow.example", "--host: the URL holds a user name or password; give --token-file"),
        ("https://kubeflow.example:port", "--host: the address or its port is not valid; expected the URL"),
        ("https://me:hunter2/3@kubeflow.example", "--host: the address or its port is not valid; expected the URL"),
        ("https://kubeflow.example/?x=1", "--host 'https://kubeflow.example/?x=1': expected"),
        ("https://kubeflow.example/a b", "--host 'https://kubeflow.example/a b': holds a character that no URL has"),
    ],
)
def test_a_wrong_host_exits_with_2(call: Call, host: str, message: str) -> None:
    code, out, err = call("submit", "--host", host)
    assert (code, out) == (2, "")
    assert err.startswith(f"imagegate: {message}")
    assert "hunter2" not in err


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ((403, '{"message": "User me is not authorized"}'), "this account may not do that here: User me is not auth"),
        ((404, "404 page not found"), "not found: 404 page not found; look at the URL and --namespace (HTTP 404)"),
        ((409, '{"error_message": "exists"}'), "in conflict with what is there already: exists; try again (HTTP 409)"),
        ((500, '{"message": "Internal"}'), "it failed: Internal; try again later, or see the API server's log"),
        ((502, "<html>Bad Gateway</html>"), "it failed: Bad Gateway; try again later"),
        ((400, '{"message": "' + "x" * 999 + '"}'), f"{'x' * 400}… (HTTP 400)"),
        ((302, ""), "it redirects, mostly to a login page: give --token-file, or set KFP_EXISTING_TOKEN"),
        ((200, "<html>Log in</html>"), " answers, but not as a Kubeflow Pipelines API does; look at the URL"),
        ((200, "[]"), " answers, but not as a Kubeflow Pipelines API does"),
        ((200, '{"experiments": 5}'), " answers, but not as a Kubeflow Pipelines API does"),
        ((200, '{"experiments": [{"created_at": "no date"}]}'), " answers, but not as a Kubeflow Pipelines API does"),
    ],
)
@pytest.mark.parametrize("command", [("submit",), ("schedule", "--list"), ("schedule", "--delete")])
def test_refusals_are_one_sentence(
    api: Api, call: Call, command: tuple[str, ...], trouble: tuple[int, str], words: str
) -> None:
    api.trouble = {"GET /experiments": trouble}
    code, out, err = call(*command, "--host", api.url)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"imagegate: {api.url}")
    assert words in err


def test_an_answer_without_the_id_is_no_answer(api: Api, call: Call) -> None:
    api.trouble = {"POST /runs": (200, "{}")}
    code, _, err = call("submit", "--host", api.url)
    assert code == 1
    assert "answers, but not as a Kubeflow Pipelines API does" in err


def test_a_message_cannot_write_to_the_terminal(api: Api, call: Call) -> None:
    api.trouble = {"GET /experiments": (500, '{"message": "\\u001b[2Jgone"}')}
    assert "\\x1b[2Jgone" in call("submit", "--host", api.url)[2]


def test_a_closed_port_is_reported(call: Call) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        code, out, err = call("submit", "--host", url)
    assert (code, out) == (1, "")
    assert err == f"imagegate: {url}: connection refused; does the server run there, and does its port-forward?\n"


def test_an_unknown_host_is_reported(call: Call) -> None:
    code, _, err = call("submit", "--host", "http://kubeflow.invalid")  # RFC 6761: it never resolves
    assert code == 1
    assert err == (
        "imagegate: http://kubeflow.invalid: no such host; look at the URL, and whether this machine's DNS knows the "
        "name\n"
    )


def test_a_server_that_does_not_answer_is_reported(api: Api, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_errors, "_SECONDS", (1.0, 1.0))
    api.trouble = {"GET /experiments": 5.0}
    started = time.monotonic()
    code, _, err = call("schedule", "--list", "--host", api.url)
    assert code == 1
    assert err == f"imagegate: {api.url}: no answer within 1 s; does the server run, does a firewall lie between?\n"
    assert time.monotonic() - started < 4


def test_a_server_that_hangs_up_is_reported(call: Call) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        code, _, err = call("submit", "--host", f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert code == 1
    assert err.endswith(": the connection broke off in the middle of an answer; try again\n")


# TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1 and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not here")
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    key = file.with_suffix(".key")
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=kubeflow", "-addext", "subjectAltName=IP:127.0.0.1", "-out", file, "-keyout", key],
        check=True, capture_output=True,
    )  # fmt: skip
    return file


@pytest.fixture
def secure(certificate: Path) -> Iterator[Api]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    api = Api(context)
    yield api
    api.shutdown()
    api.server_close()


def test_an_unknown_certificate_is_refused_before_the_token_is_sent(
    secure: Api, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KFP_EXISTING_TOKEN", TOKEN)
    code, out, err = call("submit", "--host", secure.url)
    assert (code, out) == (1, "")
    assert err == (
        f"imagegate: {secure.url}: its TLS certificate is not trusted: self-signed certificate; "
        "give its CA with --ca FILE\n"
    )
    assert secure.seen == []


def test_a_certificate_is_accepted_with_its_authority(secure: Api, call: Call, certificate: Path) -> None:
    assert call("submit", "--host", secure.url, "--ca", str(certificate))[0] == 0
    other = secure.url.replace("127.0.0.1", "localhost")  # a name that the certificate does not hold
    code, _, err = call("submit", "--host", other, "--ca", str(certificate))
    assert code == 1
    assert "its TLS certificate is not trusted: Hostname mismatch" in err


def test_https_to_a_server_of_http_is_reported(api: Api, call: Call) -> None:
    code, _, err = call("submit", "--host", api.url.replace("http", "https"))
    assert code == 1
    assert "no TLS connection: " in err
    assert err.endswith("is it http://?\n")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_wrong_ca_exits_with_2(api: Api, call: Call, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    code, _, err = call("submit", "--host", api.url, "--ca", str(tmp_path / "ca.pem"))
    assert code == 2
    assert err.startswith(f"imagegate: --ca {tmp_path}/ca.pem: expected certificates in PEM: ")


# Usage.


def test_without_kfp_one_sentence_names_the_extra(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kfp", None)  # as import finds it where it is not installed
    code, out, err = call("submit", "--host", "http://127.0.0.1:9")
    assert (code, out) == (1, "")
    assert err == "imagegate: Kubeflow needs the package kfp: pip install 'imagegate[kubeflow]'\n"


def test_a_wrong_expression_exits_with_2_and_names_the_field(api: Api, call: Call) -> None:
    code, _, err = call("schedule", "--host", api.url, "--cron", "0 25 * * *")
    assert (code, err) == (
        2,
        "imagegate: --cron: hour: '25': expected 0 to 23, as in '*', '*/2', '1-5' or '1,3'\n",
    )
    assert api.seen == []


def test_an_older_schedule_is_not_lost_where_the_server_goes_away(api: Api, package: Package) -> None:
    to = server.Server(api.url)
    client = server.connect(to)
    schedule.replace(client, to, package, "0 3 * * *", {})
    api.shutdown()
    api.server_close()
    with pytest.raises(ImagegateError, match=r"connection refused.*; the old schedule, if any, stays"):
        schedule.replace(client, to, package, "0 4 * * *", {})
    assert len(api.recurringruns) == 1
