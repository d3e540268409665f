"""Outputs that Kubeflow's user interface displays in addition to those of TFX: metrics, a confusion matrix, a page."""

from __future__ import annotations

import glob
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from components.labels import kinds
from pipeline.kubeflow.artifacts import Json
from pipeline.stages import Stage, View

if TYPE_CHECKING:
    from tfx.types.artifact import Artifact

_TYPES = {
    View.METRICS: "system.Metrics",
    View.CONFUSION: "system.ClassificationMetrics",
    View.PAGE: "system.HTML",
}
# With about 600 labels, a matrix exceeds the 4 MiB that ML Metadata's server accepts in one message with backends
# before 2.16, and the stage would fail because of a picture.
MOST_DRAWN = 200


def types(stage: Stage, task: str) -> dict[str, str]:
    """Returns the additional outputs of a stage with their Kubeflow types."""
    views = [view for view in stage.views if view is not View.CONFUSION or kinds.kind(task).exclusive]
    return {view.value: _TYPES[view] for view in views}


def overall(numbers: Mapping[str, float]) -> dict[str, float]:
    """Returns the finite metrics of the whole test split, without those of single labels.

    >>> overall({"accuracy": 0.5, "recall/cat": 1.0, "loss": math.nan})
    {'accuracy': 0.5}
    """
    return {name: value for name, value in numbers.items() if "/" not in name and math.isfinite(value)}


def confusion_matrix(labels: Sequence[str], matrix: Sequence[Sequence[float]]) -> Json:
    """Returns a confusion matrix as artifact metadata, empty for more than `MOST_DRAWN` labels.

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
    executor_input: Json,
    inputs: Mapping[str, Sequence[Artifact]],
    outputs: Mapping[str, Sequence[Artifact]],
    local: Callable[[str], str],
) -> Json:
    """Fills the views of a stage and returns them as the launcher expects them.

    Args:
        executor_input: from the launcher; see `container`.
        inputs: artifacts of the stage.
        outputs: artifacts of the stage, already written.
        local: URI -> path; see `artifacts.local`.
    """
    expected = executor_input["outputs"].get("artifacts", {})
    contents: dict[str, Json] = {}
    if View.METRICS in expected:
        from components.data import schema
        from components.evaluation import analysis

        evaluation = outputs["evaluation"][0].uri
        results = analysis.results(evaluation, analysis.CANDIDATE)
        numbers = next(numbers for where, numbers in results if not where)
        contents[View.METRICS] = overall(numbers)
        if View.CONFUSION in expected:
            labels = schema.labels(inputs["schema"][0].uri)
            contents[View.CONFUSION] = confusion_matrix(labels, analysis.confusion(evaluation, analysis.CANDIDATE))
    if View.PAGE in expected:
        [page] = glob.glob(os.path.join(glob.escape(outputs["report"][0].uri), "*.html"))
        shutil.copyfile(page, local(expected[View.PAGE]["artifacts"][0]["uri"]))
        contents[View.PAGE] = {}
    return {
        str(view): {"artifacts": [expected[view]["artifacts"][0] | {"metadata": metadata}]}
        for view, metadata in contents.items()
    }
