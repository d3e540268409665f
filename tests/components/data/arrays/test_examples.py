"""Examples of arrays: which pixels are valid, what several files make up, and what a record gives back."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from components.data.arrays import check, moments, stored, validity
from components.data.arrays.spec import Bands, ByBand, ByValue
from components.data.formats.bad_image import BadImage
from components.data.storage.bundles import Part

RANDOM = np.random.default_rng(0)
MOST = 100_000
ONE, TWO = Bands(names=("a",)), Bands(names=("a", "b"))


def npy(array: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def tiff(array: NDArray[Any], nodata: str) -> bytes:
    out = io.BytesIO()
    extra = {"planarconfig": "contig"} if array.ndim > 2 else {}
    tifffile.imwrite(out, array, photometric="minisblack", extratags=[(42113, "s", 0, nodata, True)], **extra)
    return out.getvalue()


def example(array: NDArray[Any], bands: Bands = ONE) -> stored.Array:
    return check.assemble([Part("x.npy", npy(array))], bands, MOST)[0]


def test_a_value_that_the_type_cannot_hold_marks_nothing_and_is_told() -> None:
    array, remarks = check.assemble(
        [Part("x.tif", tiff(np.arange(12, dtype="uint16").reshape(3, 4), "-9999"))], ONE, MOST
    )
    assert array.valid.all()
    assert remarks == (
        "the value -9999 for pixels without information, which uint16 cannot hold; all its pixels are valid",
    )


def test_nan_infinity_and_the_file_s_own_value_are_all_invalid() -> None:
    values = RANDOM.normal(size=(8, 9)).astype("float32")
    values[0, :3], values[1, :2], values[2, 0], values[2, 1] = -9999, np.nan, np.inf, -np.inf
    array, _ = check.assemble([Part("x.tif", tiff(values, "-9999"))], ONE, MOST)
    assert (~array.valid).sum() == 3 + 2 + 2
    rest = values[np.isfinite(values) & (values != -9999)].astype(np.float64)
    found = moments.of(array.pixels, array.valid)
    assert found.number.tolist() == [len(rest)]
    np.testing.assert_allclose([found.mean[0], found.deviation[0]], [rest.mean(), rest.std()], rtol=1e-12)
    assert (found.least[0], found.most[0]) == (rest.min(), rest.max())


def test_a_shadow_in_one_band_is_no_hole() -> None:
    values = RANDOM.integers(1, 5000, (20, 30, 4)).astype("uint16")
    values[:2], values[5:10, :, 1] = 0, 0  # 60 pixels of nothing, and 150 that are dark in one band
    bands = Bands(names=("blue", "green", "red", "nir"))
    array, _ = check.assemble([Part("x.tif", tiff(values, "0"))], bands, MOST)
    assert (~array.valid).sum() == 60
    told = Bands(names=bands.names, invalid="zero")
    assert (~check.assemble([Part("x.npy", npy(values))], told, MOST)[0].valid).sum() == 60


@pytest.mark.parametrize(
    ("bands", "pixel", "is_valid"),
    [
        (TWO, [1, 2], True),
        (TWO, [np.nan, 2], False),
        (TWO, [np.inf, 2], False),
        (TWO.model_copy(update={"invalid": "zero"}), [0, 2], True),
        (TWO.model_copy(update={"invalid": "zero"}), [0, 0], False),
        (TWO.model_copy(update={"invalid": "nan"}), [0, 0], True),
        (TWO.model_copy(update={"invalid": ByValue(value=-9999)}), [-9999, 2], False),
        (TWO.model_copy(update={"invalid": ByValue(value=0)}), [0, 2], True),
        (TWO.model_copy(update={"invalid": ByValue(value=0)}), [0, 0], False),
        (TWO.model_copy(update={"invalid": ByBand(band="b", above=0.5)}), [9, 0.5], True),
        (TWO.model_copy(update={"invalid": ByBand(band="b", above=0.5)}), [9, 0.6], False),
        (TWO.model_copy(update={"invalid": ByBand(band="a", below=0.5)}), [0.4, 9], False),
        (TWO.model_copy(update={"invalid": ByBand(band="a", below=0.5)}), [0.5, 9], True),
    ],
)
def test_which_pixels_are_valid(bands: Bands, pixel: list[float], is_valid: bool) -> None:
    pixels = np.array(pixel, np.float32)
    assert bool(validity.valid(pixels, bands)) is is_valid
    in_graph = tf.function(lambda x: validity.valid(x, bands, xp=tf.experimental.numpy))(tf.constant(pixels))
    assert bool(in_graph) is is_valid


def test_a_value_with_decimals_is_that_of_the_file_s_type() -> None:
    values = np.array([[-9999.9, 1.0]], np.float32)
    assert example(values, ONE.model_copy(update={"invalid": ByValue(value=-9999.9)})).valid.tolist() == [
        [[False, True]]
    ]


SEQUENCE = Bands(names=("a", "b"), frames=4)


def test_files_of_a_sequence_are_its_moments() -> None:
    frames = RANDOM.integers(0, 9, (3, 5, 6, 2)).astype("int16")
    names = ["2017-01-01.npy", "2017-01-11.npy", "2017-02-10.npy"]
    array, _ = check.assemble(list(map(Part, names, map(npy, frames))), SEQUENCE, MOST)
    np.testing.assert_array_equal(array.pixels, frames)
    assert (array.times - array.times[0]).tolist() == [0, 10, 40]
    whole, _ = check.assemble([Part("x.npy", npy(frames))], SEQUENCE, MOST)
    np.testing.assert_array_equal(whole.pixels, frames)
    assert whole.times.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        ([np.zeros((5, 6, 2)), np.zeros((5, 7, 2))], r"1.npy: 7 x 5 pixels, but 0.npy has 6 x 5"),
        ([np.zeros((5, 6, 2)), np.zeros((5, 6, 2), "int8")], r"1.npy: values of type int8, but 0.npy has float64"),
        ([np.zeros((5, 6, 2)), np.zeros((5, 6, 3))], r"1.npy: 3 bands; expected 2: a, b"),
        ([np.zeros((5, 6, 2)), np.zeros((2, 5, 6, 2))], r"1.npy: 2 moments; expected 1 in each file of a sequence"),
        ([np.zeros((5, 6, 2))] * 5, r"5 moments are more than data.frames, 4"),
    ],
)
def test_files_that_do_not_fit_together_are_named(frames: list[NDArray[Any]], told: str) -> None:
    with pytest.raises(BadImage, match=told):
        check.assemble([Part(f"{i}.npy", npy(frame)) for i, frame in enumerate(frames)], SEQUENCE, MOST)


def test_what_most_examples_have_is_expected_of_all() -> None:
    samples = [example(np.zeros((5, 6), "uint16"))] * 3 + [example(np.zeros((5, 6), "uint8"))] * 2
    expected = check.expect(samples, ONE)
    assert (expected.dtype, expected.height, expected.width) == ("uint16", 5, 6)
    check.fits(samples[0], expected)
    with pytest.raises(BadImage, match="values of type uint8; most files have uint16"):
        check.fits(samples[-1], expected)
    with pytest.raises(BadImage, match="7 x 5 pixels; most files have 6 x 5"):
        check.fits(example(np.zeros((5, 7), "uint16")), expected)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_training_gets_what_the_file_holds_to_the_bit(dtype: str) -> None:
    limits = np.iinfo(dtype) if np.dtype(dtype).kind != "f" else None
    frames = RANDOM.normal(size=(3, 4, 5, 2)).astype(dtype) if limits is None else np.zeros((3, 4, 5, 2), dtype)
    if limits is not None:
        frames[...] = RANDOM.integers(limits.min, limits.max, frames.shape, endpoint=True)
    array = example(frames, SEQUENCE.model_copy(update={"invalid": ByBand(band="a", above=0)}))
    again = stored.restored(array.encoded())
    assert (again.pixels.tobytes(), again.dtype) == (frames.tobytes(), dtype)
    np.testing.assert_array_equal(again.valid, ~(frames[..., 0] > 0))
    assert again.times.tolist() == [0, 1, 2]
    decode = tf.function(lambda encoded: stored.decode(encoded, dtype, (4, 4, 5, 2)))
    found, there, days = (one.numpy() for one in decode(array.encoded()))
    assert found[:3].tobytes() == frames.tobytes()
    assert not found[3].any()
    assert (there[:3] == again.valid).all()
    assert not there[3].any()
    assert days.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("dtype", "size", "told"),
    [
        ("int16", (4, 4, 5, 2), "an array of another type than int16"),
        ("uint8", (4, 4, 5, 3), "an array of another size than"),
        ("uint8", (2, 4, 5, 2), "more than 2 moments"),
    ],
)
def test_a_record_that_holds_something_else_is_an_error(dtype: str, size: tuple[int, ...], told: str) -> None:
    encoded = example(np.zeros((3, 4, 5, 2), "uint8"), SEQUENCE).encoded()
    with pytest.raises(tf.errors.InvalidArgumentError, match=told):
        tf.function(lambda one: stored.decode(one, dtype, size), [tf.TensorSpec([], tf.string)])(encoded)


@given(st.binary(max_size=60))
def test_what_is_no_stored_array_is_a_bad_image(data: bytes) -> None:
    encoded = example(np.zeros((3, 4, 5, 2), "uint8"), SEQUENCE).encoded()
    for one in (data, encoded[:-7], zlib.compress(data), encoded[:20] + data):
        with pytest.raises(BadImage, match="no stored array"):
            stored.restored(one)


@given(st.lists(st.lists(st.integers(-5, 5), min_size=1, max_size=4), min_size=1, max_size=5), st.randoms())
def test_sums_over_parts_are_those_of_the_whole_in_any_order(parts: list[list[int]], order: Any) -> None:
    arrays = [np.array(part, np.float64)[:, np.newaxis] * 0.1 for part in parts]
    valid = [values[:, 0] > -0.25 for values in arrays]
    each = [moments.of(values, there) for values, there in zip(arrays, valid, strict=True)]
    found = moments.total(each)
    order.shuffle(each)
    for one, other in zip(found, moments.total(each), strict=True):
        np.testing.assert_array_equal(one, other)
    whole = np.concatenate(arrays)[np.concatenate(valid), 0]
    assert found.number[0] == len(whole)
    if len(whole):
        expected = [whole.mean(), np.square(whole - whole.mean()).sum(), whole.min(), whole.max()]
        np.testing.assert_allclose([one[0] for one in found[1:]], expected, atol=1e-12)
    else:
        assert np.isnan(found.mean[0])


@pytest.mark.real_images
def test_a_satellite_s_sequence_is_the_same_from_both_of_its_forms(real_images: Path) -> None:
    """68 TIFF files of two bands, and one array of three with the validity as a band."""
    folder = real_images / "bands"
    frames = sorted((folder / "frames" / "tile_11").iterdir())
    two = Bands(names=("ndvi", "clouds"), frames=68, invalid="zero")
    by_frame, _ = check.assemble([Part(file.name, file.read_bytes()) for file in frames], two, MOST)
    three = Bands(names=("ndvi", "clouds", "valid"), frames=68, invalid=ByBand(band="valid", below=0.5))
    whole, _ = check.assemble([Part("t.npy", (folder / "sequences" / "tile_11.npy").read_bytes())], three, MOST)
    np.testing.assert_array_equal(by_frame.valid, whole.valid)
    assert by_frame.pixels.shape == (68, 33, 33, 2)
    ndvi = np.round((whole.pixels[..., 0].astype(np.float64) + 1) * 10_000)
    difference = np.abs(by_frame.pixels[..., 0] - ndvi)[by_frame.valid]
    assert difference.max() <= 1
    assert 2015.5 < 1970 + by_frame.times[0] / 365.25 < by_frame.times[-1] / 365.25 + 1970 < 2018
    assert (np.diff(by_frame.times) > 0).all()
