"""The backend's own compiler, in Go, turns our pipelines into Argo workflows.

It comes from the Go module proxy; where that does not give it, the tests skip and say so.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import config, kubeflow, starter

pytestmark = [pytest.mark.go, pytest.mark.end_to_end]

MODULE = "github.com/kubeflow/pipelines"
COMMIT = "4a3592cb2dd0a91a4652ab93893ec8beda1f3158"  # 2.17.0
TASKS = ("single_label", "multi_label", "segmentation")


def go(*arguments: str, folder: Path | str) -> subprocess.CompletedProcess[str]:
    # -mod=mod: a module of the proxy cannot be written to, and a checkout may lack sums.
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=mod"}
    return subprocess.run(
        ["go", *arguments], cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=900
    )


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("go") is None:
        pytest.skip("no Go on PATH")
    empty = tmp_path_factory.mktemp("empty")
    found = go("mod", "download", "-json", f"{MODULE}@{COMMIT}", folder=empty)
    told = json.loads(found.stdout or "{}")
    if "Dir" not in told:
        pytest.skip("the Go module proxy does not give github.com/kubeflow/pipelines at this commit")
    return Path(told["Dir"])


@pytest.fixture(scope="session")
def compiler(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our few lines around the backend's package, built as if they lay in its module."""
    folder = tmp_path_factory.mktemp("compiler")
    ours = Path(__file__).parent / "argo" / "main.go"
    there = source / "backend" / "src" / "v2" / "cmd" / "imagegate-argo" / "main.go"
    (folder / "overlay.json").write_text(json.dumps({"Replace": {str(there): str(ours)}}))
    program, overlay = str(folder / "argo"), str(folder / "overlay.json")
    built = go("build", "-overlay", overlay, "-o", program, "./backend/src/v2/cmd/imagegate-argo", folder=source)
    if "403 Forbidden" in built.stderr or "404 Not Found" in built.stderr:
        pytest.skip("the Go module proxy does not give all that the backend needs")
    assert built.returncode == 0, built.stderr[-2000:]
    return folder / "argo"


def workflow(compiler: Path, folder: Path, task: str) -> dict[str, Any]:
    starter.write(str(folder), task=task, demo=True)
    told = [
        "kubeflow.image=registry.example/imagegate@sha256:" + "0" * 64,
        "kubeflow.gpu={resource: nvidia.com/gpu, count: 2}",
        "kubeflow.volumes={photos: /data}",
        "kubeflow.shared_memory=1Gi",
    ]
    documents = kubeflow.compile(config.load(str(folder / "imagegate.yaml"), told))
    paths = [folder / "spec.json", folder / "platform.json"]
    for path, document in zip(paths, documents, strict=True):
        path.write_text(json.dumps(document))
    done = subprocess.run([compiler, *paths], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)
    return found


@pytest.mark.parametrize("task", TASKS)
def test_the_workflow_asks_for_the_gpu_on_the_trainer_alone(compiler: Path, tmp_path: Path, task: str) -> None:
    found = workflow(compiler, tmp_path, task)
    arguments = {p["name"]: json.loads(p["value"]) for p in found["spec"]["arguments"]["parameters"]}
    containers = [value for name, value in arguments.items() if name.startswith("implementations-")]
    with_gpu = [c for c in containers if "accelerator" in c.get("resources", {})]
    assert len(containers) > 10
    [trainer] = with_gpu
    assert any("components.training" in a or "trainer" in a.lower() for a in trainer["args"])
    assert trainer["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert trainer["resources"]["accelerator"]["resourceCount"] == "2"
    assert {c["image"] for c in containers} == {"registry.example/imagegate@sha256:" + "0" * 64}
    assert all(c["command"] == ["python", "-m", "pipeline.container"] for c in containers)


def test_every_stage_is_a_task_of_the_workflow_after_those_that_it_needs(compiler: Path, tmp_path: Path) -> None:
    found = workflow(compiler, tmp_path, "single_label")
    [dag] = [t["dag"]["tasks"] for t in found["spec"]["templates"] if t["name"] == "root"]
    # Each task is a driver, which waits for what the task needs, and the task itself.
    needs = {t["name"].removesuffix("-driver"): t.get("depends", "") for t in dag if t["name"].endswith("-driver")}
    assert set(needs) == {t["name"] for t in dag if not t["name"].endswith("-driver")}
    assert needs["Preflight"] == ""
    assert "ClassBalance.Succeeded" in needs["Transform"]  # nothing is trained on data that were refused
    assert set(needs) - {"Preflight", "ModelGate"} <= {part.split(".")[0] for part in needs["ModelGate"].split(" && ")}
