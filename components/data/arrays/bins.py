"""Histograms of any real numbers over bins that do not depend on the data, so that any two can be compared.

A bin is a range of floating-point numbers, as in an HDR histogram: each power of two is cut into 512 equal parts. Bins
without a value are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

_DROPPED = 14  # of float32's 23 bits after the leading one, of which 2 ** 9 parts are left
_SIGN = 1 << (31 - _DROPPED)


def places(values: ArrayLike) -> NDArray[np.int64]:
    """The bin of each value; larger values never have smaller bins.

    Args:
        values: [...], finite; beyond the range of float32, the outermost bins count.

    >>> places([0.0, -0.0, 1.0, 1.001, 1.002, -1.0]).tolist()
    [131072, 131072, 196096, 196096, 196097, 66047]
    """
    limit = float(np.finfo(np.float32).max)
    single = np.clip(np.asarray(values, np.float64), -limit, limit).astype(np.float32) + np.float32(0)  # -0 is 0
    bits = single.view(np.uint32).astype(np.int64)
    kept = bits >> _DROPPED
    found: NDArray[np.int64] = np.where(kept < _SIGN, kept + _SIGN, 2 * _SIGN - 1 - kept)
    return found


def centre(place: int) -> float:
    """A value of a bin, about in its middle.

    >>> round(centre(int(places(1000.0))), 1), round(centre(int(places(-0.25))), 4)
    (1000.5, -0.2502)
    """
    positive = place >= _SIGN
    kept = place - _SIGN if positive else 2 * _SIGN - 1 - place - _SIGN
    single = np.array([(kept << _DROPPED) + (1 << (_DROPPED - 1))], np.uint32).view(np.float32)
    return float(single[0]) if positive else -float(single[0])


def histogram(values: Sequence[float] | NDArray[np.float64]) -> dict[str, int]:
    """Bin -> how many values; NaN is left out."""
    given = np.asarray(values, np.float64)
    found, counts = np.unique(places(given[~np.isnan(given)]), return_counts=True)
    return {str(place): int(n) for place, n in zip(found.tolist(), counts.tolist(), strict=True)}


def aligned(*histograms: Mapping[str, int]) -> tuple[list[int], NDArray[np.int64]]:
    """The bins that any histogram has, in ascending order, and the histograms over them: [histograms, bins].

    >>> aligned(histogram([1.0, 2.0]), histogram([2.0, 2.0]))[1].tolist()
    [[1, 1], [0, 2]]
    """
    bins = sorted({int(place) for one in histograms for place in one})
    counts = [[one.get(str(place), 0) for place in bins] for one in histograms]
    return bins, np.array(counts, np.int64).reshape(len(histograms), len(bins))


def median(found: Sequence[int], counts: NDArray[np.int64]) -> float:
    """The median of the values, as exact as the bins.

    Args:
        found: bins, in ascending order.
        counts: how many values each has, not all 0.

    >>> found, counts = aligned(histogram([1.0, 5.0, 1000.0]))
    >>> round(median(found, counts[0]), 2)
    5.0
    """
    cumulative = np.cumsum(counts)
    return centre(found[int(np.searchsorted(cumulative, cumulative[-1] / 2))])
