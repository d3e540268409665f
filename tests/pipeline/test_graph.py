"""The graph: what the settings say reaches the stage that it is for."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.evaluation import out_of_distribution
from pipeline import config, derived, graph

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
    assert json.loads(told["ClassBalance"]["limits"])["min_labels"] == (1 if task == "multi_label" else 2)
    transform = json.loads(told["Transform"]["custom_config"])
    assert (transform["task"], transform["count_ignored"]) == (task, masks)
    trainer = json.loads(told["Trainer"]["custom_config"])
    assert (trainer["task"], trainer["loss"]) == (task, "focal")
    method = ("logit_adjustment", None) if task == "single_label" else ("weights", "median_frequency")
    method = ("weights", "square_root") if masks else method
    assert (trainer["imbalance"], trainer["label_weights"]) == method
    assert trainer["positive"] == ("dog" if task == "single_label" else None)
    assert json.loads(told["Pusher"]["settings"])["keep"] == 5
    assert len(json.loads(told["Pusher"]["facts"])["configuration_fingerprint"]) == 64
    assert json.loads(told["Evaluator"]["settings"])["slices"] == ([] if masks else [["label"]])


def test_the_trainer_understands_its_settings(stages: tuple[str, dict[str, dict[str, Any]]]) -> None:
    from components.model.settings import TrainerSettings

    task, told = stages
    settings = TrainerSettings.model_validate(json.loads(told["Trainer"]["custom_config"]))
    assert (settings.task, settings.image_size) == (task, (224, 224))


def trainer_key(path: Path) -> str:
    """What the Trainer's results are cached under, besides its inputs."""
    settings = config.load(str(path))
    built = graph.build(settings, data_fingerprint="abc", served_version="", files=derived.files(settings))
    [told] = [c.exec_properties["custom_config"] for c in built.components if c.id == "Trainer"]
    return str(told)


def test_other_weights_of_the_same_length_and_time_train_again(tmp_path: Path) -> None:
    """So do another file as backbone and another size of the images, in the same output."""
    for name, weights in {"a.keras": b"one", "b.keras": b"two"}.items():
        (tmp_path / name).write_bytes(weights)
        os.utime(tmp_path / name, ns=(0, 0))

    def written(name: str, **training: Any) -> Path:
        told = {"name": "x", "task": "single_label", "output": "runs/x", "push": {"destination": "models"}}
        sections = told | {"data": {"root": "data"}, "training": {"backbone": "a.keras", **training}}
        (tmp_path / name).write_text(yaml.safe_dump(sections))
        return tmp_path / name

    first = written("1.yaml")
    keys = [
        trainer_key(first),
        trainer_key(written("2.yaml", backbone="b.keras")),
        trainer_key(written("3.yaml", image_size=[64, 64])),
    ]
    before = derived.files(config.load(str(first)))
    os.utime(tmp_path / "a.keras", ns=(7, 7))
    assert trainer_key(first) == keys[0]  # only the time is another
    (tmp_path / "a.keras").write_bytes(b"eno")
    os.utime(tmp_path / "a.keras", ns=(0, 0))
    assert derived.files(config.load(str(first))) != before
    assert len({*keys, trainer_key(first)}) == 4


@pytest.mark.parametrize(
    ("beam", "image"),
    [
        (["--runner=DataflowRunner", "--sdk_container_image=me/pets:1"], "me/pets:1"),
        (["--runner=FlinkRunner", "--sdk_container_image", "me/pets:1"], "me/pets:1"),
        (["--runner=FlinkRunner", "--environment_type=DOCKER", "--environment_config=me/pets:1"], "none"),
        ([], "none"),
    ],
)
def test_a_stage_hands_beam_the_image_of_the_user_and_packs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beam: list[str], image: str
) -> None:
    from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, WorkerOptions
    from apache_beam.transforms.environments import Environment
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.utils import dependency_utils

    from components.stages.ingest import Executor

    monkeypatch.setattr(dependency_utils, "build_ephemeral_package", lambda: pytest.fail("TFX packs itself"))
    told = {"name": "x", "task": "single_label", "push": {"destination": "models"}, "data": {"root": "data"}}
    (tmp_path / "imagegate.yaml").write_text(yaml.safe_dump(told | {"beam": beam}))
    built = graph.build(config.load(str(tmp_path / "imagegate.yaml")), data_fingerprint="abc", served_version="")
    executor = Executor(BaseBeamExecutor.Context(beam_pipeline_args=list(built.beam_pipeline_args)))
    options = PipelineOptions(executor._beam_pipeline_args)
    assert options.view_as(WorkerOptions).sdk_container_image == image
    if "--environment_config=me/pets:1" in beam:
        environment = Environment.from_options(options.view_as(PortableOptions))
        assert environment.container_image == "me/pets:1"


def test_out_of_distribution_images_count_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "1.png").write_bytes(b"one")
    os.utime(tmp_path / "other" / "1.png", ns=(0, 0))
    before = out_of_distribution.fingerprint(str(tmp_path / "other"), 1000)
    (tmp_path / "other" / "1.png").write_bytes(b"two")
    os.utime(tmp_path / "other" / "1.png", ns=(0, 0))
    assert out_of_distribution.fingerprint(str(tmp_path / "other"), 1000) != before
    (tmp_path / "other" / "1.png").write_bytes(b"one")
    assert out_of_distribution.fingerprint(str(tmp_path / "other"), 1000) == before
