"""The registry of label kinds, and what each kind must agree with."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.base.errors import ConfigError
from components.labels import kinds, multi, single
from components.labels.learning import heads, pixels, sigmoid, softmax

ROOT = Path(__file__).parents[3]


def test_every_task_has_its_kind() -> None:
    assert kinds.kind("single_label") is single.KIND
    assert list(kinds.KINDS) == ["single_label", "multi_label", "segmentation"]
    with pytest.raises(ConfigError, match="task: 'detection' is none of single_label, multi_label, segmentation"):
        kinds.kind("detection")


def test_the_head_follows_what_the_labels_are() -> None:
    assert [heads.head_of(kind) for kind in kinds.KINDS.values()] == [softmax, sigmoid, pixels]


@pytest.mark.parametrize("kind", kinds.KINDS.values(), ids=kinds.KINDS)
def test_the_accumulator_gives_every_metric_that_the_kind_names(kind: kinds.LabelKind) -> None:
    assert sorted(kind.accumulator(2).result(["a", "b"])) == sorted(kind.metric_names(["a", "b"]))


@pytest.mark.parametrize("wrong", [{"main": "iou"}, {"columns": ("accuracy",)}, {"main_of_label": "accuracy"}])
def test_a_kind_refuses_a_metric_that_it_does_not_have(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"label kind single_label: it has no metric (iou|accuracy)"):
        dataclasses.replace(single.KIND, **wrong)


@pytest.mark.parametrize(("pretrained", "fewest"), [(False, [2, 1, 2]), (True, [1, 1, 2])])
def test_only_independent_labels_and_detectors_can_do_with_one(pretrained: bool, fewest: list[int]) -> None:
    assert [kind.fewest_labels(pretrained=pretrained) for kind in kinds.KINDS.values()] == fewest
    assert single.KIND.is_detector(1)
    assert not multi.KIND.is_detector(1)


GRADES = """
import dataclasses
from components.labels import single
KIND = dataclasses.replace(single.KIND, task="grades", main="macro_f1")
"""
USED = """
import json, sys
from components.data import schema
from components.labels.learning.heads import head_of
from pipeline import config
loaded = config.load(sys.argv[1])
features = [feature.name for feature in schema.curated(loaded.task, ["a", "b"]).feature]
print(json.dumps([loaded.kind.main, head_of(loaded.kind).__name__, loaded.data_gate_limits.min_labels, features]))
"""


def test_a_new_kind_is_a_module_an_entry_and_a_schema(tmp_path: Path) -> None:
    """Follows the steps in a copy of the code: a task that learns like single labels, with another main metric."""
    for package in ("components", "pipeline", "schemas"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "components" / "labels" / "grades.py").write_text(GRADES)
    registry = tmp_path / "components" / "labels" / "kinds.py"
    text = registry.read_text().replace("import mask", "import grades, mask")
    registry.write_text(text.replace("mask.KIND", "mask.KIND, grades.KIND"))
    shutil.copy(tmp_path / "schemas" / "single_label.pbtxt", tmp_path / "schemas" / "grades.pbtxt")
    settings = {"name": "x", "task": "grades", "data": {"root": "data"}, "push": {"destination": "models"}}
    settings["evaluation"] = {"thresholds": [{"metric": "macro_f1", "min": 0.5}]}
    (tmp_path / "imagegate.yaml").write_text(json.dumps(settings))
    command = [sys.executable, "-c", USED, str(tmp_path / "imagegate.yaml")]
    environment = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    main, head, fewest, features = json.loads(done.stdout)
    assert (main, head, fewest) == ("macro_f1", "components.labels.learning.softmax", 2)
    assert {"image/path", "label", "label/unknown"} <= set(features)
