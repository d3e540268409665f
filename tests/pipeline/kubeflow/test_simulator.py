"""The simulated backend refuses what a real one does, or lets pass with a warning at most."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlmd
import pytest
import simulator
import yaml
from simulator import Backend, Pod, Refused

MODEL = {"artifactType": {"instanceSchema": "title: tfx.Model\n"}}
MADE = {"parameterType": "STRING"}
COUNT = {"parameterType": "NUMBER_INTEGER"}
FROM_A = {"producerTask": "A"}


def told(pod: Pod) -> dict[str, Any]:
    """The ExecutorInput, which is the command's last argument."""
    found: dict[str, Any] = json.loads(pod.command[-1])
    return found


def pipeline() -> dict[str, Any]:
    """A makes a model and a name, which B takes."""
    executor = {"container": {"image": "i", "command": ["run"], "args": ["{{$}}"]}}
    return {
        "schemaVersion": "2.1.0",
        "pipelineInfo": {"name": "p"},
        "defaultPipelineRoot": "minio://bucket/root",
        "deploymentSpec": {"executors": {"a": copy.deepcopy(executor), "b": copy.deepcopy(executor)}},
        "components": {
            "A": {
                "executorLabel": "a",
                "inputDefinitions": {"parameters": {"count": COUNT}},
                "outputDefinitions": {"artifacts": {"model": MODEL}, "parameters": {"name": MADE}},
            },
            "B": {
                "executorLabel": "b",
                "inputDefinitions": {"artifacts": {"model": MODEL}, "parameters": {"name": MADE}},
            },
        },
        "root": {
            "inputDefinitions": {"parameters": {"count": COUNT | {"defaultValue": 3}}},
            "dag": {
                "tasks": {
                    "B": {
                        "componentRef": {"name": "B"},
                        "dependentTasks": ["A"],
                        "inputs": {
                            "artifacts": {"model": {"taskOutputArtifact": FROM_A | {"outputArtifactKey": "model"}}},
                            "parameters": {"name": {"taskOutputParameter": FROM_A | {"outputParameterKey": "name"}}},
                        },
                    },
                    "A": {
                        "componentRef": {"name": "A"},
                        "cachingOptions": {"enableCache": True},
                        "retryPolicy": {"maxRetryCount": 2},
                        "inputs": {"parameters": {"count": {"componentInputParameter": "count"}}},
                    },
                }
            },
        },
    }


class Pods:
    """Runs both tasks: A leaves a file and an empty folder, or a `link` to it, and says `said` of it; B looks at it."""

    def __init__(self) -> None:
        self.ran: list[Pod] = []
        self.seen: list[str] = []
        self.said: dict[str, Any] = {}
        self.code = 0
        self.link = False

    def __call__(self, pod: Pod) -> tuple[int, str]:
        self.ran.append(pod)
        way = "outputs" if pod.task == "A" else "inputs"
        [model] = told(pod)[way]["artifacts"]["model"]["artifacts"]
        folder = simulator.below(pod.folder, simulator.local(model["uri"]))
        if pod.task == "B":
            self.seen = sorted(path.name for path in folder.rglob("*"))
            return 0, "log"
        (folder / "empty").mkdir(parents=True)
        (folder / "file").write_text("x")
        if self.link:
            (folder / "link").symlink_to("empty")
        file = simulator.below(pod.folder, told(pod)["outputs"]["outputFile"])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            json.dumps({"artifacts": {"model": {"artifacts": [self.said]}}, "parameterValues": {"name": "n"}})
        )
        return self.code, "log"


@pytest.fixture
def pods() -> Pods:
    return Pods()


Run = Callable[..., dict[str, simulator.Task]]


@pytest.fixture
def backend(tmp_path: Path, pods: Pods) -> Backend:
    return Backend(tmp_path / "backend", pods)


@pytest.fixture
def run(tmp_path: Path, backend: Backend) -> Run:
    """Runs a pipeline with parameters."""
    platform = {"kubernetes": {"deploymentSpec": {"executors": {}}}}

    def start(spec: dict[str, Any] | None = None, **given: Any) -> dict[str, simulator.Task]:
        (tmp_path / "p.yaml").write_text(yaml.safe_dump_all([spec or pipeline(), {"platforms": platform}]))
        return backend.run(tmp_path / "p.yaml", given)

    return start


