"""Calibration and decision thresholds, fitted to the model's outputs on the eval split. NumPy and SciPy only.

A calibration maps each label's logit to logit * scale + bias, so that probabilities match observed frequencies:

- A softmax has one temperature T for all labels: scale = 1 / T, bias 0 (Guo et al., "On Calibration of Modern Neural
  Networks", ICML 2017). It never changes which label has the largest probability.
- Sigmoids have a common temperature, which all labels together tell even from few images. Then each has its own scale
  and bias (Platt, "Probabilistic Outputs for Support Vector Machines", 1999), which need many images of the label.

All minimise the cross-entropy with Platt's smoothed targets: (n + 1) / (n + 2) replaces 1, and for a sigmoid
1 / (n + 2) replaces 0. With hard targets, n correct predictions would be fitted best by infinite confidence. On few
images even smoothed targets overfit. Each step is therefore used only if five-fold cross-validation shows that it
lowers the cross-entropy of held-out images by more than chance.

The decision thresholds for F1 follow from the calibrated probabilities and not from counts of right and wrong answers.
Where F1 is largest on a few dozen images of a label is mostly chance (measured in docs/recipe.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

import numpy as np
import scipy  # which loads a part when it is used
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Aim = str | Mapping[Literal["precision", "recall"], float]  # what a decision threshold is chosen for
T = TypeVar("T")

_FOLDS = 5
_STANDARD_ERRORS = 1.64  # one-sided 95 % of a normal distribution
_MAX_LOG_TEMPERATURE = np.log(100.0)  # beyond this, a model is broken rather than uncalibrated
_IDENTITY = (1.0, 0.0)  # scale and bias that change nothing
_ROUNDING = 1e-12  # tolerance where a ratio of summed weights is compared with a bound


def temperature(logits: NDArray[np.floating], truth: NDArray[np.integer], weight: Floats) -> float:
    """Fits the temperature T > 0 that logits are divided by; 1 if calibration does not generalise.

    >>> import numpy as np
    >>> logits = np.tile([[8.0, 0.0]], (100, 1))  # nearly certain of label 0 ...
    >>> truth = np.array([0, 0, 0, 1] * 25)  # ... but right for three of four images only
    >>> t = temperature(logits, truth, np.ones(100))
    >>> round(float(1 / (1 + np.exp(-8.0 / t))), 2)
    0.75

    Args:
        logits: [n, K].
        truth: [n], index of each example's label.
        weight: [n], example weights.
    """
    wide = logits.astype(np.float64)

    def fit(use: Bools) -> float:
        smoothing = 1 / (use.sum() + 2)  # probability that Platt's targets spread evenly over the other labels
        return _least(lambda t: float(losses(t, use, smoothing).sum()))

    def losses(t: float, use: Bools, smoothing: float = 0.0) -> Floats:
        z = wide[use] / t
        own = z[np.arange(len(z)), truth[use]]
        others = (z.sum(axis=1) - own) / max(1, z.shape[1] - 1)
        total = scipy.special.logsumexp(z, axis=1)
        per_example: Floats = weight[use] * (total - (1 - smoothing) * own - smoothing * others)
        return per_example

    return fit(np.ones(len(wide), bool)) if _generalises(len(wide), fit, losses, 1.0) else 1.0


def platt(logits: NDArray[np.floating], target: NDArray[np.floating], weight: Floats) -> tuple[Floats, Floats]:
    """Fits scale [K] and bias [K] of sigmoid(logits * scale + bias): a common temperature, then a line per label.

    Without a gain on held-out images, the common temperature is 1, and the line of a label is that temperature alone.
    So it is where the scale would be 0 or less, which would reverse the label's ranking of the images.

    Args:
        logits: [n, K].
        target: [n, K], 1 applies, 0 does not, -1 unknown.
        weight: [n], example weights.
    """
    wide = logits.astype(np.float64)
    common = _common(wide, target, weight)
    lines = []
    for z, t in zip(wide.T / common, target.T, strict=True):
        known = t >= 0
        lines.append(_platt(z[known], t[known] > 0, weight[known]))
    scale, bias = np.array(lines, np.float64).reshape(-1, 2).T
    own = (scale != 1) | (bias != 0)
    # A label that needs a line of its own has no say in the temperature of the others.
    rest = _common(wide, np.where(own, -1, target), weight) if own.any() else common
    return np.where(own, scale / common, 1 / rest), bias


def _common(logits: Floats, target: NDArray[np.floating], weight: Floats) -> float:
    """Fits one temperature T > 0 to the logits [n, K] of all labels that some image has and some has not."""
    known = target >= 0
    known &= (known & (target > 0)).any(axis=0) & (known & (target <= 0)).any(axis=0)
    away = np.where(known, np.where(target > 0, -logits, logits), 0.0)  # positive: the answer is wrong

    def fit(use: Bools) -> float:
        smoothing = 1 / (known[use].sum() + 2)

        def loss(t: float) -> float:
            z = away[use] / t
            return float((weight[use, None] * known[use] * (np.logaddexp(0, z) - smoothing * z)).sum())

        return _least(loss)

    def losses(t: float, use: Bools) -> Floats:
        per_image: Floats = weight[use] * (known[use] * np.logaddexp(0, away[use] / t)).sum(axis=1)
        return per_image

    return fit(np.ones(len(logits), bool)) if _generalises(len(logits), fit, losses, 1.0) else 1.0


def _least(loss: Callable[[float], float]) -> float:
    """The temperature with the least loss."""
    bounds = (-_MAX_LOG_TEMPERATURE, _MAX_LOG_TEMPERATURE)
    found = scipy.optimize.minimize_scalar(lambda log_t: loss(float(np.exp(log_t))), bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def _platt(z: Floats, applies: Bools, weight: Floats) -> tuple[float, float]:
    """Fits one label's (scale, bias) to its logits z [n]."""

    def fit(use: Bools) -> tuple[float, float]:
        t, w = applies[use], weight[use]
        # Platt's targets count examples, so weights are rescaled to a mean of 1.
        relative = w * (len(w) / w.sum())
        positive, negative = (relative * t).sum(), (relative * ~t).sum()
        smoothed = np.where(t, (positive + 1) / (positive + 2), 1 / (negative + 2))

        def mean_loss(line: Floats) -> tuple[float, Floats]:
            y = z[use] * line[0] + line[1]
            slope = w * (scipy.special.expit(y) - smoothed)
            value = (w * (np.logaddexp(0, y) - smoothed * y)).sum() / w.sum()
            return value, np.array([(slope * z[use]).sum(), slope.sum()]) / w.sum()

        best = scipy.optimize.minimize(mean_loss, np.array(_IDENTITY), jac=True, method="BFGS")
        return float(best.x[0]), float(best.x[1])

    def losses(line: tuple[float, float], use: Bools) -> Floats:
        y = z[use] * line[0] + line[1]
        per_example: Floats = weight[use] * (np.logaddexp(0, y) - applies[use] * y)
        return per_example

    if not applies.any() or applies.all():
        return _IDENTITY
    line = fit(np.ones(len(z), bool)) if _generalises(len(z), fit, losses, _IDENTITY) else _IDENTITY
    return line if line[0] > 0 and np.isfinite(line).all() else _IDENTITY


