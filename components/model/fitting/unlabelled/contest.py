"""Decides whether a method that uses images without labels is better than training without them, beyond chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from components.data import features

Floats = NDArray[np.float64]

_DRAWS = 2000  # of the bootstrap
_LEVEL = 95  # per cent
_LARGEST = np.log(100.0)  # of a temperature's logarithm
FEW = 100  # eval images below which cross-validation on train decides
FOLDS = 3


@dataclass(frozen=True)
class Judged:
    """The answers of one network on images with labels.

    Attributes:
        losses: [n], cross-entropy of each image at the temperature that is best for all of them.
        weight: [n], example weights.
        right: [n], share of the labels that are right.
    """

    losses: Floats
    weight: Floats
    right: Floats

    @classmethod
    def of(
        cls, logits: NDArray[np.floating], target: NDArray[np.floating], weight: NDArray[np.floating], exclusive: bool
    ) -> Judged:
        """Judges logits [n, K] by targets [n, K] (1 applies, 0 does not, -1 unknown); images without any are left out.

        A network that is too sure, or not sure enough, is calibrated later, so that does not count against it.
        """
        some = (target >= 0).any(axis=1)
        z, t, w = logits[some].astype(np.float64), target[some], weight[some].astype(np.float64)

        def losses(log_temperature: float) -> Floats:
            scaled = z / np.exp(log_temperature)
            if exclusive:
                return np.asarray(special.logsumexp(scaled, axis=1) - (scaled * (t > 0)).sum(axis=1), np.float64)
            each = (t >= 0) * np.logaddexp(0, np.where(t > 0, -scaled, scaled))
            return np.asarray(each.sum(axis=1) / (t >= 0).sum(axis=1), np.float64)

        best = optimize.minimize_scalar(
            lambda value: float(w @ losses(value)), bounds=(-_LARGEST, _LARGEST), method="bounded"
        )
        hit = z.argmax(axis=1) == t.argmax(axis=1) if exclusive else (((z > 0) == (t > 0)) * (t >= 0)).sum(axis=1)
        return cls(losses(best.x), w, hit / (1 if exclusive else (t >= 0).sum(axis=1)))

    @classmethod
    def of_masks(
        cls, logits: NDArray[np.floating], target: NDArray[np.integer], weight: NDArray[np.floating]
    ) -> Judged:
        """Judges logits [n, H, W, K] by label ids [n, H, W]; images without a known pixel are left out."""
        known = target != features.IGNORED_ID
        some = known.any(axis=(1, 2))
        losses, right = [], []
        for whole, mask, own in zip(logits[some], target[some], known[some], strict=True):
            z, truth = whole[own].astype(np.float64), mask[own]
            losses.append(float((special.logsumexp(z, axis=1) - z[np.arange(len(z)), truth]).mean()))
            right.append(float((z.argmax(axis=1) == truth).mean()))
        return cls(np.array(losses), weight[some].astype(np.float64), np.array(right))


@dataclass(frozen=True)
class Outcome:
    """How a method compares with training without images without labels.

    Attributes:
        images: how many judged.
        difference: mean loss with the method, minus that without.
        low, high: 95 % interval of it.
        gain: share of right answers with the method, minus that without.
        better: whether the loss is lower beyond chance, and no fewer answers are right.
    """

    images: int
    difference: float
    low: float
    high: float
    gain: float
    better: bool


def compare(plain: Judged, other: Judged, seed: int) -> Outcome:
    """Compares two networks on the same images, with a paired bootstrap (Efron & Tibshirani 1993, chapter 13).

    Args:
        plain: without images without labels.
        other: with them.
        seed: of the draws.
    """
    apart, weight = other.losses - plain.losses, plain.weight
    draws = np.random.default_rng(seed).multinomial(len(apart), np.full(len(apart), 1 / len(apart)), _DRAWS)
    means = (draws @ (weight * apart)) / np.maximum(draws @ weight, 1e-12)
    low, high = np.percentile(means, [(100 - _LEVEL) / 2, (100 + _LEVEL) / 2])
    difference = float(weight @ apart / weight.sum())
    gain = float(weight @ (other.right - plain.right) / weight.sum())
    return Outcome(len(apart), difference, float(low), float(high), gain, bool(high < 0 and gain >= 0))


def joined(parts: list[Judged]) -> Judged:
    """The answers of several folds as one."""
    return Judged(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("losses", "weight", "right")))
