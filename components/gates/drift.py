"""Distances between two samples, and p-values: how often chance alone makes a distance that large.

The distance measures whether a change matters, the p-value whether there is one. Rules need both: with few images,
large distances occur by chance, and with millions, any difference is significant.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SEED = 1
# Random tables for a p-value. At p = 0.001, the gate's limit, its standard error is sqrt(p / 9999) = 0.0003.
_PERMUTATIONS = 9_999
# Pairs of observations up to which the exact test is computed, which takes time in proportion. Chosen by hand; not
# measured.
_EXACT = 1_000_000
_FEW = 5.0  # expected counts below which the chi-square approximation of G is not reliable (Cochran 1954)
_ROUNDING = 1e-9  # of G: tables that tie with the observed one must count as such


def jensen_shannon(p: ArrayLike, q: ArrayLike) -> float:
    """Jensen-Shannon distance: the square root of the divergence to base 2, a metric in [0, 1].

    Lin, IEEE Trans. Inf. Theory 1991; Endres & Schindelin, IEEE Trans. Inf. Theory 2003.

    Args:
        p, q: [K] non-negative counts.

    Returns:
        the distance of their shares; 0 where either is empty.

    >>> jensen_shannon([30, 10], [60, 20])
    0.0
    >>> jensen_shannon([1, 0], [0, 1])
    1.0
    """
    from scipy.spatial.distance import jensenshannon

    # NaN where a sum is 0, and where rounding takes the divergence of equal shares below 0.
    with np.errstate(invalid="ignore"):
        return min(1.0, float(np.nan_to_num(jensenshannon(p, q, base=2))))


def homogeneity(p: ArrayLike, q: ArrayLike) -> float:
    """p-value of the G-test that both counts come from one distribution.

    G = 2 (n + m) ln 2 times the Jensen-Shannon divergence weighted by the sample sizes n and m. It is compared with
    chi-square; where an expected count is below 5, with random tables of the same sums instead (Patefield 1981), so
    that rare labels cry no wolf.

    Args:
        p, q: [K] non-negative counts; labels absent from both are left out.

    Returns:
        1 where either is empty or there is only one label.
    """
    from scipy import stats

    table = np.stack([np.asarray(p, np.float64), np.asarray(q, np.float64)])
    table = np.rint(table[:, table.sum(axis=0) > 0]).astype(np.int64)
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 1.0
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    observed = _g(table[None], rows, columns)[0]
    if rows.min() * columns.min() / table.sum() >= _FEW:
        return float(stats.chi2.sf(observed, table.shape[1] - 1))
    tables = stats.random_table(rows, columns, seed=np.random.default_rng(_SEED)).rvs(_PERMUTATIONS)
    # The observed table is one of the possible ones (Davison & Hinkley 1997, 4.2).
    return float((1 + (_g(tables, rows, columns) >= observed - _ROUNDING).sum()) / (1 + _PERMUTATIONS))


def _g(tables: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float64]:
    """The G statistic of tables [n, 2, K] with these sums, [n]."""
    expected = rows[:, None] * columns[None] / columns.sum()
    ratio = np.where(tables > 0, tables / expected, 1.0)
    g: NDArray[np.float64] = 2 * (tables * np.log(ratio)).sum(axis=(1, 2))
    return g


def proportion_change(k: int, n: int, j: int, m: int) -> float:
    """Two-sided p-value of Fisher's exact test that k of n and j of m are draws from one share; 1 where n or m is 0."""
    from scipy import stats

    return float(stats.fisher_exact([[k, n - k], [j, m - j]]).pvalue)


def kolmogorov_smirnov(first: ArrayLike, second: ArrayLike) -> float:
    """Kolmogorov-Smirnov distance of two samples that are given as histograms over the same bins.

    Args:
        first, second: [B] counts.

    Returns:
        the largest difference of the cumulative shares, in [0, 1]; 0 where either is empty.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if not a.sum() or not b.sum():
        return 0.0
    return float(np.abs(np.cumsum(a) / a.sum() - np.cumsum(b) / b.sum()).max())


def kolmogorov_smirnov_p(first: ArrayLike, second: ArrayLike) -> float:
    """p-value of the two-sided test of Kolmogorov and Smirnov; exact up to a million pairs (Hodges 1958).

    Too large rather than too small, since bins hide differences within them.

    Args:
        first, second: [B] counts; see `kolmogorov_smirnov`.

    Returns:
        1 where either is empty.
    """
    from scipy import stats

    a, b = np.asarray(first, np.int64), np.asarray(second, np.int64)
    n, m = int(a.sum()), int(b.sum())
    if not n or not m:
        return 1.0
    if n * m <= _EXACT:
        places = np.arange(len(a))
        return float(stats.ks_2samp(np.repeat(places, a), np.repeat(places, b), method="exact").pvalue)
    return float(stats.kstwo.sf(kolmogorov_smirnov(a, b), max(1, round(n * m / (n + m)))))


def lower(before: ArrayLike, after: ArrayLike) -> float:
    """Measures how much smaller the values of a second sample are.

    Args:
        before, after: [B] counts over the same ascending bins.

    Returns:
        the largest amount by which the cumulative share of `after` exceeds that of `before`, in [0, 1]; 0 where either
        is empty.

    >>> lower([0, 2], [1, 1]), lower([1, 1], [0, 2])
    (0.5, 0.0)
    """
    old, new = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if not old.sum() or not new.sum():
        return 0.0
    return max(0.0, float((np.cumsum(new) / new.sum() - np.cumsum(old) / old.sum()).max()))


def lower_p(before: ArrayLike, after: ArrayLike) -> float:
    """p-value of the one-sided test of Kolmogorov and Smirnov; exact up to a million pairs (Hodges 1958).

    Args:
        before, after: [B] counts; see `lower`.

    Returns:
        1 where either is empty.
    """
    from scipy import stats

    places = np.arange(len(np.asarray(before)))
    old, new = (np.repeat(places, np.asarray(counts, np.int64)) for counts in (before, after))
    if not len(old) or not len(new):
        return 1.0
    method = "exact" if len(old) * len(new) <= _EXACT else "asymp"
    return float(stats.ks_2samp(new, old, alternative="greater", method=method).pvalue)


def association(
    together: ArrayLike, first: ArrayLike, second: ArrayLike, total: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Measures how strongly pairs of labels are associated.

    Args:
        together: [...] images to which both labels apply.
        first, second: [...] images to which the first label applies, the second label applies.
        total: [...] images for which both are known.

    Returns:
        float64 [...] each: the phi coefficient (Yule 1912) in [-1, 1], 0 where a label always or never applies; the
        share of the first among the second's images; that of the second among the first's, 0 where there are none.
    """
    n11, a, b, n = (np.asarray(x, np.float64) for x in (together, first, second, total))
    scale = np.sqrt(a * (n - a)) * np.sqrt(b * (n - b))
    phi = np.divide(n * n11 - a * b, scale, out=np.zeros_like(scale), where=scale > 0)
    given_second = np.divide(n11, b, out=np.zeros_like(scale), where=b > 0)
    given_first = np.divide(n11, a, out=np.zeros_like(scale), where=a > 0)
    return np.clip(phi, -1.0, 1.0), given_second, given_first


def association_p(together: int, first: int, second: int, total: int) -> float:
    """Two-sided p-value of Fisher's exact test that two labels are independent; arguments as of `association`."""
    from scipy import stats

    neither = total - first - second + together
    return float(stats.fisher_exact([[together, first - together], [second - together, neither]]).pvalue)
