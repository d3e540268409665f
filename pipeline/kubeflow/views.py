"""What Kubeflow's user interface draws of a stage: metrics, a confusion matrix, a page. Outputs beside TFX's own."""

from __future__ import annotations

import glob
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components import metrics

if TYPE_CHECKING:
    from tfx.types.artifact import Artifact

METRICS, CONFUSION, PAGE = "metrics", "confusion_matrix", "page"
# The interface draws every cell. From some 600 labels on, a matrix is above the 4 MiB that ML Metadata's server takes
# in one message with backends before 2.16, and the stage would fail for a picture.
MOST_DRAWN = 200


def types(stage: str, task: str) -> dict[str, str]:
    """Additional output -> Kubeflow's type."""
    if stage == "Evaluator":
        confused = {CONFUSION: "system.ClassificationMetrics"} if task in metrics.CONFUSED else {}
        return {METRICS: "system.Metrics"} | confused
    return {PAGE: "system.HTML"} if stage == "ModelReport" else {}


def overall(numbers: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of the whole; those of labels are in the report. Not a number: left out, as JSON has none."""
    return {
        name: float(value)
        for name, value in numbers.items()
        if name != metrics.CONFUSION and "/" not in name and math.isfinite(value)
    }


def confusion_matrix(labels: Sequence[str], matrix: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The metadata that hold it: rows are the truth, columns the prediction. None of more than `MOST_DRAWN` labels."""
    if len(labels) > MOST_DRAWN:
        return {}
    return {
        "confusionMatrix": {
            "annotationSpecs": [{"displayName": label} for label in labels],
            "rows": [{"row": [float(value) for value in row]} for row in matrix],
        }
    }


def fill(
    told: Mapping[str, Any],
    inputs: Mapping[str, Sequence[Artifact]],
    outputs: Mapping[str, Sequence[Artifact]],
    local: Callable[[str], str],
) -> dict[str, Any]:
    """The outputs of Kubeflow's own types, for the launcher: what the interface reads is their metadata, or their file.

    Args:
        told: the ExecutorInput.
        inputs: the stage's.
        outputs: the stage's own.
        local: URI -> path; see `container.local`.
    """
    listed = told["outputs"].get("artifacts", {})
    found: dict[str, dict[str, Any]] = {}
    if METRICS in listed:
        from components.data import schema
        from components.evaluation import analysis

        results = analysis.results(outputs["evaluation"][0].uri, analysis.CANDIDATE)
        numbers = next(numbers for where, numbers in results if not where)
        found[METRICS] = overall(numbers)
        if CONFUSION in listed:
            labels = schema.labels(inputs["schema"][0].uri)
            found[CONFUSION] = confusion_matrix(labels, numbers[metrics.CONFUSION])
    if PAGE in listed:
        [page] = glob.glob(os.path.join(glob.escape(outputs["report"][0].uri), "*.html"))
        shutil.copyfile(page, local(listed[PAGE]["artifacts"][0]["uri"]))
        found[PAGE] = {}
    return {key: {"artifacts": [listed[key]["artifacts"][0] | {"metadata": of}]} for key, of in found.items()}
