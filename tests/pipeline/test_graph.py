"""The graph: what the settings say reaches the stage that it is for."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import config, graph

DATA: dict[str, dict[str, Any]] = {
    "single_label": {"root": "data"},
    "multi_label": {"root": "data", "layout": "manifest", "manifest": "a.csv", "columns": {"slices": ["camera"]}},
    "segmentation": {"root": "data", "layout": "masks", "images": "images", "masks": "masks"},
}
LABELS: dict[str, dict[str, Any]] = {
    "single_label": {"names": ["cat", "dog"], "positive": "dog"},
    "multi_label": {},
    "segmentation": {"names": ["sky", "road", "void"], "ignore": "void", "count_ignored": True},
}


@pytest.fixture(params=DATA)
def stages(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """The task, and the settings of each stage."""
    told = {"name": "x", "task": request.param, "push": {"destination": "models"}, "training": {"loss": "focal"}}
    sections = told | {"data": DATA[request.param], "labels": LABELS[request.param]}
    (tmp_path / "imagegate.yaml").write_text(yaml.safe_dump(sections))
    settings = config.load(str(tmp_path / "imagegate.yaml"))
    pipeline = graph.build(settings, data_fingerprint="abc", served_version="")
    return request.param, {component.id: dict(component.exec_properties) for component in pipeline.components}


def test_every_stage_gets_what_it_needs(stages: tuple[str, dict[str, dict[str, Any]]]) -> None:
    task, told = stages
    source = json.loads(told["ImageExampleGen"]["source"])
    assert (source["exclusive"], source["per_pixel"]) == (task != "multi_label", task == "segmentation")
    assert source["labels"]["names"] == LABELS[task].get("names")
    masks = task == "segmentation"
    assert [told[name]["task"] for name in ("CuratedSchema", "Baseline", "Evaluator")] == [task] * 3
    assert json.loads(told["CuratedSchema"]["columns"]) == (["camera"] if task == "multi_label" else [])
    assert told["ClassBalance"]["count_ignored"] == masks
    assert json.loads(told["ClassBalance"]["label_weights"]) == "median_frequency"
    assert json.loads(told["ClassBalance"]["limits"])["min_labels"] == (1 if task == "multi_label" else 2)
    transform = json.loads(told["Transform"]["custom_config"])
    assert (transform["task"], transform["count_ignored"]) == (task, masks)
    trainer = json.loads(told["Trainer"]["custom_config"])
    assert (trainer["task"], trainer["loss"]) == (task, "focal")
    assert trainer["positive"] == ("dog" if task == "single_label" else None)
    assert json.loads(told["Pusher"]["settings"])["keep"] == 5
    assert len(json.loads(told["Pusher"]["facts"])["configuration_fingerprint"]) == 64
    assert json.loads(told["Evaluator"]["settings"])["slices"] == ([] if masks else [["label"]])


def test_the_trainer_understands_its_settings(stages: tuple[str, dict[str, dict[str, Any]]]) -> None:
    from components.model.settings import TrainerSettings

    task, told = stages
    settings = TrainerSettings.model_validate(json.loads(told["Trainer"]["custom_config"]))
    assert (settings.task, settings.image_size) == (task, (224, 224))
