"""What a sample of arrays shows of each label: the means of the bands over time, and the distributions of their values.

A pixel counts at a moment if it is valid then. All sums are in 64 bits, whatever type the values have.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.data.arrays import moments
from components.data.arrays.moments import Moments
from components.data.arrays.stored import Array

MOST_POINTS = 50  # of a curve
BINS = 64  # of a histogram, at most
ENDS = (0.001, 0.999)  # shares of the values between which a histogram is drawn
_FIRST = 730.0  # 1972, when the first satellite for the earth was launched: what is smaller counts days otherwise
_EPOCH = datetime.date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Labelled:
    """An array and its labels, which are numbers.

    Attributes:
        array: the array.
        labels: of the whole image; () if there is a mask.
        mask: uint8 [H, W], the label of each pixel; None: all pixels have the labels of the image.
    """

    array: Array
    labels: tuple[int, ...] = ()
    mask: NDArray[np.uint8] | None = None

    def where(self, label: int) -> NDArray[np.bool_]:
        """Which pixels have the label, bool [H, W]."""
        if self.mask is None:
            return np.full(self.array.valid.shape[1:], label in self.labels)
        return np.asarray(self.mask == label)


@dataclass(frozen=True, slots=True)
class OverTime:
    """Means over the valid pixels, at P points in time.

    Attributes:
        at: float64 [P], ascending: days since 1970, or numbers of moments, from 1.
        dated: whether `at` are days.
        span: how much time a point stands for; 0: each is a time of its own.
        mean: float64 [K, P, B]; NaN where a label has no valid pixel.
        valid: float64 [P]: the share of all pixels that are valid; NaN where there is no moment.
    """

    at: NDArray[np.float64]
    dated: bool
    span: float
    mean: NDArray[np.float64]
    valid: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Histogram:
    """How the valid values of a band are distributed.

    Attributes:
        edges: float64 [n + 1], of equal bins from the 0.1 to the 99.9 percentile of all values; [0] if these are equal.
        shares: float64 [K, n]: of all values of a label, those in each bin; NaN for a label without a value.
    """

    edges: NDArray[np.float64]
    shares: NDArray[np.float64]


def dated(array: Array) -> bool:
    """Whether the times are days since 1970, and not the numbers of the moments; see `check.times`."""
    return not np.array_equal(array.times, np.arange(len(array.times)))


def day(time: float) -> str:
    """The date of a time in days since 1970.

    >>> day(16627.5), day(20.0)
    ('2015-07-11', 'day 20')
    """
    if time < _FIRST:  # a number of days that is no date
        return f"day {math.floor(time)}"
    try:
        return (_EPOCH + datetime.timedelta(days=math.floor(time))).isoformat()
    except OverflowError:  # years after 9999
        return f"day {math.floor(time)}"


def over_time(sample: Sequence[Labelled], labels: Sequence[int]) -> OverTime:
    """The means of all bands at each moment, for each label.

    If there are more than `MOST_POINTS` different times, they are put into as many spans of equal length. If not all
    arrays have dates, moments with the same number are one.

    Args:
        sample: arrays of one size; one at least.
        labels: K numbers.
    """
    days = all(dated(one.array) for one in sample)
    times = [one.array.times if days else np.arange(1.0, len(one.array.times) + 1) for one in sample]
    at = np.unique(np.concatenate(times))
    low, span = at[0], 0.0
    if len(at) > MOST_POINTS:
        span = (at[-1] - low) / MOST_POINTS
        at = low + span * (np.arange(MOST_POINTS) + 0.5)
    sums = np.zeros((len(at), len(labels), sample[0].array.pixels.shape[-1]))
    counts = np.zeros((len(at), len(labels)))
    valid, total = np.zeros(len(at)), np.zeros(len(at))
    for one, of_one in zip(sample, times, strict=True):
        members = np.stack([one.where(label).ravel() for label in labels]).astype(np.float64)  # [K, H * W]
        points = np.minimum((of_one - low) // span, len(at) - 1).astype(int) if span else np.searchsorted(at, of_one)
        for point, pixels, seen in zip(points, one.array.pixels, one.array.valid, strict=True):
            # What stands in invalid pixels may be NaN, which no weight of 0 makes disappear.
            values = np.where(seen[..., np.newaxis], pixels, 0).reshape(-1, pixels.shape[-1]).astype(np.float64)
            sums[point] += members @ values
            counts[point] += members @ seen.ravel()
            valid[point] += seen.sum()
            total[point] += seen.size
    with np.errstate(invalid="ignore"):
        mean = (sums / counts[..., np.newaxis]).transpose(1, 0, 2)
        return OverTime(at, days, float(span), mean, valid / total)


def histograms(sample: Sequence[Labelled], labels: Sequence[int]) -> list[Histogram]:
    """The distribution of the valid values of each band, for each label.

    Args:
        sample: arrays of one type and size; one at least.
        labels: K numbers.
    """
    bands = range(sample[0].array.pixels.shape[-1])
    edges = [_edges(np.concatenate([one.array.pixels[..., b][one.array.valid] for one in sample])) for b in bands]
    shares = [np.full((len(labels), len(of_band) - 1), np.nan) for of_band in edges]
    for k, label in enumerate(labels):
        own = np.concatenate([one.array.pixels[one.array.valid & one.where(label)] for one in sample])  # [N, B]
        for band in bands if len(own) else ():
            ends, bins = edges[band][[0, -1]].tolist(), shares[band].shape[1]
            if bins:
                shares[band][k] = np.histogram(own[:, band], bins, ends)[0] / len(own)
    return [Histogram(*of_band) for of_band in zip(edges, shares, strict=True)]


def _edges(values: NDArray[Any]) -> NDArray[np.float64]:
    """The edges of at most `BINS` equal bins; those of whole numbers hold as many numbers each."""
    if not len(values):
        return np.zeros(1)
    low, high = math.floor(ENDS[0] * (len(values) - 1)), math.ceil(ENDS[1] * (len(values) - 1))
    # Values that occur, so that nothing is rounded in the type of the values.
    ends = np.partition(values, [low, high])
    first, last = float(ends[low]), float(ends[high])
    if values.dtype.kind in "iu" and first < last:
        numbers = math.ceil((last - first + 1) / BINS)  # in a bin
        return np.arange(math.ceil((last - first + 1) / numbers) + 1, dtype=np.float64) * numbers + (first - 0.5)
    width = (last - first) / BINS
    if not (first < first + width and math.isfinite(width)):
        return np.array([first])
    return np.linspace(first, last, BINS + 1)


def summary(sample: Sequence[Labelled], label: int) -> tuple[Moments, float]:
    """Sums over the valid values of the bands at the pixels of a label, and the share of these pixels that is valid.

    Args:
        sample: one array at least.
        label: which.
    """
    parts, pixels = [], 0
    for one in sample:
        own = one.where(label)
        parts.append(moments.of(one.array.pixels, one.array.valid & own))
        pixels += int(own.sum()) * len(one.array.valid)
    found = moments.total(parts)
    return found, float(found.number[0]) / pixels if pixels else math.nan
