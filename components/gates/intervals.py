"""Wilson's interval of a proportion: how far the true value may lie from the one that so many examples gave."""

from __future__ import annotations

import math
from statistics import NormalDist

TOLD = 0.95  # confidence of the interval that a sentence tells

Interval = tuple[float, float]


def two_sided(confidence: float) -> float:
    """z such that the interval holds the true value with this probability: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def one_sided(confidence: float) -> float:
    """z such that each bound by itself holds with this probability: 1.645 for 0.95."""
    return NormalDist().inv_cdf(confidence)


def wilson(share: float, n: float, z: float) -> Interval:
    """(lower, upper) bound of a proportion (Wilson 1927): the p with |share - p| = z sqrt(p (1 - p) / n).

    Args:
        share: the proportion found, in [0, 1].
        n: what it is a share of, above 0; need not be whole.
        z: quantile of the normal distribution.
    """
    share = min(max(share, 0.0), 1.0)  # weighted sums are rounded
    square = z * z / n
    centre = (share + square / 2) / (1 + square)
    reach = z * math.sqrt(share * (1 - share) / n + square / (4 * n)) / (1 + square)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def f1(score: float, n: float, z: float) -> Interval:
    """(lower, upper) bound of an F1 score: Wilson's for its Jaccard index, which is a proportion, and back.

    With J = tp / (tp + fp + fn), F1 = 2 J / (1 + J), which grows with J, so bounds of one are bounds of the other.

    Args:
        score: the F1 found.
        n: tp + fp + fn.
        z: quantile of the normal distribution.
    """
    low, high = wilson(score / (2 - score), n, z)
    return 2 * low / (1 + low), 2 * high / (1 + high)
