"""Calibration and decision thresholds, from what the model answered to the eval split. NumPy and SciPy only.

A calibration is a line per label, logits * scale + bias, that makes probabilities mean what they say:

- one temperature for all labels of a softmax, scale = 1 / T, bias 0 (Guo et al., "On Calibration of Modern Neural
  Networks", ICML 2017); the answers stay what they were;
- for each sigmoid a scale and a bias of its own (Platt, "Probabilistic Outputs for Support Vector Machines", 1999).

Both minimise the cross-entropy with Platt's targets, (n + 1) / (n + 2) in the place of 1, and for a sigmoid
1 / (n + 2) in that of 0: where n images are all answered rightly, certainty would fit them best, and be wrong. With
few images even that may fit them alone; so a calibration is used only where, over five folds, it lowers the
cross-entropy of images that it was not fitted to by more than chance does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
T = TypeVar("T")

_FOLDS = 5
_SURE = 1.64  # standard errors, one-sided 95 %
_LARGEST = np.log(100.0)  # |log T|: beyond, a model is broken, not uncalibrated
_PARAMETERS = (1.0, 0.0)  # scale and bias of no calibration


def temperature(logits: NDArray[np.floating], truth: NDArray[np.integer], weight: Floats) -> float:
    """The temperature T > 0 by which to divide logits, 1 where it would not help.

    Args:
        logits: [n, K].
        truth: [n], index of each example's label.
        weight: [n], how much each example counts.
    """
    wide = logits.astype(np.float64)

    def fit(use: Bools) -> float:
        spread = 1 / (use.sum() + 2)  # over the other labels, evenly
        found = optimize.minimize_scalar(
            lambda log_t: losses(np.exp(log_t), use, spread).sum(), bounds=(-_LARGEST, _LARGEST), method="bounded"
        )
        return float(np.exp(found.x))

    def losses(t: float, use: Bools, spread: float = 0.0) -> Floats:
        z = wide[use] / t
        own = z[np.arange(len(z)), truth[use]]
        others = (z.sum(axis=1) - own) / max(1, z.shape[1] - 1)
        found: Floats = weight[use] * (special.logsumexp(z, axis=1) - (1 - spread) * own - spread * others)
        return found

    return fit(np.ones(len(wide), bool)) if _generalises(len(wide), fit, losses, 1.0) else 1.0


def platt(logits: NDArray[np.floating], target: NDArray[np.floating], weight: Floats) -> tuple[Floats, Floats]:
    """(scale [K], bias [K]) of sigmoid(logits * scale + bias); 1 and 0 where they would not help.

    A scale of 0 or less would turn a label's order of the images round; there, too, the label stays as it is.

    Args:
        logits: [n, K].
        target: [n, K], 1 applies, 0 does not, -1 nobody said.
        weight: [n], how much each example counts.
    """
    lines = []
    for z, t in zip(logits.T.astype(np.float64), target.T, strict=True):
        known = t >= 0
        lines.append(_platt(z[known], t[known] > 0, weight[known]))
    scale, bias = np.array(lines, np.float64).reshape(-1, 2).T
    return scale, bias


def _platt(z: Floats, applies: Bools, weight: Floats) -> tuple[float, float]:
    def fit(use: Bools) -> tuple[float, float]:
        t, w = applies[use], weight[use]
        # Platt's targets count examples, so weights are brought to a mean of 1.
        share = w * (len(w) / w.sum())
        positive, negative = (share * t).sum(), (share * ~t).sum()
        soft = np.where(t, (positive + 1) / (positive + 2), 1 / (negative + 2))

        def mean_loss(line: Floats) -> tuple[float, Floats]:
            y = z[use] * line[0] + line[1]
            slope = w * (special.expit(y) - soft)
            value = (w * (np.logaddexp(0, y) - soft * y)).sum() / w.sum()
            return value, np.array([(slope * z[use]).sum(), slope.sum()]) / w.sum()

        found = optimize.minimize(mean_loss, np.array(_PARAMETERS), jac=True, method="BFGS")
        return float(found.x[0]), float(found.x[1])

    def losses(line: tuple[float, float], use: Bools) -> Floats:
        y = z[use] * line[0] + line[1]
        found: Floats = weight[use] * (np.logaddexp(0, y) - applies[use] * y)
        return found

    if not applies.any() or applies.all():
        return _PARAMETERS
    found = fit(np.ones(len(z), bool)) if _generalises(len(z), fit, losses, _PARAMETERS) else _PARAMETERS
    return found if found[0] > 0 and np.isfinite(found).all() else _PARAMETERS


def _generalises(n: int, fit: Callable[[Bools], T], losses: Callable[[T, Bools], Floats], identity: T) -> bool:
    """Whether what `fit` finds in four fifths of the n examples lowers the loss of the other fifth, beyond chance.

    That is, over all folds, by more than 1.64 standard errors of the examples' differences (one-sided, 95 %).
    """
    if n < _FOLDS:
        return False
    fold = np.arange(n) % _FOLDS
    parts = [losses(identity, fold == i) - losses(fit(fold != i), fold == i) for i in range(_FOLDS)]
    gain = np.concatenate(parts)
    return bool(gain.sum() > _SURE * gain.std() * np.sqrt(n))


def decision_thresholds(
    probabilities: NDArray[np.floating],
    target: NDArray[np.floating],
    weight: Floats,
    aim: str | Mapping[str, float] = "f1",
) -> Floats:
    """[K] probabilities from which on each label is decided on.

    "f1": the one with the largest F1, 2 tp / (2 tp + fp + fn). {"precision": p}: the lowest at which the precision is
    p or more, which keeps the most recall. {"recall": r}: the highest at which the recall is r or more. A threshold
    lies halfway between the two neighbouring scores. Where the eval split has no example of a label, or nothing reaches
    the aim, it is 0.5, or for a precision out of reach 1, which decides on nothing but certainty.

    Args:
        probabilities: [n, K], calibrated.
        target: [n, K], 1 applies, 0 does not, -1 nobody said.
        weight: [n].
        aim: see above.
    """
    found = []
    for p, t in zip(probabilities.T.astype(np.float64), target.T, strict=True):
        known = t >= 0
        found.append(_threshold(p[known], t[known] > 0, weight[known], aim))
    return np.array(found, np.float64)


def _threshold(p: Floats, applies: Bools, weight: Floats, aim: str | Mapping[str, float]) -> float:
    if not applies.any():
        return 0.5
    scores, group = np.unique(-p, return_inverse=True)  # descending
    tp = np.cumsum(np.bincount(group, weight * applies, minlength=len(scores)))
    fp = np.cumsum(np.bincount(group, weight * ~applies, minlength=len(scores)))
    total = tp[-1]
    # Deciding on everything down to score i; halfway to the next lower one, which is left out.
    cuts = -(scores + np.append(scores[1:], 0.0)) / 2
    if isinstance(aim, str):
        return float(cuts[np.argmax(2 * tp / (tp + fp + total))])
    [(metric, bound)] = aim.items()
    reached = np.flatnonzero((tp / (tp + fp) if metric == "precision" else tp / total) >= bound - 1e-12)
    if not len(reached):
        return 1.0
    return float(cuts[reached[-1] if metric == "precision" else reached[0]])
