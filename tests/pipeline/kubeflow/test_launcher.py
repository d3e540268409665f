"""The backend's own driver and launcher run our pipeline: the compiled workflow, pod for pod, over real counterparts.

Needs the backend's programs (see `backend_programs`), moto's server, openssl, and namespaces for users.
"""

import contextlib
import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import backend_programs
import cluster
import pytest
import services
import yaml
from cluster import Cluster, Node

from components.push import versions
from pipeline import config
from pipeline.kubeflow import compiler as kubeflow

pytestmark = [pytest.mark.go, pytest.mark.end_to_end]

ROOT = Path(__file__).parents[3]
BUCKET, PREFIX = "pipelines", "of/ours"

PROJECT = """\
name: tiny
task: single_label
data: {{root: {data}}}
balance: {{min_examples: 5}}
training: {{image_size: [8, 8], epochs: 2, batch_size: 16, augment: false}}
evaluation:
  slices: [format]
  thresholds:
    - {{metric: accuracy, min: 0.0}}
    - {{metric: loss, max: 100}}
push: {{destination: {models}/tiny}}
kubeflow:
  image: registry.example/imagegate@sha256:{digest}
  pipeline_root: minio://pipelines/of/ours
  volumes: {{photos: {data}, models: {models}}}
"""


def digits(folder: Path) -> None:
    """30 images each of three digits."""
    from PIL import Image
    from sklearn.datasets import load_digits

    told = load_digits()
    for digit in range(3):
        (folder / str(digit)).mkdir(parents=True)
        for i, pixels in enumerate(told.images[told.target == digit][:30]):
            Image.fromarray((pixels * 15).astype("uint8")).save(folder / str(digit) / f"{i}.png")


def workflow(compiler: Path, folder: Path, settings: config.Config) -> dict[str, Any]:
    """What the API server would hand to Argo for a submission with a parameter."""
    runtime = {"gcsOutputDirectory": settings.kubeflow.pipeline_root, "parameterValues": {"epochs": 1}}
    documents = [*kubeflow.compile(settings), runtime]
    paths = [folder / name for name in ("spec.json", "platform.json", "runtime.json")]
    for path, document in zip(paths, documents, strict=True):
        path.write_text(json.dumps(document))
    done = subprocess.run([compiler, *paths], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)
    return found


@dataclasses.dataclass(frozen=True)
class Ran:
    """Three runs of one pipeline, one after the other, the third with a data gate that refuses, and what they left."""

    first: dict[str, Node]
    second: dict[str, Node]
    refused: dict[str, Node]
    metadata: Any
    store: services.Store
    asked: list[str]
    folder: Path

    @property
    def models(self) -> Path:
        return self.folder / "models"

    def artifacts(self, run: str) -> dict[str, Any]:
        """ML Metadata's artifacts below a run's root, by the name of the output; no logs."""
        below = f"minio://{BUCKET}/{PREFIX}/tiny/{run}/"
        found = [a for a in self.metadata.get_artifacts() if a.uri.startswith(below)]
        named = {a.custom_properties["display_name"].string_value: a for a in found}
        named.pop("executor-logs")
        return named

    def keys(self, uri: str) -> list[str]:
        """What lies in the store at an artifact's URI."""
        return self.store.keys(uri.removeprefix(f"minio://{BUCKET}/"))

    def execution(self, run: str, task: str) -> Any:
        [context] = [c for c in self.metadata.get_contexts() if c.name == run]
        found = self.metadata.get_executions_by_context(context.id)
        [one] = [e for e in found if e.custom_properties["task_name"].string_value == task]
        return one


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the backend's driver and launcher, and of the compiler."""
    if reason := cluster.why_not(tmp_path_factory.mktemp("pod") / "try"):
        pytest.skip(reason)
    if services.moto() is None:
        pytest.skip("no moto_server beside the interpreter or on PATH; it comes with moto[server]")
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on PATH")
    return backend_programs.found(tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="module")
