"""Images of 16 bits: their values become 8 bits by the range that is stated, at ingest and in serving alike."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from numpy.typing import NDArray
from PIL import Image

from components.data import images
from components.data.images import BadImage
from components.data.untrusted import rows

GREY = (np.arange(48 * 64).reshape(48, 64) % 256).astype(np.uint16)
TWELVE = GREY * 16 + 7  # 12 bits: 7 to 4,087; v >> 4 gives GREY again
COLOURS = np.stack([TWELVE, TWELVE[::-1], np.full_like(TWELVE, 4095)], axis=-1)
COLOURS_8 = np.stack([GREY, GREY[::-1], np.full_like(GREY, 255)], axis=-1).astype(np.uint8)
MOST = 10_000


def pillow(pixels: NDArray[np.generic], kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def tiff(pixels: NDArray[np.generic], **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **options)
    return out.getvalue()


def png(pixels: NDArray[np.uint16]) -> bytes:
    """Colours of 16 bits, which Pillow does not write."""
    data: bytes = tf.io.encode_png(pixels).numpy()
    return data


def stored(checked: images.Checked) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(checked.encoded)))


FILES = {
    "PNG": pillow(TWELVE, "PNG"),
    "TIFF": pillow(TWELVE, "TIFF"),
    "LZW TIFF": pillow(TWELVE, "TIFF", compression="tiff_lzw"),
    "big-endian TIFF": tiff(TWELVE, byteorder=">"),
    "signed TIFF": tiff(TWELVE.astype(np.int16)),
    "32-bit TIFF": tiff(TWELVE.astype(np.uint32)),
    "BigTIFF": tiff(TWELVE, bigtiff=True),
}
COLOURED = {
    "PNG": png(COLOURS),
    "TIFF": tiff(COLOURS, photometric="rgb"),
    "big-endian TIFF": tiff(COLOURS, photometric="rgb", byteorder=">"),
    "deflated TIFF": tiff(COLOURS, photometric="rgb", compression="zlib"),
    "deflated big-endian TIFF": tiff(COLOURS, photometric="rgb", compression="zlib", byteorder=">"),
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_twelve_bits_in_sixteen_are_scaled_by_the_stated_range(data: bytes) -> None:
    checked = images.check(data, MOST, bits=12)

    np.testing.assert_array_equal(stored(checked), np.stack([GREY] * 3, axis=-1))  # (16 g + 7) >> 4 = g
    assert checked.remarks == ("16 bits per value; they were read as values of 12 bits (data.bits)",)
    assert checked.highest == 0


@pytest.mark.parametrize("data", COLOURED.values(), ids=COLOURED)
def test_colours_of_twelve_bits_are_scaled_by_the_stated_range(data: bytes) -> None:
    np.testing.assert_array_equal(stored(images.check(data, MOST, bits=12)), COLOURS_8)


@pytest.mark.parametrize("data", [*FILES.values(), *COLOURED.values()])
def test_without_a_stated_range_the_range_seen_is_told(data: bytes) -> None:
    checked = images.check(data, MOST)

    # Of all 16 bits, the upper 8: 4,087 >> 8 = 15, and 4,095 >> 8 = 15.
    assert stored(checked).max() == 15
    assert checked.remarks == ("more than 8 bits per value; the upper 8 are used",)
    assert checked.highest in (4087, 4095)


def test_a_value_beyond_the_stated_range_is_refused() -> None:
    with pytest.raises(BadImage, match=r"^holds the value 4,087, but data\.bits: 10 means values from 0 to 1,023$"):
        images.check(FILES["PNG"], MOST, bits=10)


@pytest.mark.parametrize("bits", [None, 8, 10, 12, 16])
def test_serving_reads_sixteen_bits_as_ingest_does(bits: int | None) -> None:
    pixels = np.minimum(COLOURS, 2 ** (bits or 16) - 1)
    alpha = np.full((48, 64, 1), 0x8000, np.uint16)
    for data in (png(pixels), png(pixels[..., :1]), png(np.dstack([pixels, alpha]))):
        checked = images.check(data, MOST, bits)
        served = rows.decode(tf.constant([data]), (48, 64), bits)[0][0].numpy()
        np.testing.assert_array_equal(served, images.decode(tf.constant(checked.encoded), (48, 64)).numpy())


def test_serving_leaves_eight_bits_as_they_are() -> None:
    data = pillow(COLOURS_8, "PNG")
    pixels, errors = rows.decode(tf.constant([data]), (48, 64), 12)
    np.testing.assert_array_equal(pixels[0].numpy(), COLOURS_8)
    assert errors.numpy().tolist() == [b""]


def test_a_tiff_that_states_its_twelve_bits_needs_no_key() -> None:
    # 2 x 1 pixels of 0x123 and 0xFFF, packed in three bytes; tags: width, height, bits, compression, photometric,
    # offset, samples, rows, bytes.
    tags = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 3}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = b"II*\0" + struct.pack("<I", 12) + bytes([0x12, 0x3F, 0xFF, 0])
    data += struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    checked = images.check(data, MOST)

    assert stored(checked)[0, :, 0].tolist() == [0x12, 0xFF]  # v >> 4
    assert checked.highest == 0


def test_a_grey_tiff_of_sixteen_bits_whose_zero_is_white_is_inverted() -> None:
    data = tiff(GREY << 8, photometric="miniswhite")
    np.testing.assert_array_equal(stored(images.check(data, MOST))[..., 0], 255 - GREY)


def test_the_orientation_of_a_png_of_sixteen_bits_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the upright image comes out by turning it clockwise
    checked = images.check(pillow(GREY << 8, "PNG", exif=exif), MOST)
    assert (checked.width, checked.height, checked.sideways) == (48, 64, True)
    np.testing.assert_array_equal(stored(checked)[..., 0], GREY.T[:, ::-1])


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.float32([[0, 1]]), r"^32-bit float values from 0 to 1, whose range is not stated; save it as 8 or 16 bits"),
        (np.int16([[-3, 1]]), r"^32-bit values from -3 to 1; expected values from 0 to 65,535"),
        (np.uint32([[5, 70_000]]), r"^32-bit values from 5 to 70,000; expected values from 0 to 65,535"),
        (np.float64([[0, 1]]), r"^1 band of 64-bit float; expected 1, 3 or 4 of 8 or 16 bits$"),
        (np.int8([[-3, 1]]), r"^1 band of 8-bit signed numbers; expected 1, 3 or 4 of 8 or 16 bits$"),
    ],
)
def test_values_without_a_range_are_refused_with_what_they_are(pixels: NDArray[Any], message: str) -> None:
    with pytest.raises(BadImage, match=message):
        images.check(tiff(pixels), MOST)
