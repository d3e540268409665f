"""Decisions: everything that turns a network's logits into answers, that is calibration, thresholds and abstention.

NumPy and SciPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # which loads a part when it is used
from numpy.typing import NDArray

from components.labels.kind import LabelKind
from components.model import calibration, familiarity
from components.model.familiarity import Reference
from components.model.settings import DecisionSettings

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Outputs of the network for the images of a split; for masks, for a sample of n of their pixels.

    Attributes:
        features: float32 [images, F], pooled.
        logits: float32 [n, K].
        target: [n, K], 1 applies, 0 does not, -1 unknown.
        weight: float64 [n].
    """

    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: Floats


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Everything that a model carries besides its network.

    Attributes:
        scale, bias: [K], calibrated logits are logits * scale + bias.
        thresholds: [K], probabilities at or above which a label is predicted.
        reference: for the familiarity.
        abstain_below: familiarity below which the model abstains; 0: it never does.
    """

    scale: Floats
    bias: Floats
    thresholds: Floats
    reference: Reference
    abstain_below: float

    def to_json(self, labels: Sequence[str]) -> dict[str, Any]:
        """Summarises the decisions for people, by label name, as plain values.

        >>> reference = Reference(np.ones((20, 8), np.float32), np.ones(5, np.float32), neighbour=1)
        >>> half = np.array([0.5])
        >>> fitted = Decisions(scale=half, bias=0 * half, thresholds=half, reference=reference, abstain_below=0.0)
        >>> fitted.to_json(["cat"])["labels"]
        {'cat': {'threshold': 0.5, 'scale': 0.5, 'bias': 0.0}}
        """
        by_label = zip(labels, self.thresholds, self.scale, self.bias, strict=True)
        return {
            "labels": {
                label: {"threshold": float(t), "scale": float(a), "bias": float(b)} for label, t, a, b in by_label
            },
            "abstain_below": self.abstain_below,
            "reference_images": len(self.reference.features),
        }


def fit(kind: LabelKind, train: NDArray[np.float32], evaluation: Answers, settings: DecisionSettings) -> Decisions:
    """Fits calibration, thresholds and familiarity.

    A model with one single label cannot classify; it is a detector, whose familiarity serves as the probability.

    Args:
        kind: what the labels are.
        train: [m, F], pooled features of training images, which the familiarity is measured against.
        evaluation: the network's outputs on the eval split, which everything else is fitted to.
        settings: the configured decisions.
    """
    classes = evaluation.logits.shape[1]
    reference = familiarity.fit(train, evaluation.features)
    below = settings.abstain_below or 0.0
    scale, bias = np.ones(classes), np.zeros(classes)
    if kind.is_detector(classes):
        return Decisions(scale=scale, bias=bias, thresholds=scale * below, reference=reference, abstain_below=below)
    known = (evaluation.target >= 0).any(axis=1) & np.isfinite(evaluation.logits).all(axis=1)
    logits, target, weight = evaluation.logits[known], evaluation.target[known], evaluation.weight[known]
    if settings.calibrate:
        scale, bias = calibrate(kind, logits, target, weight)
    calibrated = logits * scale + bias
    probabilities = scipy.special.softmax(calibrated, axis=1) if kind.exclusive else scipy.special.expit(calibrated)
    return Decisions(
        scale=scale,
        bias=bias,
        thresholds=calibration.decision_thresholds(probabilities, target, weight, settings.threshold),
        reference=reference,
        abstain_below=below,
    )


def calibrate(
    kind: LabelKind, logits: NDArray[np.float32], target: NDArray[np.float32], weight: Floats
) -> tuple[Floats, Floats]:
    """Fits scale [K] and bias [K] of calibrated logits to answers [n, K] of which some label is known."""
    if not kind.exclusive:
        return calibration.platt(logits, target, weight)
    ones = np.ones(logits.shape[1])
    scale = ones / calibration.temperature(logits, target.argmax(axis=1), weight) if len(logits) else ones
    return scale, 0 * ones
