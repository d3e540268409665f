"""Areas under curves and calibration from histograms of scores, for K labels at once."""

from __future__ import annotations

import numpy as np

from components.metrics.base import Bools, Floats, Rows, ratio

BINS = 4000  # chosen by hand; not measured
CALIBRATION_BINS = 15  # as in Guo et al., "On Calibration of Modern Neural Networks", ICML 2017


def _edges() -> Rows:
    """Interior bin edges in (0, 1), [bins - 1]: half of them uniform, half logistic.

    Trained models saturate: with uniform bins alone, all scores near 0 and all near 1 fall into one bin, which loses
    their order. The smallest positive float32 is 1e-45 (logit -103), the largest below 1 is 1 - 6e-8 (logit 16.6).
    """
    uniform = np.arange(1, BINS // 2) / (BINS // 2)
    logistic = 1 / (1 + np.exp(-np.linspace(-104.0, 17.4, BINS - BINS // 2)))
    return np.unique(np.concatenate([uniform, logistic]).astype(np.float32))


_EDGES = _edges()


def histogram(score: Rows, positive: Bools, weight: Floats) -> Floats:
    """Weight of negatives and positives in each bin of the score, float64 [K, 2, bins]; all arguments [n, K]."""
    k, bins = score.shape[1], len(_EDGES) + 1
    cell = (np.arange(k) * 2 + positive) * bins + np.searchsorted(_EDGES, score, side="right")
    counts = np.bincount(cell.ravel(), weight.ravel(), minlength=2 * k * bins)
    # Without rows, bincount returns integers.
    return counts.astype(np.float64).reshape(k, 2, bins)


def binned_areas(histogram: Floats) -> Floats:
    """ROC AUC and average precision of each label, [2, K], from `histogram`: scores in the same bin count as equal."""
    return areas(histogram[:, 1], histogram[:, 0])


def exact_areas(score: Rows, positive: Bools, weight: Floats) -> Floats:
    """ROC AUC and average precision of each label, [2, K], from the scores themselves; all arguments [n, K].

    >>> score = np.array([[0.1], [0.4], [0.35], [0.8]], np.float32)
    >>> exact_areas(score, np.array([[False], [False], [True], [True]]), np.ones((4, 1)))
    array([[0.75      ],
           [0.83333333]])
    """
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
        positive, negative: [..., S] weight of the examples with each score, scores ascending.

    Returns:
        float64 [2, ...]; NaN without positives, the AUC also without negatives.

    >>> areas(np.array([0.0, 1.0, 1.0]), np.array([2.0, 1.0, 0.0]))
    array([0.91666667, 0.83333333])
    """
    p, n = positive.sum(axis=-1), negative.sum(axis=-1)
    below = np.cumsum(negative, axis=-1) - negative
    auc = ratio((positive * (below + negative / 2)).sum(axis=-1), p * n)
    tp, fp = (np.cumsum(part[..., ::-1], axis=-1) for part in (positive, negative))
    precision = np.divide(tp, tp + fp, out=np.zeros_like(tp), where=tp + fp > 0)
    return np.stack([auc, ratio((positive[..., ::-1] * precision).sum(axis=-1), p)])


def calibration(score: Rows, hit: Bools, weight: Floats) -> Floats:
    """Sums of weight, weight * score and weight * hit in 15 equal bins of the score.

    Args:
        score, hit, weight: [n, K].

    Returns:
        float64 [3, K, 15].

    >>> score = np.array([[0.9], [0.9]], np.float32)
    >>> ece(calibration(score, np.array([[True], [False]]), np.ones((2, 1))))
    array([0.4])
    """
    k, bins, score64 = score.shape[1], CALIBRATION_BINS, score.astype(np.float64)
    cell = np.minimum((score64 * bins).astype(np.int64), bins - 1) + bins * np.arange(k)
    summed = (weight, weight * score64, weight * hit)
    counts = [np.bincount(cell.ravel(), part.ravel(), minlength=bins * k) for part in summed]
    return np.stack(counts).astype(np.float64).reshape(3, k, bins)


def ece(calibration: Floats) -> Floats:
    """Expected calibration error (Naeini et al. 2015): the mean gap between score and hit rate, over all examples.

    Args:
        calibration: [3, K, bins] as `calibration` returns it.

    Returns:
        float64 [K].
    """
    weight, score, hit = calibration
    return ratio(np.abs(score - hit).sum(axis=-1), weight.sum(axis=-1))