def test_outputs_become_inputs_through_the_store(run: Run, pods: Pods) -> None:
    pods.said = {"metadata": {"n": 1, "list": [1]}}
    tasks = run()
    [a, b] = pods.ran
    assert {name: task.status for name, task in tasks.items()} == {"A": "succeeded", "B": "succeeded"}
    assert repr(told(a)["inputs"]["parameterValues"]) == "{'count': 3}"  # as Go writes doubles
    inputs = told(b)["inputs"]
    assert inputs["parameterValues"] == {"name": "n"}
    [model] = inputs["artifacts"]["model"]["artifacts"]
    assert model["type"] == {"instanceSchema": ""}
    assert model["metadata"] == {"n": 1, "list": {"list": [1]}} | {
        "display_name": "model",
        "store_session_info": mlmd.SESSION,
    }
    assert pods.seen == ["file"]


def test_the_cache_goes_by_parameters_and_by_who_made_the_inputs(run: Run) -> None:
    statuses = [run(count=count)["A"].status for count in (1, 1, 2, 1)]
    assert statuses == ["succeeded", "cached", "succeeded", "cached"]


def test_a_failed_task_is_retried_and_the_tasks_after_it_are_skipped(run: Run, pods: Pods) -> None:
    pods.code = 1
    tasks = run()
    assert (tasks["A"].status, tasks["A"].attempts, tasks["B"].status) == ("failed", 3, "skipped")
    assert len({pod.folder for pod in pods.ran}) == 3


def test_each_attempt_keeps_a_log_of_its_own(run: Run, backend: Backend, pods: Pods) -> None:
    def fail_twice(pod: Pod) -> tuple[int, str]:
        pods(pod)
        return int(len(pods.ran) < 3), "log"

    backend._execute, backend._logs = fail_twice, True
    tasks = run()
    assert [tasks[name].artifacts[simulator.LOGS].uri.rpartition("/")[2] for name in ("A", "B")] == [
        "executor-logs-2",
        "executor-logs-0",
    ]


def test_a_link_to_a_folder_is_refused(run: Run, pods: Pods) -> None:
    pods.link = True
    with pytest.raises(Refused, match="a link to a folder"):
        run()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"metadata": {"n": None}}, "metadata n: null"),
        ({"metadata": {"n": float("nan")}}, "NaN"),
        ({"uri": "minio://bucket/elsewhere"}, "is not below minio://bucket/root/p/"),
        ({"uri": "/minio/bucket/root"}, "is not below"),
    ],
)
def test_an_output_that_would_be_lost_is_refused(run: Run, pods: Pods, said: dict[str, Any], message: str) -> None:
    pods.said = said
    with pytest.raises(Refused, match=message):
        run()


def change(path: str, value: Any) -> dict[str, Any]:
    """The pipeline with one thing in it changed, or taken out where `value` is None."""
    spec = pipeline()
    *parents, last = path.split("/")
    section = spec
    for parent in parents:
        section = section[parent]
    if value is None:
        del section[last]
    else:
        section[last] = value
    return spec


@pytest.mark.parametrize(
    ("spec", "given", "message"),
    [
        (change("root/dag/tasks/B/dependentTasks", None), {}, "B takes what A puts out, but does not wait for it"),
        (change("root/dag/tasks/A/dependentTasks", ["B"]), {}, "wait for one another"),
        (change("root/dag/tasks/A/inputs", {}), {}, "A: parameters are not those of its component"),
        (change("components/B/inputDefinitions/parameters/name", COUNT), {}, "not the type that A puts out"),
        (change("defaultPipelineRoot", "/artifacts"), {}, "unknown scheme"),
        (pipeline(), {"epochs": 1}, "unknown parameters"),
        (pipeline(), {"count": "1"}, "count: expected NUMBER_INTEGER, got '1'"),
    ],
)
def test_a_pipeline_that_is_wrong_is_refused(run: Run, spec: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        run(spec, **given)


def test_a_key_that_the_schema_does_not_know_is_refused(run: Run) -> None:
    from google.protobuf.json_format import ParseError

    with pytest.raises(ParseError, match="cachingOption"):
        run(change("root/dag/tasks/A/cachingOption", {}))
