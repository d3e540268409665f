"""Outputs that Kubeflow's user interface displays."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.kubeflow import views
from pipeline.stages import BY_NAME


def test_overall_metrics_that_are_numbers_are_drawn() -> None:
    numbers = {
        "accuracy": 0.5,
        "recall/cat": 1.0,
        "loss": float("nan"),
        "example_count": 2,
    }
    assert views.overall(numbers) == {"accuracy": 0.5, "example_count": 2.0}


def test_a_confusion_matrix_has_the_form_that_the_interface_reads() -> None:
    assert views.confusion_matrix(["cat", "dog"], [[3, 1], [0, 2]]) == {
        "confusionMatrix": {
            "annotationSpecs": [{"displayName": "cat"}, {"displayName": "dog"}],
            "rows": [{"row": [3.0, 1.0]}, {"row": [0.0, 2.0]}],
        }
    }


def test_a_confusion_matrix_that_is_too_large_is_not_drawn() -> None:
    def drawn(labels: int) -> dict[str, Any]:
        return views.confusion_matrix([str(i) for i in range(labels)], np.eye(labels).tolist())

    assert len(drawn(200)["confusionMatrix"]["rows"]) == 200
    assert drawn(201) == {}


@pytest.mark.parametrize(
    ("stage", "task", "expected"),
    [
        (
            "Evaluator",
            "single_label",
            {"metrics": "system.Metrics", "confusion_matrix": "system.ClassificationMetrics"},
        ),
        ("Evaluator", "multi_label", {"metrics": "system.Metrics"}),
        ("ModelReport", "segmentation", {"page": "system.HTML"}),
        ("Trainer", "single_label", {}),
    ],
)
def test_every_stage_has_its_drawings(stage: str, task: str, expected: dict[str, str]) -> None:
    assert views.types(BY_NAME[stage], task) == expected


def test_the_page_of_a_report_is_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "report[1]").mkdir()
    (tmp_path / "report[1]" / "report.html").write_text("<p>good</p>")
    page = {"uri": "minio://bucket/page", "type": {"schemaTitle": "system.HTML"}}
    executor_input = {"outputs": {"artifacts": {"page": {"artifacts": [page]}, "report": {"artifacts": [{}]}}}}
    report = SimpleNamespace(uri=str(tmp_path / "report[1]"))
    filled = views.fill(executor_input, {}, {"report": [report]}, lambda uri: str(tmp_path / uri.rpartition("/")[2]))
    assert filled == {"page": {"artifacts": [page | {"metadata": {}}]}}
    assert (tmp_path / "page").read_text() == "<p>good</p>"
