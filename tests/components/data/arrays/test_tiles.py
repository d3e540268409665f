"""Scenes as tiles, and windows of a scene put together."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from components.data.arrays import geotiff, tiles
from components.data.arrays.stored import Array
from components.labels import outputs
from components.labels.kind import Answer
from pipeline.predict import scenes


def scene(height: int, width: int, moments: int = 1) -> Array:
    pixels = np.arange(moments * height * width, dtype=np.float32).reshape(moments, height, width, 1)
    return Array(pixels, np.ones((moments, height, width), bool), np.arange(moments, dtype=np.float64))


def test_tiles_beyond_the_scene_are_invalid() -> None:
    whole = scene(3, 5, moments=2)
    found = tiles.cut(whole, (2, 3), (2, 3))
    assert found.pixels[1, :, :, 0].tolist() == [[28, 29, 0], [0, 0, 0]]
    assert found.valid[1].tolist() == [[True, True, False], [False, False, False]]
    mask = np.arange(15, dtype=np.uint8).reshape(3, 5)
    assert tiles.cut_mask(mask, (2, 3), (2, 3), 255).tolist() == [[13, 14, 255], [255, 255, 255]]


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(sizes, sizes)
def test_tiles_hold_each_pixel_once(size: tiles.Size, tile: tiles.Size) -> None:
    whole = scene(*size)
    found = [tiles.cut(whole, place, tile) for place in tiles.grid(size, tile)]
    values = np.concatenate([one.pixels[one.valid] for one in found]).ravel()
    assert sorted(values.tolist()) == whole.pixels.ravel().tolist()


@given(sizes, sizes)
def test_windows_answer_each_pixel_once_and_from_inside(size: tiles.Size, tile: tiles.Size) -> None:
    """Where the scene goes on beyond a window, an eighth of the window at least lies between its edge and answers."""
    counts = np.zeros(size, int)
    for place, parts in tiles.windows(size, tile):
        counts[parts] += 1
        for axis in range(2):
            begin, end = place[axis], place[axis] + tile[axis]
            assert begin <= parts[axis].start < parts[axis].stop <= max(end, 1)
            margin = tile[axis] // 8
            assert parts[axis].start - begin >= margin or begin == 0
            assert end - parts[axis].stop >= margin or end >= size[axis]
    assert (counts == 1).all()


def of_place(arrays: Sequence[Array]) -> Answer:
    """A model that answers each pixel with its value, and is wrong at the edge of its window."""
    count = len(arrays)
    mask = np.stack([one.pixels[0, :, :, 0] % 200 for one in arrays]).astype(np.uint8)
    edge = np.ones(mask.shape, bool)
    edge[:, 1:-1, 1:-1] = False
    return {
        outputs.LABELS: np.array([[b"x"]] * count, object),
        outputs.MASK: np.where(edge, 250, mask).astype(np.uint8),
        outputs.CONFIDENCE: np.ones(mask.shape, np.float32),
        outputs.FAMILIARITY: np.array([one.pixels.max() / 1000 for one in arrays], np.float32),
        outputs.ABSTAIN: np.array([bool(one.pixels[0, 0, 0, 0] == 0) for one in arrays]),
        outputs.ERROR: np.array([b""] * count, object),
    }


def test_the_edges_of_windows_inside_the_scene_are_not_used() -> None:
    whole = scene(20, 30)
    found = scenes.answered(whole, (8, 8), of_place)
    expected: NDArray[np.float32] = whole.pixels[0, :, :, 0] % 200
    np.testing.assert_array_equal(found[outputs.MASK][0, 1:-1, 1:-1], expected[1:-1, 1:-1])
    assert (found[outputs.MASK][0, 0] == 250).all()  # the edge of the scene is that of a window
    assert found[outputs.FAMILIARITY][0] == pytest.approx((7 * 30 + 7) / 1000)  # of the first window, 217
    assert found[outputs.ABSTAIN].tolist() == [True]  # of the first window


def test_a_scene_without_valid_pixels_is_refused_and_parts_without_are_left_open() -> None:
    whole = scene(8, 24)
    whole.valid[:, :, :16] = False
    found = scenes.answered(whole, (8, 8), of_place)
    assert (found[outputs.MASK][0, :, :7] == 255).all()
    assert (found[outputs.MASK][0, 1:-1, 18:-1] != 255).all()
    assert found[outputs.ERROR].tolist() == [b""]
    whole.valid[:] = False
    assert scenes.answered(whole, (8, 8), of_place)[outputs.ERROR].tolist() == [b"no pixel is valid"]


def test_where_a_geotiff_lies_is_kept() -> None:
    """ModelPixelScale, ModelTiepoint and GeoKeyDirectory as GDAL writes them for UTM 33N, pixels of 10 m."""
    keys = (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32633)
    tags = [
        (33550, 12, 3, (10.0, 10.0, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 500000.0, 5100000.0, 0.0), True),
        (34735, 3, len(keys), keys, True),
    ]
    out = io.BytesIO()
    tifffile.imwrite(out, np.zeros((4, 5, 3), np.uint16), photometric="rgb", extratags=tags)
    mask = np.arange(20, dtype=np.uint8).reshape(4, 5)
    with tifffile.TiffFile(io.BytesIO(geotiff.written(mask, geotiff.place(out.getvalue()), 255))) as file:
        np.testing.assert_array_equal(file.asarray(), mask)
        found = {tag.code: tag.value for tag in file.pages[0].tags if tag.code > 33000}
    assert found == {33550: tags[0][3], 33922: tags[1][3], 34735: keys, 42113: "255"}
    assert geotiff.place(b"no TIFF") == ()


def test_a_place_with_a_text_that_is_no_ascii_is_kept() -> None:
    tags = [geotiff.Tag(34737, 2, 16, "ETRS89 / caf\u00e9|")]
    with tifffile.TiffFile(io.BytesIO(geotiff.written(np.zeros((2, 3), np.uint8), tags, 255))) as file:
        assert "ETRS89" in str(file.pages[0].tags[34737].value)
