"""Outputs that Kubeflow's user interface draws, beside TFX's own: metrics, a confusion matrix, a page."""

from __future__ import annotations

import glob
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components import metrics
from components.labels import kinds
from pipeline.stages import Stage, View

if TYPE_CHECKING:
    from tfx.types.artifact import Artifact

_TYPES = {
    View.METRICS: "system.Metrics",
    View.CONFUSION: "system.ClassificationMetrics",
    View.PAGE: "system.HTML",
}
# The interface draws every cell. From some 600 labels on, a matrix is above the 4 MiB that ML Metadata's server takes
# in one message with backends before 2.16, and the stage would fail for a picture.
MOST_DRAWN = 200


def types(stage: Stage, task: str) -> dict[str, str]:
    """Returns the additional outputs of a stage with their Kubeflow types."""
    views = [view for view in stage.views if view is not View.CONFUSION or kinds.kind(task).exclusive]
    return {view.value: _TYPES[view] for view in views}


def overall(numbers: Mapping[str, Any]) -> dict[str, float]:
    """Returns the metrics of the whole test split. Those of labels are in the report; JSON has no word for NaN."""
    return {
        name: float(value)
        for name, value in numbers.items()
        if name != metrics.CONFUSION and "/" not in name and math.isfinite(value)
    }


def confusion_matrix(labels: Sequence[str], matrix: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Returns the metadata of a confusion matrix, empty for more than `MOST_DRAWN` labels.

    Args:
        labels: names, in the order of rows and columns.
        matrix: numbers of examples or pixels; rows are the truth, columns the prediction.
    """
    if len(labels) > MOST_DRAWN:
        return {}
    return {
        "confusionMatrix": {
            "annotationSpecs": [{"displayName": label} for label in labels],
            "rows": [{"row": [float(value) for value in row]} for row in matrix],
        }
    }


def fill(
    executor_input: Mapping[str, Any],
    inputs: Mapping[str, Sequence[Artifact]],
    outputs: Mapping[str, Sequence[Artifact]],
    local: Callable[[str], str],
) -> dict[str, Any]:
    """Returns the views of a stage as the launcher takes them. The interface reads their metadata, or their file.

    Args:
        executor_input: what the launcher passed; see `container`.
        inputs: the stage's.
        outputs: the stage's own, already written.
        local: URI -> path; see `artifacts.local`.
    """
    expected = executor_input["outputs"].get("artifacts", {})
    contents: dict[str, dict[str, Any]] = {}
    if View.METRICS in expected:
        from components.data import schema
        from components.evaluation import analysis

        results = analysis.results(outputs["evaluation"][0].uri, analysis.CANDIDATE)
        numbers = next(numbers for where, numbers in results if not where)
        contents[View.METRICS] = overall(numbers)
        if View.CONFUSION in expected:
            labels = schema.labels(inputs["schema"][0].uri)
            contents[View.CONFUSION] = confusion_matrix(labels, numbers[metrics.CONFUSION])
    if View.PAGE in expected:
        [page] = glob.glob(os.path.join(glob.escape(outputs["report"][0].uri), "*.html"))
        shutil.copyfile(page, local(expected[View.PAGE]["artifacts"][0]["uri"]))
        contents[View.PAGE] = {}
    return {
        str(view): {"artifacts": [expected[view]["artifacts"][0] | {"metadata": metadata}]}
        for view, metadata in contents.items()
    }
