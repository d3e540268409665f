"""The common part of the label kinds whose models give every label of an image a probability."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from components.labels import outputs
from components.labels.kind import Evidence
from components.metrics.scored import Answer

OUTPUTS: Mapping[str, Literal["float", "bool"]] = MappingProxyType(
    {outputs.PROBABILITIES: "float", outputs.UNCALIBRATED: "float", outputs.DECISIONS: "bool"}
)
# Of all labels together, and of each label.
ABSTAINED: Mapping[str, Evidence] = MappingProxyType({"abstained": Evidence("effective_count")})
PROPORTIONS: Mapping[str, Evidence] = MappingProxyType(
    {
        "recall": Evidence("effective_positives"),
        "specificity": Evidence("effective_negatives"),
        "precision": Evidence("effective_decided"),
        "binary_accuracy": Evidence("effective_known"),
        "f1": Evidence("effective_involved"),
        "threshold_precision": Evidence("effective_threshold_decided"),
        "threshold_recall": Evidence("effective_positives"),
        "threshold_f1": Evidence("effective_threshold_involved"),
    }
)
COLUMNS = ("precision", "recall", "f1", "auc", "average_precision")


def answer_of(answer: Mapping[str, Any]) -> Answer:
    """Converts the answer of the signature `outputs.EVALUATE` to one example: output -> array."""
    return Answer(
        answer[outputs.PROBABILITIES], answer[outputs.UNCALIBRATED], answer[outputs.DECISIONS], abstains(answer)
    )


def abstains(answer: Mapping[str, Any]) -> bool:
    """Whether the model abstains, because the example is unlike all images that it was trained on."""
    return bool(np.all(answer[outputs.ABSTAIN]))


def probabilities(arrays: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    """Converts the arrays of the signature `serving_default` to label -> probability, one mapping per image."""
    for names, row in zip(arrays[outputs.LABELS], arrays[outputs.PROBABILITIES], strict=True):
        yield {name.decode(): float(p) for name, p in zip(names, row, strict=True)}