def ran(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("launcher")
    packages, models, file = folder / "source", folder / "models", folder / "imagegate.yaml"
    for package in ("components", "pipeline", "schemas"):
        shutil.copytree(ROOT / package, packages / package, ignore=shutil.ignore_patterns("__pycache__"))
    models.mkdir()
    digits(folder / "data")
    file.write_text(PROJECT.format(data=folder / "data", models=models, digest="0" * 64))
    with contextlib.ExitStack() as stack:
        metadata, metadata_port = stack.enter_context(services.metadata())
        cache_port = stack.enter_context(services.cache())
        store = stack.enter_context(services.store(folder / "moto.log", BUCKET))
        api = stack.enter_context(services.kubernetes(folder / "account", settings(store.port)))
        there = {"metadata": metadata_port, "cache": cache_port}
        names = {cluster.NAMES[name]: ("127.0.0.1", str(port)) for name, port in there.items()}
        claims = {"photos": folder / "data", "models": models}
        backend = Cluster(folder / "pods", programs, packages, folder / "account", names, api.port, claims)
        settled = config.load(str(file))
        strict = config.load(str(file), ["balance.min_examples=1000"])
        runs = [
            backend.submit(workflow(programs / "argo", folder, told), run)
            for run, told in (("run-1", settled), ("run-2", settled), ("run-3", strict))
        ]
        yield Ran(*runs, metadata, store, api.asked, folder)


def settings(port: int) -> dict[str, Any]:
    """What an installation keeps in the cluster: where its object store is, and how to get in."""
    provider = {
        "endpoint": f"127.0.0.1:{port}",
        "region": "minio",
        "disableSSL": True,
        "credentials": {
            "fromEnv": False,
            "secretRef": {"secretName": "store", "accessKeyKey": "accesskey", "secretKeyKey": "secretkey"},
        },
    }
    providers = yaml.safe_dump({"minio": {"default": provider}})
    return services.config_map("kfp-launcher", {"providers": providers}) | services.secret(
        "store", {"accesskey": services.KEY, "secretkey": services.SECRET}
    )


def executor_input(nodes: dict[str, Node], task: str) -> dict[str, Any]:
    """What the driver told the launcher."""
    command = json.loads(nodes[f"{task}-driver"].outputs["pod-spec-patch"])["containers"][0]["command"]
    found: dict[str, Any] = json.loads(command[command.index("--executor_input") + 1])
    return found


def failures(nodes: dict[str, Node]) -> dict[str, str]:
    return {name: node.log[-3000:] for name, node in nodes.items() if node.status == "Failed"}


def test_every_task_of_the_graph_succeeds_and_pushes(ran: Ran) -> None:
    assert {node.status for node in ran.first.values()} == {"Succeeded"}, failures(ran.first)
    assert all(node.attempts == 1 for node in ran.first.values())
    served = versions.current(str(ran.models / "tiny"))
    assert served is not None
    versions.verify(served)
    assert ran.artifacts("run-1")["pushed_model"].custom_properties["pushed_version"].string_value == served.version


def test_metadata_has_every_output_with_the_type_and_the_properties_that_the_stage_gave(ran: Ran) -> None:
    kinds = {kind.id: kind.name for kind in ran.metadata.get_artifact_types()}
    artifacts = ran.artifacts("run-1")
    assert {name: kinds[one.type_id] for name, one in artifacts.items()} == {
        "anomalies": "tfx.ExampleAnomalies",
        "baseline_model": "tfx.Model",
        "blessing": "tfx.ModelBlessing",
        "class_balance": "imagegate.ClassBalance",
        "confusion_matrix": "system.ClassificationMetrics",
        "evaluation": "tfx.ModelEvaluation",
        "examples": "tfx.Examples",
        "metrics": "system.Metrics",
        "model": "tfx.Model",
        "model_run": "tfx.ModelRun",
        "page": "system.HTML",
        "pushed_model": "tfx.PushedModel",
        "report": "imagegate.Report",
        "schema_out": "tfx.Schema",
        "serving_check_out": "imagegate.ServingCheck",
        "statistics": "tfx.ExampleStatistics",
        "transform_graph": "tfx.TransformGraph",
    }
    assert artifacts["examples"].custom_properties["split_names"].string_value == '["train", "eval", "test"]'
    # The backend makes doubles of numbers.
    assert artifacts["blessing"].custom_properties["blessed"].double_value == 1
    assert artifacts["pushed_model"].custom_properties["pushed"].double_value == 1
    assert 0 <= artifacts["metrics"].custom_properties["accuracy"].double_value <= 1


def test_the_store_has_the_files_of_every_output(ran: Ran) -> None:
    artifacts = ran.artifacts("run-1")
    without = {name for name, one in artifacts.items() if not ran.keys(one.uri)}
    # Metrics are properties; a pushed model lies at its destination; there was no model before.
    assert without == {"metrics", "confusion_matrix", "pushed_model", "baseline_model"}
    records = [key for key in ran.keys(artifacts["examples"].uri) if key.endswith(".tfrecord")]
    assert sum(count_records(ran.store.read(key)) for key in records) == 3 * 30
    assert ran.store.read(ran.keys(artifacts["page"].uri)[0]).startswith(b"<!DOCTYPE html>")


def count_records(data: bytes) -> int:
    """Of a TFRecord file: each is its length in 8 bytes, 4 of a checksum, itself, 4 of a checksum."""
    count = at = 0
    while at < len(data):
        at += 8 + 4 + int.from_bytes(data[at : at + 8], "little") + 4
        count += 1
    assert at == len(data)
    return count


def test_a_driver_resolves_the_outputs_of_the_task_before(ran: Ran) -> None:
    found = ran.execution("run-1", "Preflight").custom_properties["outputs"].struct_value["data_fingerprint"]
    assert executor_input(ran.first, "ImageExampleGen")["inputs"]["parameterValues"]["data_fingerprint"] == found
    made = ran.artifacts("run-1")["examples"]
    [told] = executor_input(ran.first, "CuratedSchema")["inputs"]["artifacts"]["examples"]["artifacts"]
    assert (told["name"], told["uri"], told["type"]) == (str(made.id), made.uri, {"instanceSchema": ""})
    assert told["metadata"]["split_names"] == '["train", "eval", "test"]'


def test_the_store_and_the_way_in_come_from_the_cluster(ran: Ran) -> None:
    """Each root driver reads the configuration, each launcher the secret that it names."""
    assert ran.asked.count("configmaps/kfp-launcher") == 3
    # And once more for each input that the cache took from another run.
    assert ran.asked.count("secrets/store") >= sum(map(len, map(launched, (ran.first, ran.second, ran.refused))))
    assert {one for one in ran.asked if not one.startswith("pods/")} == {"configmaps/kfp-launcher", "secrets/store"}


def launched(nodes: dict[str, Node]) -> dict[str, Node]:
    """The tasks that had a launcher, and so no result from the cache."""
    return {
        name: node for name, node in nodes.items() if node.attempts and name != "root" and not name.endswith("-driver")
    }


def test_a_second_run_takes_unchanged_tasks_from_the_cache(ran: Ran) -> None:
    assert {node.status for node in ran.second.values()} == {"Succeeded"}, failures(ran.second)
    # Preflight's served_version has changed from "" to the one pushed, and with it the keys of those who look at it.
    assert set(launched(ran.second)) == {
        "Preflight", "ClassBalance", "Baseline", "Evaluator", "ServingCheck", "Pusher", "ModelReport", "ModelGate",
    }  # fmt: skip
    assert ran.second["Trainer-driver"].outputs["cached-decision"] == "true"
    assert ran.artifacts("run-2")["pushed_model"].custom_properties["pushed"].double_value == 0
    [examples] = executor_input(ran.second, "ClassBalance")["inputs"]["artifacts"]["examples"]["artifacts"]
    assert examples["uri"] == ran.artifacts("run-1")["examples"].uri


def test_a_refusal_fails_its_task_once_and_says_so_in_the_log_that_is_kept(ran: Ran) -> None:
    gate = ran.refused["ClassBalance"]
    assert (gate.status, gate.attempts) == ("Failed", 1)
    assert {name for name, node in ran.refused.items() if node.status == "Omitted" and "-driver" not in name} == {
        "Transform", "Trainer", "Evaluator", "ServingCheck", "Pusher", "ModelReport", "ModelGate",
    }  # fmt: skip
    execution = ran.execution("run-3", "ClassBalance")
    assert execution.last_known_state == execution.FAILED
    [log] = ran.store.keys(f"{PREFIX}/tiny/run-3/ClassBalance/")
    last = ran.store.read(log).decode().splitlines()[-1]
    assert last.endswith(", below the minimum 1,000. Add images, drop the label, or lower balance.min_examples")
    # In the pod's log what follows is the launcher's.
    after = gate.log.splitlines()[gate.log.splitlines().index(last) + 1 :]
    assert after
    assert all(re.match(r"[IWEF]\d{4} ", line) for line in after), after


def test_the_simulator_gives_every_task_the_same_input(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "tests" / "end_to_end")
    import simulator

    models, path, simulated = tmp_path / "models", tmp_path / "pipeline.yaml", dict[str, Any]()

    def execute(pod: simulator.Pod) -> tuple[int, str]:
        told = pod.command[pod.command.index("--json_serialized_invocation_args") + 1]
        simulated[pod.task] = json.loads(told)
        return simulator.in_this_process(pod)

    settled = config.load(str(ran.folder / "imagegate.yaml"), [f"push.destination={models}/tiny"])
    kubeflow.write(settled, str(path))
    tasks = simulator.Backend(tmp_path / "backend", execute).run(path, {"epochs": 1})
    assert {task.status for task in tasks.values()} == {"succeeded"}
    assert set(simulated) == set(launched(ran.first))
    for task, told in simulated.items():
        real = executor_input(ran.first, task)
        real["outputs"]["artifacts"].pop("executor-logs")
        assert alike(real, ran.models, models) == alike(told, ran.models, models), task


def alike(told: dict[str, Any], *models: Path) -> str:
    """Without what differs from run to run and from installation to installation; numbers as they were written."""
    for listed in told.get("inputs", {}).get("artifacts", {}).values():
        for one in listed["artifacts"]:
            assert one["name"].isdigit()
            assert json.loads(one["metadata"].pop("store_session_info"))["Provider"] == "minio"
            one["name"] = "1"
    if not told["outputs"].get("artifacts"):
        told["outputs"].pop("artifacts", None)
    text = json.dumps(told, sort_keys=True, indent=1)
    for pattern, same in (
        ("|".join(re.escape(str(folder)) for folder in models), "/models"),
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
        (r"/tiny/(run-1|UUID)/", "/tiny/RUN/"),
        (r"\b[0-9a-f]{64}\b", "FINGERPRINT"),
        (r"\b1\d{9}\b", "VERSION"),
    ):
        text = re.sub(pattern, same, text)
    return text