def _generalises(n: int, fit: Callable[[Bools], T], losses: Callable[[T, Bools], Floats], identity: T) -> bool:
    """Decides by cross-validation whether fitted parameters beat `identity` on held-out examples beyond chance.

    The summed gain over all folds must exceed 1.64 standard errors of the per-example gains (one-sided, 95 %).
    """
    if n < _FOLDS:
        return False
    fold = np.arange(n) % _FOLDS
    parts = [losses(identity, fold == i) - losses(fit(fold != i), fold == i) for i in range(_FOLDS)]
    gain = np.concatenate(parts)
    return bool(gain.sum() > _STANDARD_ERRORS * gain.std() * np.sqrt(n))


def decision_thresholds(
    probabilities: NDArray[np.floating],
    target: NDArray[np.floating],
    weight: Floats,
    aim: Aim = "f1",
) -> Floats:
    """Chooses the probability [K] at or above which each label is predicted.

    It is 0.5 for a label without an example in the eval split, and for a recall that is out of reach; 1 for a precision
    that is out of reach, so that only certainty counts.

    >>> import numpy as np
    >>> probabilities = np.array([[0.9], [0.8], [0.4], [0.2]])  # 2.3 images with the label are to be expected
    >>> target = np.array([[1], [0], [1], [0]])
    >>> decision_thresholds(probabilities, target, np.ones(4)).round(2)  # (0.9 + 0.8 + 0.4) / (3 + 2.3)
    array([0.4])
    >>> decision_thresholds(probabilities, target, np.ones(4), {"precision": 1.0}).round(2)
    array([0.85])

    Args:
        probabilities: [n, K], calibrated.
        target: [n, K], 1 applies, 0 does not, -1 unknown.
        weight: [n], example weights.
        aim: "f1" maximises the F1 to be expected from the probabilities p, 2 sum(p of predicted) / (predicted +
            sum(p)): the threshold is half of that maximum (Lipton, Elkan and Narayanaswamy, "Optimal Thresholding of
            Classifiers to Maximize F1 Measure", ECML 2014). {"precision": p} takes the lowest threshold whose precision
            is at least p, which keeps the most recall; {"recall": r} the highest threshold whose recall is at least r.
            These two count images, and lie halfway between two neighbouring scores.
    """
    thresholds = []
    for p, t in zip(probabilities.T.astype(np.float64), target.T, strict=True):
        known = t >= 0
        thresholds.append(_threshold(p[known], t[known] > 0, weight[known], aim))
    return np.array(thresholds, np.float64)


def _threshold(p: Floats, applies: Bools, weight: Floats, aim: Aim) -> float:
    if not applies.any():
        return 0.5
    if isinstance(aim, str):
        order = np.argsort(-p)
        found = np.cumsum((weight * p)[order])
        most = np.max(2 * found / np.maximum(np.cumsum(weight[order]) + found[-1], _ROUNDING))
        return float(most / 2)
    scores, group = np.unique(-p, return_inverse=True)  # descending
    tp = np.cumsum(np.bincount(group, weight * applies, minlength=len(scores)))
    fp = np.cumsum(np.bincount(group, weight * ~applies, minlength=len(scores)))
    total = tp[-1]
    # Cut i predicts every score down to the i-th; it lies halfway to the next lower score, which it leaves out.
    cuts = -(scores + np.append(scores[1:], 0.0)) / 2
    [(metric, bound)] = aim.items()
    reached = np.flatnonzero((tp / (tp + fp) if metric == "precision" else tp / total) >= bound - _ROUNDING)
    if not len(reached):
        return 1.0
    return float(cuts[reached[-1] if metric == "precision" else reached[0]])
