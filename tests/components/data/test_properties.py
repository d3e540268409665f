"""Image properties: by hand, against NumPy's own arithmetic, and in bins that never move."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from components.data import properties


def measure(rgb: Image.Image, width: int, height: int) -> tuple[float, ...]:
    return properties.measure(rgb, rgb.convert("L"), width, height).values


def measured(pixels: list[list[list[int]]]) -> dict[str, float]:
    rgb = np.array(pixels, np.uint8)
    return dict(zip(properties.NAMES, measure(Image.fromarray(rgb), rgb.shape[1], rgb.shape[0]), strict=True))


def test_properties_match_a_calculation_by_hand() -> None:
    # Two black and two white pixels: mean 1/2, standard deviation 1/2.
    black, white = [0, 0, 0], [255, 255, 255]
    found = measured([[black, white, white], [black, white, black]])
    assert (found["width"], found["height"], found["aspect_ratio"]) == (3, 2, 1.5)
    assert found["brightness"] == pytest.approx(0.5)
    assert found["red"] == found["green"] == found["blue"] == pytest.approx(0.5, abs=1 / 255)
    assert found["contrast"] == pytest.approx(0.5)
    assert found["sharpness"] == 0  # nothing has four neighbours

    red = measured([[[255, 0, 0]] * 3] * 3)
    assert (red["red"], red["green"], red["blue"]) == (1, 0, 0)
    assert red["brightness"] == pytest.approx(0.299, abs=0.002)  # ITU-R BT.601
    assert (red["contrast"], red["sharpness"]) == (pytest.approx(0, abs=1e-6), 0)

    # One white dot in black 3 x 4: inside lie it and its right neighbour, with Laplacians -4 and 1: variance 6.25.
    dot = measured([[black] * 4, [black, white, black, black], [black] * 4])
    assert dot["sharpness"] == pytest.approx(6.25)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_properties_match_numpy(height: int, width: int, seed: int) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = dict(zip(properties.NAMES, measure(Image.fromarray(rgb), 7 * width, 7 * height), strict=True))
    luma = np.asarray(Image.fromarray(rgb).convert("L"), np.float64) / 255
    assert found["width"] == 7 * width
    assert found["brightness"] == pytest.approx(luma.mean())
    assert found["contrast"] == pytest.approx(luma.std(), abs=1e-7)
    for i, name in enumerate(("red", "green", "blue")):
        assert found[name] == pytest.approx(rgb[..., i].mean() / 255, abs=1 / 255)
    if min(height, width) > 2:
        inside = luma[1:-1, 1:-1]
        laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * inside
        assert found["sharpness"] == pytest.approx(laplacian.var(), rel=1e-4, abs=1e-7)
    assert all(0 <= i < properties.BINS for i in properties.bins(list(found.values())))


def test_sharpness_falls_with_blur_and_not_with_size() -> None:
    random = np.random.default_rng(1)
    picture = Image.fromarray(random.integers(0, 256, (82, 120, 3), dtype=np.uint8))
    blurred = picture.resize((40, 27), Image.Resampling.BOX).resize(picture.size, Image.Resampling.BILINEAR)
    larger = picture.resize((360, 246), Image.Resampling.NEAREST)
    sharp, soft, large = (measure(p, *p.size)[5] for p in (picture, blurred, larger))
    assert soft < sharp / 50
    assert large == pytest.approx(sharp, rel=0.05)


@pytest.mark.parametrize("name", properties.NAMES)
def test_bins_lie_between_their_edges(name: str) -> None:
    at = properties.NAMES.index(name)
    lowest = properties.edge(name, 0) or 0.01
    for i in range(properties.BINS):
        value = properties.edge(name, i + 0.5)
        values = [lowest] * len(properties.NAMES)
        values[at] = value
        assert properties.bins(values)[at] == i
    for value, expected in ((0.0, 0), (1e9, properties.BINS - 1)):
        values[at] = value
        assert properties.bins(values)[at] == expected


def test_the_median_is_spread_over_its_bin() -> None:
    histogram = [0] * properties.BINS
    histogram[32], histogram[33] = 2, 2
    assert properties.median("brightness", histogram) == pytest.approx(33 / 64)
    histogram[33] = 0  # both between 32/64 and 33/64
    assert properties.median("brightness", histogram) == pytest.approx(32.5 / 64)
    # Widths go by ratio: bin 40 begins at 4 * 16384^(40/64).
    histogram = [0] * properties.BINS
    histogram[40] = 1
    assert properties.median("width", histogram) == pytest.approx(4 * 16384 ** (40.5 / 64))
    assert properties.text("width", 640.2) == "640 pixels"
    assert properties.text("brightness", 1 / 3) == "0.33"
    assert math.isclose(properties.edge("aspect_ratio", 32), 1)
