"""A model of several labels, and one of masks, as files: float32 has the metrics of the SavedModel, int8 nearly."""

import math
from pathlib import Path

import pytest
from projects import Project, Trained

from components.exports import conduct
from components.exports.records import ExportResult
from components.exports.settings import ExportSettings
from components.gates.settings import Threshold

pytestmark = pytest.mark.end_to_end


def exported(project: Project, task: str, folder: Path) -> ExportResult:
    settings = ExportSettings(
        name=project.name,
        task=task,
        bits=None,
        formats=("litert", "litert-int8"),
        max_drop=1.0,
        min_agreement=0.9,
        thresholds=(Threshold(metric="abstained", max=1),),
        code_fingerprint="",
    )
    model = project.artifact("Trainer", "model") / "Format-Serving"
    return conduct.conduct(
        settings,
        str(project.artifact("ImageExampleGen", "examples")),
        str(project.artifact("CuratedSchema", "schema_out")),
        str(model),
        str(project.artifact("Evaluator", "evaluation")),
        str(folder),
    )


def check(found: ExportResult, project: Trained, folder: Path) -> None:
    floats, integers = found.exports
    assert (floats.passed, integers.passed) == (True, True), (floats.sentence(), integers.sentence())
    known = project.summary["metrics"]
    assert floats.metrics.keys() <= known.keys()
    for name, value in floats.metrics.items():
        assert value == (None if known[name] is None else pytest.approx(known[name], abs=1e-3)), name
    assert floats.changes.keys() == project.summary["per_label"].keys()
    assert all(change is None or abs(change) < 1e-3 for change in floats.changes.values())
    assert floats.agreement > 0.9999
    assert 0.9 < integers.agreement <= 1
    assert math.isfinite(integers.mean_difference)
    assert sorted(path.name for path in folder.iterdir()) == ["litert-int8.tflite", "litert.tflite"]


def test_several_labels(shapes: Trained, tmp_path: Path) -> None:
    check(exported(shapes, "multi_label", tmp_path), shapes, tmp_path)


def test_masks(regions: Trained, tmp_path: Path) -> None:
    check(exported(regions, "segmentation", tmp_path), regions, tmp_path)
