"""What turns a network's logits into decisions: calibration, a threshold per label, and when to abstain. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from components.model import calibration, familiarity
from components.model.familiarity import Reference

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the configuration says; meanings as in pipeline.config.Decisions."""

    calibrate: bool
    threshold: str | Mapping[str, float]
    abstain_below: float | None


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the network says to the images of a split; for segmentation to a sample of their pixels, [n] pixels.

    Attributes:
        features: float32 [images, F], pooled.
        logits: float32 [n, K].
        target: [n, K], 1 applies, 0 does not, -1 nobody said.
        weight: float64 [n].
    """

    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: Floats


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What a model carries besides its network.

    Attributes:
        scale, bias: [K], calibrated logits are logits * scale + bias.
        thresholds: [K], probabilities from which on a label is decided on.
        reference: for the familiarity.
        abstain_below: familiarity below which the model abstains; 0: never.
    """

    scale: Floats
    bias: Floats
    thresholds: Floats
    reference: Reference
    abstain_below: float

    def to_json(self, labels: Sequence[str]) -> dict[str, Any]:
        """What of it people want to see, by label name; plain values."""
        by_label = zip(labels, self.thresholds, self.scale, self.bias, strict=True)
        return {
            "labels": {
                label: {"threshold": float(t), "scale": float(a), "bias": float(b)} for label, t, a, b in by_label
            },
            "abstain_below": self.abstain_below,
            "reference_images": len(self.reference.features),
        }


def fit(task: str, train: NDArray[np.float32], evaluation: Answers, settings: Settings) -> Decisions:
    """Everything from the eval split, but for the training images' features [m, F] that familiarity is measured by.

    A model of one single label is no classifier but a detector: its familiarity stands for the probability.
    """
    classes = evaluation.logits.shape[1]
    reference = familiarity.fit(train, evaluation.features)
    below = settings.abstain_below or 0.0
    scale, bias = np.ones(classes), np.zeros(classes)
    if is_detector(task, classes):
        return Decisions(scale=scale, bias=bias, thresholds=scale * below, reference=reference, abstain_below=below)
    known = (evaluation.target >= 0).any(axis=1) & np.isfinite(evaluation.logits).all(axis=1)
    logits, target, weight = evaluation.logits[known], evaluation.target[known], evaluation.weight[known]
    if task == "multi_label":
        if settings.calibrate:
            scale, bias = calibration.platt(logits, target, weight)
        probabilities = special.expit(logits * scale + bias)
    else:
        if settings.calibrate and len(logits):
            scale = scale / calibration.temperature(logits, target.argmax(axis=1), weight)
        probabilities = special.softmax(logits * scale, axis=1)
    return Decisions(
        scale=scale,
        bias=bias,
        thresholds=calibration.decision_thresholds(probabilities, target, weight, settings.threshold),
        reference=reference,
        abstain_below=below,
    )


def is_detector(task: str, classes: int) -> bool:
    """Whether there is nothing to classify: each image has the same single label."""
    return task == "single_label" and classes == 1
