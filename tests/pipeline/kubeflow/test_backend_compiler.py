"""The backend's own compiler, in Go, turns our pipelines into Argo workflows."""

import json
import subprocess
from pathlib import Path
from typing import Any

import backend_programs
import pytest
import yaml

from pipeline import config
from pipeline.init import demo
from pipeline.kubeflow import compiler as kubeflow

pytestmark = [pytest.mark.go, pytest.mark.end_to_end]

TASKS = ("single_label", "multi_label", "segmentation")


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return backend_programs.found(tmp_path_factory.mktemp("programs")) / "argo"


def workflow(compiler: Path, folder: Path, task: str) -> dict[str, Any]:
    demo.write(str(folder), task)
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
    assert any("components.model.fitting.training" in a or "trainer" in a.lower() for a in trainer["args"])
    assert trainer["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert trainer["resources"]["accelerator"]["resourceCount"] == "2"
    assert {c["image"] for c in containers} == {"registry.example/imagegate@sha256:" + "0" * 64}
    assert all(c["command"] == ["python", "-m", "pipeline.kubeflow.container"] for c in containers)


def test_every_stage_is_a_task_of_the_workflow_after_those_that_it_needs(compiler: Path, tmp_path: Path) -> None:
    found = workflow(compiler, tmp_path, "single_label")
    [dag] = [t["dag"]["tasks"] for t in found["spec"]["templates"] if t["name"] == "root"]
    # Each task is a driver, which waits for what the task needs, and the task itself.
    needs = {t["name"].removesuffix("-driver"): t.get("depends", "") for t in dag if t["name"].endswith("-driver")}
    assert set(needs) == {t["name"] for t in dag if not t["name"].endswith("-driver")}
    assert needs["Preflight"] == ""
    assert "ClassBalance.Succeeded" in needs["Transform"]  # nothing is trained on data that were refused
    assert set(needs) - {"Preflight", "ModelGate"} <= {part.split(".")[0] for part in needs["ModelGate"].split(" && ")}
