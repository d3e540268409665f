"""Curves and histograms of a sample, compared with plain NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from components.data.arrays import curves
from components.data.arrays.curves import Labelled
from components.data.arrays.stored import Array

NAN = np.nan


def row(values: Sequence[Any], times: Sequence[float] | None = None, dtype: str = "float32", **more: Any) -> Labelled:
    """An array of one row, from values [T, W] or [T, W, B]; what is 0 is invalid and becomes NaN where it can."""
    pixels = np.array(values, dtype)
    pixels = (pixels if pixels.ndim == 3 else pixels[..., np.newaxis])[:, np.newaxis]
    valid = (pixels != 0).any(axis=-1)
    if pixels.dtype.kind == "f":
        pixels[~valid] = NAN
    return Labelled(Array(pixels, valid, np.array(times or range(len(pixels)), np.float64)), **more)


def mask(*ids: int) -> dict[str, Any]:
    return {"mask": np.array([ids], np.uint8)}


def test_the_mean_at_each_moment_is_over_the_valid_pixels_of_a_label() -> None:
    # Three pixels of labels 0, 1 and 1, two moments, two bands; the last pixel is invalid at the first moment.
    one = row([[[1, 10], [2, 20], [0, 0]], [[3, 30], [4, 40], [6, 60]]], **mask(0, 1, 1))
    other = row([[[5, 50], [0, 0], [0, 0]], [[0, 0], [8, 80], [9, 90]]], **mask(0, 1, 255))
    found = curves.over_time([one, other], [0, 1])
    assert (found.at.tolist(), found.dated, found.span) == ([1, 2], False, 0)
    assert found.mean[..., 0].tolist() == [[(1 + 5) / 2, 3], [2, (4 + 6 + 8) / 3]]
    np.testing.assert_array_equal(found.mean[..., 1], found.mean[..., 0] * 10)
    assert found.valid.tolist() == [3 / 6, 5 / 6]


def test_labels_of_an_image_hold_for_all_its_pixels() -> None:
    sample = [row([[1, 3]], labels=(0, 1)), row([[5, 0]], labels=(1,)), row([[9, 9]])]
    found = curves.over_time(sample, [0, 1, 2])
    np.testing.assert_array_equal(found.mean[..., 0], [[2], [3], [NAN]])
    assert found.valid.tolist() == [5 / 6]


def test_sequences_with_other_dates_have_other_points() -> None:
    found = curves.over_time([row([[1], [2]], [10, 20.5], labels=(0,)), row([[4], [8]], [20.5, 30], labels=(0,))], [0])
    assert (found.at.tolist(), found.dated, found.span) == ([10, 20.5, 30], True, 0)
    assert found.mean[0, :, 0].tolist() == [1, 3, 8]


def test_more_dates_than_points_are_put_into_equal_spans() -> None:
    days = [100 + 2.0 * i for i in range(51)]  # from 100 to 200: 50 spans of 2 days, the last with two dates
    found = curves.over_time([row([[i + 1] for i in range(51)], days, labels=(0,))], [0])
    assert (found.span, len(found.at)) == (2, 50)
    assert found.at[[0, 49]].tolist() == [101, 199]
    assert found.mean[0, [0, 1, 48, 49], 0].tolist() == [1, 2, 49, (50 + 51) / 2]


def test_a_span_without_a_moment_has_no_value() -> None:
    days = [100.0 + i for i in range(50)] + [200.0]  # 50 spans of 2 days: from day 150 to 198 there is nothing
    found = curves.over_time([row([[1]] * 51, days, labels=(0,))], [0])
    expected = np.where(np.arange(50) < 25, 1, NAN)
    expected[49] = 1
    np.testing.assert_array_equal(found.mean[0, :, 0], expected)
    np.testing.assert_array_equal(found.valid, expected)


def test_where_some_dates_are_unknown_moments_are_counted() -> None:
    found = curves.over_time([row([[1], [2]], [10, 20], labels=(0,)), row([[3], [4]], labels=(0,))], [0])
    assert (found.at.tolist(), found.dated) == ([1, 2], False)
    assert found.mean[0, :, 0].tolist() == [2, 3]


def test_small_types_do_not_overflow() -> None:
    sample = [row([[255] * 300], dtype="uint8", labels=(0,)), row([[60000] * 300], dtype="float16", labels=(1,))]
    assert curves.over_time(sample, [0, 1]).mean[:, 0, 0].tolist() == [255, 60000]  # 300 * 60,000 is no float16


def test_a_histogram_is_that_of_numpy_between_the_percentiles() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(1, 5000)).astype(np.float32)
    ids = random.integers(0, 2, 5000)
    values[0, :100] = 0  # invalid
    [found] = curves.histograms([row(values, **mask(*ids))], [0, 1, 2])
    valid = np.sort(values[0, 100:].astype(np.float64))
    assert found.edges[[0, -1]].tolist() == [valid[4], valid[4895]]  # of 4,900: 0.1 % of 4,899 is 4.899
    for label in (0, 1):
        own = values[0, 100:][ids[100:] == label]
        expected = np.histogram(own, 64, (valid[4], valid[4895]))[0]
        assert found.shares[label].tolist() == (expected / len(own)).tolist()
        assert 0.99 < found.shares[label].sum() < 1  # what lies outside counts, too
    assert np.isnan(found.shares[2]).all()


def test_bins_of_whole_numbers_hold_as_many_numbers_each() -> None:
    # 1 to 200 once each, of which 1 is below the 0.1 and none is above the 99.9 percentile: bins of ceil(200 / 64) = 4.
    [found] = curves.histograms([row([list(range(1, 201))], dtype="uint8", labels=(0,))], [0])
    assert found.edges.tolist() == [0.5 + 4 * i for i in range(51)]
    assert found.shares.tolist() == [[4 / 200] * 50]
    [few] = curves.histograms([row([[-100, 7, 7, 100]], dtype="int8", labels=(0,))], [0])
    assert few.edges[[0, 1]].tolist() == [-100.5, -96.5]  # 201 numbers in bins of 4; their distance is no int8
    assert few.shares[0, [0, 26, 50]].tolist() == [1 / 4, 2 / 4, 1 / 4]


@pytest.mark.parametrize("value", [3.0, 1e30, 0.1])
def test_values_that_are_all_equal_have_no_bins(value: float) -> None:
    [found] = curves.histograms([row([[value] * 5], labels=(0,))], [0])
    assert found.edges.tolist() == [float(np.float32(value))]
    assert found.shares.shape == (1, 0)


def test_each_band_has_a_histogram_of_its_own() -> None:
    one, other = curves.histograms([row([[[1, 500], [2, 700]]], dtype="uint16", labels=(0,))], [0])
    assert (one.edges.tolist(), one.shares.tolist()) == ([0.5, 1.5, 2.5], [[0.5, 0.5]])
    assert (other.edges[0], other.edges[-1] > 700, other.shares.sum()) == (499.5, True, 1)


def test_figures_of_a_label_are_over_its_valid_pixels() -> None:
    one = row([[[1, 10], [2, 20], [0, 0]], [[3, 30], [4, 40], [6, 60]]], **mask(0, 1, 1))
    found, valid = curves.summary([one], 1)
    own = np.array([2, 4, 6.0])
    assert (found.number.tolist(), valid) == ([3, 3], 3 / 4)
    np.testing.assert_allclose([found.mean[0], found.deviation[0]], [own.mean(), own.std()], rtol=1e-15)
    nothing, share = curves.summary([one], 7)
    assert np.isnan([nothing.mean[0], nothing.deviation[0], share]).all()


def test_numbers_of_moments_are_no_dates() -> None:
    assert not curves.dated(row([[1], [1]]).array)
    assert curves.dated(row([[1], [1]], [0, 5]).array)
    assert curves.day(-1) == "day -1"
