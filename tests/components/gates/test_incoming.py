"""Incoming images against those behind a model: by hand-made histograms, and how often chance alone cries wolf."""

import time

import numpy as np
import pytest
from scipy import stats

from components.data import properties
from components.data.manifest import KnownData, PropertyHistograms
from components.gates import drift
from components.gates.data_rules import incoming

BRIGHTNESS = properties.NAMES.index("brightness")


def histograms(**bins: dict[int, int]) -> np.ndarray:
    """All images in bin 30, except as told: property -> bin -> images."""
    images = sum(next(iter(bins.values())).values()) if bins else 100
    counts = np.zeros((len(properties.NAMES), properties.BINS), np.int64)
    counts[:, 30] = images
    for name, told in bins.items():
        row = counts[properties.NAMES.index(name)]
        row[:] = 0
        row[list(told)] = list(told.values())
    return counts


def known(**bins: dict[int, int]) -> KnownData:
    found = histograms(**bins)
    sparse = {
        name: {str(i): int(n) for i, n in enumerate(row) if n}
        for name, row in zip(properties.NAMES, found, strict=True)
    }
    return KnownData(
        counts={"train": 100, "eval": 100, "test": 100},
        label_counts={},
        unknown={},
        pixels={},
        label_sets=(),
        properties=PropertyHistograms(all=sparse),
    )


def even(images: int) -> np.ndarray:
    return np.arange(1, images + 1) / images


def test_images_like_those_of_the_model_pass_with_the_largest_distance() -> None:
    """Of 100 images 10 have moved from bin 30 to bin 31 of brightness: a distance of 0.1."""
    now = histograms(brightness={30: 90, 31: 10})
    first, second = incoming.judged(now, even(100), known(), "7")
    assert first.passed
    assert second.passed
    assert first.value == pytest.approx(0.1)
    assert first.reason.startswith(
        "Kolmogorov-Smirnov distance of the brightness in the incoming images from that of version 7 is 0.1"
    )
    assert second.value == 0


def test_a_property_that_has_moved_is_named_with_both_medians() -> None:
    """All images were in bin 30 of brightness, 0.47 to 0.48, and 75 of 100 are now in bin 10: a distance of 0.75."""
    now = histograms(brightness={10: 75, 30: 25})
    verdicts = incoming.judged(now, even(100), known(), "7")
    [failed] = [verdict for verdict in verdicts if not verdict.passed]
    assert failed.value == 0.75
    assert failed.reason.startswith(
        "Kolmogorov-Smirnov distance of the brightness in the incoming images from that of version 7 is 0.75, above "
        "the maximum 0.4: median 0.48 of 100 images -> median 0.17 of 100 images. Look at the new images"
    )


def test_a_large_distance_of_few_images_is_put_down_to_chance() -> None:
    """Both of two images differ: with 100 before, 1 of 5151 ways to choose two, times 10 tests, is above 0.001."""
    now = histograms(brightness={10: 2})
    first, _ = incoming.judged(now, even(2), known(brightness={30: 100}), "7")
    assert first.value == 1
    assert first.passed
    assert 10 * 1 / 5151 > 0.001


def test_only_less_familiar_images_are_a_concern() -> None:
    unfamiliar = np.full(50, 0.01)
    *_, verdict = incoming.judged(histograms(), unfamiliar, known(), "7")
    assert not verdict.passed
    # All 50 are in the first of 64 bins, where 1 of the 100 eval images is: 1 - 0.01.
    assert verdict.value == 0.99
    assert verdict.reason.startswith(
        "Kolmogorov-Smirnov distance by which the familiarity of the incoming images is below that of version 7's eval "
        "split is 0.99, above the maximum 0.4: median 0.51 of 100 images -> median 0.01 of 50 images."
    )
    *_, verdict = incoming.judged(histograms(), np.ones(50), known(), "7")
    assert verdict.passed
    assert verdict.value == 0


def test_how_much_lower_a_sample_is_agrees_with_scipy() -> None:
    before, after = np.array([1, 2, 3, 4]), np.array([4, 3, 2, 1])
    distance, chance = drift.lower(before, after), drift.lower_p(before, after)
    # Cumulative shares 0.1, 0.3, 0.6, 1 and 0.4, 0.7, 0.9, 1: the largest difference is 0.4.
    assert distance == pytest.approx(0.4)
    values = np.arange(4)
    expected = stats.ks_2samp(np.repeat(values, before), np.repeat(values, after), alternative="less")
    assert (distance, chance) == (pytest.approx(expected.statistic), expected.pvalue)
    assert drift.lower(after, before) == 0
    assert drift.lower([0, 0], [1, 2]) == drift.lower([1, 2], [0, 0]) == 0.0
    assert drift.lower_p([0, 0], [1, 2]) == drift.lower_p([1, 2], [0, 0]) == 1.0


def test_many_pairs_take_the_asymptotic_test_and_no_second() -> None:
    """Of 1,003 x 1,009 pairs (two primes) the exact test takes seconds and warns; 0.5 apart is beyond all chance."""
    before, after = np.array([3, 1000]), np.array([509, 500])
    distance = 509 / 1009 - 3 / 1003
    assert drift.lower(before, after) == pytest.approx(distance)
    effective = 1003 * 1009 / (1003 + 1009)
    assert 0 < drift.lower_p(before, after) < np.exp(-distance * distance * effective)
    begin = time.process_time()
    drift.lower_p(before, after)
    assert time.process_time() - begin < 1


def test_images_of_the_same_kind_are_seldom_refused() -> None:
    """200 draws of 30 images each, from what the model learnt from: the limit of 0.4 and chance let all pass."""
    random = np.random.default_rng(5)
    told = known(brightness=dict.fromkeys(range(10), 10))
    for _ in range(200):
        places, counts = np.unique(random.integers(0, 10, 30), return_counts=True)
        now = histograms(brightness=dict(zip(places.tolist(), counts.tolist(), strict=True)))
        assert all(v.passed for v in incoming.judged(now, random.uniform(0, 1, 30), told, "7"))
