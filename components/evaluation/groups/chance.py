"""Whether chance makes a group as weak: exact and rank tests, and Holm's correction for the number of groups tried."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.metrics.base import Bools, Floats


def weaker(score: Floats, inside: Bools, strata: NDArray[np.intp]) -> float:
    """The probability that chance gives a group scores as low as these.

    Right and wrong answers, 1 and 0, are tested exactly: if the group were drawn at random within each stratum, its
    number of right answers would be a sum of hypergeometric numbers (Fisher's exact test, of several tables). Other
    scores are tested by their ranks (Mann & Whitney 1947, with the correction for ties), and if most are equal also by
    how many are below the mean, exactly; the larger probability counts, and the strata are not used.

    Args:
        score: [m], from 0 to 1.
        inside: [m], whether each image is in the group.
        strata: [m], see `questions.Question`.

    >>> import numpy as np
    >>> score, inside = np.array([0.0, 0.0, 1.0, 1.0, 1.0]), np.array([True, True, False, False, False])
    >>> round(weaker(score, inside, np.zeros(5, int)), 3)  # both wrong ones of 5: 1 of 10 pairs
    0.1
    """
    if np.isin(score, (0.0, 1.0)).all():
        return _exact(score > 0, inside, strata)
    from scipy import stats

    if inside.all() or not inside.any() or np.ptp(score) == 0:
        return 1.0
    ranks = stats.mannwhitneyu(score[inside], score[~inside], alternative="less", method="asymptotic").pvalue
    if 2 * np.unique(score, return_counts=True)[1].max() <= len(score):
        return float(ranks)
    # The approximation by the normal distribution is far too sure where most scores are equal, as those of good models.
    return max(float(ranks), _exact(score >= score.mean(), inside, np.zeros_like(strata)))


def _exact(right: Bools, inside: Bools, strata: NDArray[np.intp]) -> float:
    from scipy import stats

    total, least = np.ones(1), 0
    for stratum in np.unique(strata[inside]):
        own = strata == stratum
        n, hits, drawn = int(own.sum()), int(right[own].sum()), int((own & inside).sum())
        # What is further from the mean than twelve deviations has no probability that counts; all would take n^2 steps.
        mean = drawn * hits / n
        far = 12 * math.sqrt(drawn * hits * (n - hits) * (n - drawn) / (n * n * max(n - 1, 1))) + 12
        low, high = max(0, drawn - (n - hits), int(mean - far)), min(drawn, hits, int(mean + far))
        total = np.convolve(total, stats.hypergeom.pmf(np.arange(low, high + 1), n, hits, drawn))
        least += low
    return min(1.0, float(total[: max(0, int(right[inside].sum()) - least + 1)].sum()))


def rest(score: Floats, inside: Bools, strata: NDArray[np.intp]) -> float:
    """The mean score of the images outside, in each stratum as many as the group has; NaN if there are none.

    Strata without an image outside are left out.

    >>> import numpy as np
    >>> inside = np.array([True, True, True, False, False, False])
    >>> rest(np.array([0.0, 0, 0, 1, 0, 1]), inside, np.array([0, 0, 1, 0, 0, 1]))  # 2 of the first, with 1 / 2
    0.6666666666666666
    """
    sums = weight = 0.0
    for stratum in np.unique(strata[inside]):
        others = (strata == stratum) & ~inside
        if others.any():
            n = float(((strata == stratum) & inside).sum())
            sums, weight = sums + n * float(score[others].mean()), weight + n
    return sums / weight if weight else float("nan")


def holm(p: ArrayLike) -> Floats:
    """Corrects p-values [m] for their number, however they depend on one another (Holm 1979).

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * (len(values) - np.arange(len(values))))
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
