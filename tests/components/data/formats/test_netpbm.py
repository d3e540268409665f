"""PPM, PGM and PBM, as German traffic signs and older sets of photos are stored: they become PNG of the same pixels."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from components.data import images, masks
from components.data.images import BadImage
from components.data.mask_rules import Rule

GREY = [[0, 128, 255], [7, 8, 9]]
COLOURS = [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [1, 2, 3]]]


def stored(checked: images.Checked) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(checked.encoded)))


def grey(values: list[list[int]]) -> list[list[list[int]]]:
    return [[[value] * 3 for value in row] for row in values]


# Each file is written out, with comments where the format allows them.
FILES = {
    "P1": (b"P1\n# 1 is black\n3 2\n1 0 1\n0 1 0\n", grey([[0, 255, 0], [255, 0, 255]])),
    "P2": (b"P2\n3 2\n# the highest value\n255\n0 128 255\n7 8 9\n", grey(GREY)),
    "P2 of 4 bits": (b"P2 2 1 15\n0 15", grey([[0, 255]])),
    "P3": (b"P3 2 2 255\n255 0 0  0 255 0\n0 0 255  1 2 3\n", COLOURS),
    "P4": (b"P4\n3 2\n\xa0\x40", grey([[0, 255, 0], [255, 0, 255]])),  # 101 and 010
    "P5": (b"P5 3 2 255\n\x00\x80\xff\x07\x08\x09", grey(GREY)),
    "P6": (b"P6\n2 2\n255\n\xff\0\0\0\xff\0\0\0\xff\1\2\3", COLOURS),
}


@pytest.mark.parametrize(("data", "pixels"), FILES.values(), ids=FILES)
def test_the_pixels_are_those_of_the_file(data: bytes, pixels: list[list[list[int]]]) -> None:
    checked = images.check(data, 100)
    assert (checked.format, checked.changed, checked.remarks) == ("png", "PPM, PGM or PBM", ())
    assert stored(checked).tolist() == pixels


# 4,080 = 0x0ff0 and 16 = 0x0010; shifted by 4 bits 255 and 1, shifted by 8 bits 15 and 0.
DEEP = {
    "P2": b"P2 2 1 65535\n4080 # a comment 5\n16",
    "P5": b"P5 2 1 65535\n\x0f\xf0\x00\x10",
    "P3": b"P3 2 1 65535\n4080 4080 4080 16 16 16",
    "P6": b"P6 2 1 65535\n" + b"\x0f\xf0" * 3 + b"\x00\x10" * 3,
}


@pytest.mark.parametrize("data", DEEP.values(), ids=DEEP)
def test_sixteen_bits_are_read_as_those_of_a_png(data: bytes) -> None:
    checked = images.check(data, 100)
    assert (stored(checked)[..., 0].tolist(), checked.highest) == ([[15, 0]], 4080)
    assert checked.remarks == ("more than 8 bits per value; the upper 8 are used",)

    checked = images.check(data, 100, bits=12)
    assert (stored(checked).tolist(), checked.highest) == (grey([[255, 1]]), 0)
    with pytest.raises(BadImage, match=r"^holds the value 4,080, but data\.bits: 10 means values from 0 to 1,023$"):
        images.check(data, 100, bits=10)


@pytest.mark.parametrize("data", [b"P5 2 1 4095\n\x0f\xff\x08\x00", b"P2 2 1 4095 4095 2048"])
def test_a_stated_range_is_used(data: bytes) -> None:
    checked = images.check(data, 100)
    assert (stored(checked)[..., 0].tolist(), checked.highest) == ([[255, 128]], 0)  # 4,095 and 2,048 of 4,095


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"P6 2 2 255\n\xff\0\0", "cannot be decoded: image file is truncated"),
        (b"P5 2 1 65535\n\x0f", "cannot be decoded: image file is truncated"),
        (b"P6 2 1 65535\n\x0f\xf0", "cannot be decoded: "),
        (b"P2 2 1 255\n1 300", "cannot be decoded: Channel value too large"),
        (b"P6 200 200 255\n", "200 x 200 pixels are more than"),
        (b"P6 2 2 70000\n", "starts like a PPM, PGM or PBM file, but its header is broken"),
        (b"PyP 2 2 255\n\0\0\0\0", "no image of a known format"),
    ],
)
def test_a_damaged_file_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(BadImage, match=message):
        images.check(data, 100)


RULE = Rule(("ground", "cat"), ((0, 0), (1, 1), (300, 1)))


@pytest.mark.parametrize("data", [b"P5 2 1 255\n\0\1", b"P2 2 1 255\n0 1", b"P5 2 1 65535\n\0\0\1\x2c"])
def test_a_mask_keeps_its_ids(data: bytes) -> None:
    assert masks.check(data, 2, 1, RULE, 100).pixels == (1, 1)


def test_a_mask_whose_ids_were_scaled_is_refused() -> None:
    with pytest.raises(BadImage, match=r"^states 1 as its highest value; save it as PNG, or as 255 or 65,535$"):
        masks.check(b"P2 2 1 1\n0 1", 2, 1, RULE, 100)
    with pytest.raises(BadImage, match=r"^is a PBM, which stores black as 1"):
        masks.check(b"P4 2 1\n\x40", 2, 1, RULE, 100)
