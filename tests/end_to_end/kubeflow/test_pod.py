"""Every task of a compiled pipeline as a pod would run it: the command as it is, at the launcher's own paths."""

from collections.abc import Callable
from pathlib import Path

import pod
import pytest
from projects import Project, copy_source
from simulator import Backend, Pod, in_this_process

from components.push import versions
from pipeline import config
from pipeline.kubeflow import compiler

pytestmark = pytest.mark.end_to_end

IMAGE = "kubeflow.image=registry.example/imagegate@sha256:" + "0" * 64

Make = Callable[..., Callable[[Pod], tuple[int, str]]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    if reason := pod.why_not(tmp_path):
        pytest.skip(reason)
    return pod.in_a_pod


def test_a_pod_writes_where_kubeflow_s_pods_do_and_nowhere_else(make: Make, tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("source", "data", "models", "other")}
    for folder in places.values():
        folder.mkdir()
    run = make(places["source"], [places["data"]], [places["models"]])
    tried = ["/", "/etc", "/tmp", "/minio", "/s3", "/gcs", *map(str, places.values())]
    # Whose folder it is does not count: the tests may be root's.
    script = 'for f; do (echo x > "$f/file") 2> /dev/null && echo "$f"; done; id -u; grep CapEff /proc/self/status'
    code, log = run(Pod("T", tmp_path / "pod", ["sh", "-c", script, "sh", *tried], {"IMAGEGATE_STAGING": "/nowhere"}))
    assert code == 0, log
    assert log.split() == [
        "/tmp", "/minio", "/s3", "/gcs", str(places["models"]), "10001", "CapEff:", "0000000000000000",
    ]  # fmt: skip
    written = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("file"))
    assert written == ["models/file", "pod/gcs/file", "pod/minio/file", "pod/s3/file", "pod/tmp/file"]


@pytest.mark.parametrize(
    "alone",
    [
        # One that reads the data, one that takes the longest chain of inputs, and one that writes to a volume.
        pytest.param({"ImageExampleGen", "Evaluator", "Pusher"}, id="three tasks"),
        pytest.param(None, id="every task", marks=pytest.mark.slow),
    ],
)
def test_tasks_run_at_the_launchers_own_paths_with_no_rights(
    make: Make, alone: set[str] | None, tiny: Project, tmp_path: Path
) -> None:
    models, pipeline = tmp_path / "models", tmp_path / "pipeline.yaml"
    models.mkdir()
    compiler.write(config.load(tiny.config, [IMAGE, f"push.destination={models / 'tiny'}"]), str(pipeline))
    in_a_pod = make(copy_source(tmp_path / "source"), [tiny.folder / "data"], [models])
    ran: set[str] = set()

    def execute(pod: Pod) -> tuple[int, str]:
        if alone is not None and pod.task not in alone:
            return in_this_process(pod)
        ran.add(pod.task)
        return in_a_pod(pod)

    backend = Backend(tmp_path / "backend", execute)
    tasks = backend.run(pipeline)
    assert {task.status for task in tasks.values()} == {"succeeded"}, {
        name: task.log[-2000:] for name, task in tasks.items() if task.status == "failed"
    }
    assert ran == (alone or set(tasks))
    served = versions.current(str(models / "tiny"))
    assert served is not None
    versions.verify(served)
    kinds = {key: backend.metadata.type_of(made.id) for name in tasks for key, made in tasks[name].artifacts.items()}
    assert kinds == {
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
