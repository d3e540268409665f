"""Score histograms: areas under curves, and calibration, for K labels at once."""

from __future__ import annotations

import numpy as np

from components.metrics.base import Bools, Floats, Rows, ratio

BINS = 4000
CALIBRATION_BINS = 15


def _edges() -> Rows:
    """Interior bin edges in (0, 1), [bins - 1]: half of them uniform, half logistic.

    Trained models saturate: with uniform bins alone all the scores near 0 and 1 fall into one and their order is
    lost. float32 tells scores apart down to 1e-45 near 0 but only 6e-8 near 1, hence the unequal ends.
    """
    uniform = np.arange(1, BINS // 2) / (BINS // 2)
    logistic = 1 / (1 + np.exp(-np.linspace(-104.0, 17.4, BINS - BINS // 2)))
    return np.unique(np.concatenate([uniform, logistic]).astype(np.float32))


_EDGES = _edges()


def histogram(score: Rows, positive: Bools, weight: Floats) -> Floats:
    """Weight of negatives and positives per score bin, float64 [K, 2, bins]; all arguments [n, K]."""
    k, bins = score.shape[1], len(_EDGES) + 1
    cell = (np.arange(k) * 2 + positive) * bins + np.searchsorted(_EDGES, score, side="right")
    counts = np.bincount(cell.ravel(), weight.ravel(), minlength=2 * k * bins)
    # Of no rows at all, bincount makes integers.
    return counts.astype(np.float64).reshape(k, 2, bins)


def binned_areas(histogram: Floats) -> Floats:
    """(ROC AUC, average precision) of each label, [2, K], from `histogram`: scores of one bin count as equal."""
    return areas(histogram[:, 1], histogram[:, 0])


def exact_areas(score: Rows, positive: Bools, weight: Floats) -> Floats:
    """(ROC AUC, average precision) of each label, [2, K]; all arguments [n, K]."""
    each = []
    for label in range(score.shape[1]):
        scores, group = np.unique(score[:, label], return_inverse=True)
        hit, w = positive[:, label], weight[:, label]
        counts = [np.bincount(group, w * part, minlength=len(scores)).astype(np.float64) for part in (hit, ~hit)]
        each.append(areas(*counts))
    return np.stack(each, axis=1)


def areas(positive: Floats, negative: Floats) -> Floats:
    """ROC AUC (equal scores count half) and average precision, as scikit-learn defines both.

    Args:
        positive, negative: [..., S] weight of the examples of each score, scores ascending.

    Returns:
        float64 [2, ...]; NaN without a positive, the AUC also without a negative.
    """
    p, n = positive.sum(axis=-1), negative.sum(axis=-1)
    below = np.cumsum(negative, axis=-1) - negative
    auc = ratio((positive * (below + negative / 2)).sum(axis=-1), p * n)
    tp, fp = (np.cumsum(part[..., ::-1], axis=-1) for part in (positive, negative))
    precision = np.divide(tp, tp + fp, out=np.zeros_like(tp), where=tp + fp > 0)
    return np.stack([auc, ratio((positive[..., ::-1] * precision).sum(axis=-1), p)])


def calibration(score: Rows, hit: Bools, weight: Floats) -> Floats:
    """Sums of weight, weight * score and weight * hit in 15 equal bins of the score, [3, K, 15]; arguments [n, K]."""
    k, bins, score64 = score.shape[1], CALIBRATION_BINS, score.astype(np.float64)
    cell = np.minimum((score64 * bins).astype(np.int64), bins - 1) + bins * np.arange(k)
    summed = (weight, weight * score64, weight * hit)
    counts = [np.bincount(cell.ravel(), part.ravel(), minlength=bins * k) for part in summed]
    return np.stack(counts).astype(np.float64).reshape(3, k, bins)


def ece(calibration: Floats) -> Floats:
    """Expected calibration error [K] (Naeini et al. 2015): the bins' gap of score and hit rate, weighed by share."""
    weight, score, hit = calibration
    return ratio(np.abs(score - hit).sum(axis=-1), weight.sum(axis=-1))
