"""Wilson's confidence interval of a proportion: how far the true value may lie from the measured one.

The answers of one image depend on one another; then n is their effective number, see `components.metrics.clusters`.
"""

from __future__ import annotations

import math
from statistics import NormalDist

SHOWN = 0.95  # confidence of the interval that a verdict shows; the customary choice

Interval = tuple[float, float]


def two_sided(confidence: float) -> float:
    """Quantile z for which the interval contains the true value with this probability.

    >>> round(two_sided(0.95), 3)
    1.96
    """
    return NormalDist().inv_cdf((1 + confidence) / 2)


def one_sided(confidence: float) -> float:
    """Quantile z for which each bound by itself holds with this probability.

    >>> round(one_sided(0.95), 3)
    1.645
    """
    return NormalDist().inv_cdf(confidence)


def worth(n: float, images: float, z: float) -> float:
    """Corrects the effective number of answers for a variance that few images tell (Korn & Graubard 1998).

    The variance has images - 1 degrees of freedom: (z / t)^2 n, t the quantile of Student's distribution. But an image
    counts as one answer at least, unless n is smaller already.

    Args:
        n: effective number of independent answers, from a variance between images.
        images: number of images.
        z: quantile of the normal distribution.

    >>> round(worth(100.0, 1000.0, 1.96)), round(worth(100.0, 11.0, 1.96)), worth(1.0, 1.0, 1.96)
    (100, 77, 1.0)
    """
    from scipy import special

    least = min(n, images)
    if images <= 1 or z == 0:
        return least if z else n
    t = float(special.stdtrit(images - 1, NormalDist().cdf(z)))
    return max(n * (z / t) ** 2, least)


def wilson(share: float, n: float, z: float) -> Interval:
    """Computes the bounds of a proportion (Wilson 1927): the two p with |share - p| = z sqrt(p (1 - p) / n).

    Args:
        share: the measured proportion, in [0, 1].
        n: number of observations, above 0; need not be whole.
        z: quantile of the normal distribution, see `two_sided` and `one_sided`.

    Returns:
        (lower, upper) bound, in [0, 1].

    >>> low, high = wilson(0.8, 100, two_sided(0.95))
    >>> f"{low:.2f} to {high:.2f}"
    '0.71 to 0.87'
    """
    share = min(max(share, 0.0), 1.0)  # weighted sums are rounded
    square = z * z / n
    centre = (share + square / 2) / (1 + square)
    reach = z * math.sqrt(share * (1 - share) / n + square / (4 * n)) / (1 + square)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def f1(score: float, n: float, z: float) -> Interval:
    """Computes the bounds of an F1 score from Wilson's bounds of its Jaccard index, which is a proportion.

    With J = tp / (tp + fp + fn), F1 = 2 J / (1 + J) grows with J, so bounds of one are bounds of the other.

    Args:
        score: the measured F1, in [0, 1].
        n: tp + fp + fn, above 0.
        z: quantile of the normal distribution, see `two_sided` and `one_sided`.

    Returns:
        (lower, upper) bound, in [0, 1].

    >>> low, high = f1(0.8, 100, two_sided(0.95))
    >>> f"{low:.2f} to {high:.2f}"
    '0.73 to 0.86'
    """
    low, high = wilson(score / (2 - score), n, z)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def difference(value: float, n: float, z: float) -> Interval:
    """Computes the bounds of the difference of two shares of the same images, from Wilson's of (1 + difference) / 2.

    An image gives this share 1 if only the first of two answers is right, 0 if only the second is, else 1 / 2.

    Args:
        value: the measured difference, in [-1, 1].
        n: as many independent answers as the share has the variance of, above 0; see `metrics.clusters.worth`.
        z: quantile of the normal distribution, see `two_sided` and `one_sided`.

    Returns:
        (lower, upper) bound, in [-1, 1].

    >>> low, high = difference(0.5, 100, two_sided(0.95))
    >>> f"{low:.2f} to {high:.2f}"
    '0.31 to 0.65'
    """
    low, high = wilson((1 + value) / 2, n, z)
    return 2 * low - 1, 2 * high - 1
