"""Array files: the very values come out, in one order of axes, from every format; and what is wrong is named."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pydantic import ValidationError

from components.data.arrays import reading
from components.data.arrays.spec import Bands, ByBand, ByValue
from components.data.formats.bad_image import BadImage

RANDOM = np.random.default_rng(0)
FOUR = Bands(names=("blue", "green", "red", "nir"))
MOST = 10_000


def npy(array: NDArray[Any], fortran: bool = False) -> bytes:
    out = io.BytesIO()
    np.save(out, np.asfortranarray(array) if fortran else array, allow_pickle=True)
    return out.getvalue()


def npz(**of: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **of)
    return out.getvalue()


def tiff(array: NDArray[Any], **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, array, **options)
    return out.getvalue()


def png(array: NDArray[Any]) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.png_encode(array))


def read(data: bytes, bands: Bands = FOUR) -> NDArray[Any]:
    return reading.read(data, bands, MOST).pixels


def values(*shape: int, dtype: str = "uint16") -> NDArray[Any]:
    if dtype.startswith("float"):
        return RANDOM.normal(size=shape).astype(dtype)
    return RANDOM.integers(0, np.iinfo(dtype).max, shape).astype(dtype)


SINGLE: dict[str, Callable[[NDArray[Any]], bytes]] = {
    "TIFF, bands of a pixel side by side": lambda a: tiff(a, photometric="minisblack", planarconfig="contig"),
    "TIFF, one band after the other": lambda a: tiff(
        a.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate"
    ),
    "TIFF, a page for each band": lambda a: tiff(a.transpose(2, 0, 1), photometric="minisblack"),
    "TIFF, big-endian, in tiles": lambda a: tiff(
        a, photometric="minisblack", planarconfig="contig", byteorder=">", tile=(16, 16)
    ),
    "TIFF, LZW with a predictor": lambda a: tiff(
        a, photometric="minisblack", planarconfig="contig", compression="lzw", predictor=a.dtype.kind != "f"
    ),
    "TIFF, deflated, 64-bit offsets": lambda a: tiff(
        a, photometric="minisblack", planarconfig="contig", compression="deflate", bigtiff=True
    ),
    ".npy": npy,
    ".npy, columns first": lambda a: npy(a, fortran=True),
    ".npy, big-endian": lambda a: npy(a.astype(a.dtype.newbyteorder(">"))),
    ".npz": lambda a: npz(pixels=a),
}


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("dtype", reading.DTYPES)
def test_every_format_gives_the_very_values_of_an_image(kind: str, dtype: str) -> None:
    array = values(6, 5, 4, dtype=dtype)
    found = read(SINGLE[kind](array))
    assert found.dtype == np.dtype(dtype)
    assert found.dtype.byteorder in "=<|"
    np.testing.assert_array_equal(found, array[np.newaxis])


@given(arrays.arrays(np.float32, (2, 3, 4), elements=st.floats(width=32)))
def test_whatever_the_values_they_stay_to_the_bit(array: NDArray[np.float32]) -> None:
    for encode in (npy, SINGLE["TIFF, deflated, 64-bit offsets"]):
        assert read(encode(array)).tobytes() == array.tobytes()


def test_a_png_of_16_bits_keeps_them_all() -> None:
    grey, colour = values(4, 3), values(4, 3, 3)
    np.testing.assert_array_equal(read(png(grey), Bands(names=("height",))), grey[np.newaxis, :, :, np.newaxis])
    np.testing.assert_array_equal(read(png(colour), Bands(names=("r", "g", "b"))), colour[np.newaxis])


@pytest.mark.parametrize(
    ("bands", "array", "axes"),
    [
        (Bands(names=("a", "b"), frames=9), values(3, 4, 5, 2), "THWB"),
        (Bands(names=("a", "b"), frames=9, axes="TBHW"), values(3, 2, 4, 5), "TBHW"),
        (Bands(names=("a", "b"), frames=9, axes="BTWH"), values(2, 3, 5, 4), "BTWH"),
        (Bands(names=("a", "b"), axes="BHW"), values(2, 4, 5), "BHW"),
        (Bands(names=("a",)), values(4, 5), "HW"),
        (Bands(names=("a",), axes="WH"), values(5, 4), "WH"),
        (Bands(names=("a",), frames=3), values(3, 4, 5), "THW"),
        (Bands(names=("a", "b"), frames=3), values(4, 5, 2), "HWB"),
    ],
)
def test_the_order_of_axes_is_always_the_same(bands: Bands, array: NDArray[Any], axes: str) -> None:
    found = read(npy(array), bands)
    sizes = dict(zip(axes, array.shape, strict=True))
    assert found.shape == tuple(sizes.get(letter, 1) for letter in "THWB")
    # A value is found under the same moment, pixel and band.
    place = {letter: size - 1 for letter, size in sizes.items()}
    assert found[tuple(place.get(letter, 0) for letter in "THWB")] == array[tuple(place[letter] for letter in axes)]


def test_pages_of_a_tiff_are_moments_if_a_page_has_the_bands() -> None:
    array = values(3, 6, 5, 2)
    encoded = tiff(array, photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(read(encoded, Bands(names=("a", "b"), frames=3)), array)
    single = values(3, 6, 5)
    found = read(tiff(single, photometric="minisblack"), Bands(names=("a",), frames=3))
    np.testing.assert_array_equal(found[..., 0], single)
    with pytest.raises(BadImage, match=r"3 moments are more than 1; data\.frames says how many"):
        read(encoded, Bands(names=("a", "b")))


def test_a_scene_on_the_earth_is_read_without_its_place() -> None:
    tags = [(34735, "H", 4, (1, 1, 0, 0), True), (42113, "s", 0, "0", True)]
    found = reading.read(tiff(values(4, 4), extratags=tags), Bands(names=("a",)), MOST)
    assert found.nodata == 0
    assert found.remarks == ("a GeoTIFF; where it lies is not used",)


def test_a_smaller_copy_and_a_mask_of_an_image_are_no_moments() -> None:
    array, out = values(32, 32), io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(array, subifds=1)
        writer.write(array[::2, ::2], subfiletype=1)
        writer.write(array[::2, ::2] > 9, subfiletype=4, photometric=4)
    found = reading.read(out.getvalue(), Bands(names=("a",)), MOST)
    np.testing.assert_array_equal(found.pixels[0, ..., 0], array)
    assert found.remarks == ()


WRONG: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty file"),
    "text": (b"hello", "no TIFF, .npy, .npz or PNG file"),
    "a band missing": (npy(values(4, 5, 3)), "3 bands; expected 4: blue, green, red, nir"),
    "one band": (npy(values(4, 5)), "1 band; expected 4"),
    "five axes": (npy(values(1, 2, 3, 4, 4)), "shape 1 x 2 x 3 x 4 x 4; expected height, width, 4 bands; or say"),
    "moments": (npy(values(2, 4, 5, 4)), "2 moments are more than 1"),
    "64 bits": (npy(values(4, 5, 4, dtype="uint16").astype("int64")), "values of type int64; expected one of uint8"),
    "complex": (npy(values(4, 5, 4).astype("complex64")), "values of type complex64"),
    "no pixel": (npy(np.zeros((0, 5, 4), "uint8")), "shape 0 x 5 x 4: no pixel"),
    "too large": (
        npy(np.zeros((200, 200, 4), "uint8")),
        r"160,000 values are more than 4 times data.max_pixels \(10,000\)",
    ),
    "objects": (npy(np.array([[[{}] * 4]])), "values of type object"),
    "cut off": (npy(values(4, 5, 4))[:-1], "truncated: 159 of 160 bytes"),
    "a broken header": (npy(values(4, 5, 4))[:20], "cannot be read: "),
    "two arrays": (npz(a=values(4, 5, 4), b=values(2)), "2 arrays in the file, a, b; expected one"),
    "a TIFF cut off": (SINGLE["TIFF, deflated, 64-bit offsets"](values(40, 40, 4))[:2000], ""),
    "a palette": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\x03\0\0\0", "a PNG with a palette"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_file_is_named(name: str) -> None:
    data, told = WRONG[name]
    with pytest.raises(BadImage, match=told):
        read(data)


def test_an_archive_that_unpacks_to_more_than_it_says_is_not_unpacked() -> None:
    """Its header promises 10^12 values, of which a few kilobytes of zeros would be many."""
    out = io.BytesIO()
    header = npy(np.zeros((1, 1, 4), "uint8"))[:-4].replace(b"(1, 1, 4)", b"(9999, 9999, 4)")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", header + bytes(1 << 20))
    with pytest.raises(BadImage, match="399,920,004 values are more than 4 times"):
        read(out.getvalue())


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    with pytest.raises(BadImage, match="values of type object"):
        read(npy(np.array([Hostile()], dtype=object)))
    assert not (tmp_path / "executed").exists()


@given(st.sampled_from(sorted(SINGLE)), st.data())
def test_damaged_files_are_bad_images_and_nothing_else(kind: str, data: st.DataObject) -> None:
    encoded = bytearray(SINGLE[kind](np.arange(60, dtype=np.uint8).reshape(5, 3, 4)))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(encoded[: data.draw(st.integers(1, len(encoded)))]))
    except BadImage:
        return
    assert found.shape[-1] == 4


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ({"names": ("a", "a")}, "'a' is there twice"),
        ({"names": ()}, "at least 1"),
        ({"names": ("a",), "axes": "HH"}, "expected the letters T"),
        ({"names": ("a",), "axes": "THW"}, "THW has moments, so data.frames has to say"),
        ({"names": ("a", "b"), "axes": "HW"}, "HW has no bands, but data.bands names 2"),
        ({"names": ("a",), "invalid": {"band": "b", "above": 1}}, "unknown band 'b'; expected one of a"),
        ({"names": ("a",), "invalid": {"band": "a"}}, "give one of above and below"),
        ({"names": ("a",), "invalid": {"band": "a", "above": 1, "below": 0}}, "give one of above and below"),
    ],
)
def test_what_contradicts_itself_is_refused(given_: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(told)):
        Bands(**given_)


def test_rules_are_read_as_they_are_written() -> None:
    assert Bands(names=("a",), invalid={"value": -9999}).invalid == ByValue(value=-9999)
    assert Bands(names=("a",), invalid={"band": "a", "below": 0.5}).invalid == ByBand(band="a", below=0.5)
