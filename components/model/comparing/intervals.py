"""Intervals of 95 %: over seeds, and over seeds and images together.

A training depends on its seed, and a figure on which images eval happens to hold. Seeds alone do not tell enough: a
head that is solved is the same with every seed, and yet a difference of two images in a hundred may be luck.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from components.metrics.base import Floats

Interval = tuple[float, float]

_LEVEL = 0.95
_ROUNDING = 1e-12  # a deviation below this is that of equal numbers


def over_seeds(values: Sequence[float]) -> Interval | None:
    """Student's interval of the mean of a few values; None with fewer than two.

    >>> over_seeds([0.70, 0.72, 0.74])  # 0.72 +- 4.303 * 0.02 / sqrt(3)
    (0.6703, 0.7697)
    """
    n = len(values)
    if n < 2 or not np.isfinite(values).all():
        return None
    return _around(float(np.mean(values)), float(np.var(values, ddof=1)) / n, n - 1)


def over_both(values: Sequence[float], replicates: Floats) -> Interval | None:
    """Interval of the mean of values of a few seeds, by chance in training and by chance in the images.

    The variance is the sum of that of the mean over the seeds and that over the images, which the jackknife gives that
    leaves out one group of images after another (Kott, "The delete-a-group jackknife", Journal of Official Statistics
    2001). Satterthwaite's approximation (1946) gives the degrees of freedom of such a sum.

    Args:
        values: of each seed.
        replicates: [groups], the mean over the seeds without each group of images.

    >>> over_both([0.5, 0.5], np.array([0.4, 0.5, 0.6]))  # sqrt(2 / 3 * 0.02) = 0.1155; 2 degrees of freedom: 4.303
    (0.0032, 0.9968)
    """
    n, groups = len(values), len(replicates)
    if not n or groups < 2 or not (np.isfinite(values).all() and np.isfinite(replicates).all()):
        return None
    parts = [(float(np.sum((replicates - replicates.mean()) ** 2)) * (groups - 1) / groups, groups - 1)]
    if n > 1:
        parts.append((float(np.var(values, ddof=1)) / n, n - 1))
    variance = sum(part for part, _ in parts)
    square = sum(part**2 / degrees for part, degrees in parts)
    return _around(float(np.mean(values)), variance, variance**2 / square if square > 0 else math.inf)


def is_beyond_chance(interval: Interval | None) -> bool:
    """Whether 0 is outside an interval of a difference."""
    return interval is not None and not interval[0] <= 0 <= interval[1]


def _around(middle: float, variance: float, degrees: float) -> Interval:
    from scipy import special

    deviation = math.sqrt(variance)
    if deviation < _ROUNDING:
        return middle, middle
    reach = float(special.stdtrit(degrees, (1 + _LEVEL) / 2)) * deviation
    return middle - reach, middle + reach
