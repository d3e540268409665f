"""Bands and pages of TIFF files: told or refused, never cut in silence."""

import io
import re
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from components.data import images
from components.data.images import BadImage

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (48, 64, 3), dtype=np.uint8)
INFRARED = np.repeat(np.uint8([0, 200]), 32)[np.newaxis].repeat(48, axis=0)  # 0 on the left half
FOUR = np.dstack([RGB, INFRARED])
FIVE = np.dstack([FOUR, INFRARED])
MOST = 10_000
PAGES = "several pages or frames; only the first is used"


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **options)
    return out.getvalue()


def stored(checked: images.Checked) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(checked.encoded)))


def test_a_fourth_band_that_is_marked_as_transparency_is_told() -> None:
    checked = images.check(tiff(FOUR, photometric="rgb", extrasamples=["unassalpha"]), MOST)

    assert checked.remarks == ("4 bands in a TIFF, the fourth marked as transparency; it was blended over white",)
    assert (stored(checked)[:, :32] == 255).all()  # alpha 0


def test_a_fourth_band_without_a_meaning_is_told() -> None:
    checked = images.check(tiff(FOUR, photometric="rgb", extrasamples=["unspecified"]), MOST)

    assert checked.remarks == ("4 bands in a TIFF, the fourth of no stated meaning; only the first three are used",)
    np.testing.assert_array_equal(stored(checked), RGB)


def test_planes_are_read_like_pixels() -> None:
    data = tiff(RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    checked = images.check(data, MOST)
    assert checked.remarks == ()
    np.testing.assert_array_equal(stored(checked), RGB)


GREYS = {"photometric": "minisblack", "planarconfig": "contig"}
REFUSED = {
    "five bands": (tiff(FIVE, photometric="rgb"), "5 bands of 8 bits; expected 1, 3 or 4 of 8 or 16 bits"),
    "five planes": (
        tiff(FIVE.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
        "5 bands of 8 bits; expected 1, 3 or 4",
    ),
    "five of 16 bits": (tiff(FIVE.astype(np.uint16), photometric="rgb"), "5 bands of 16 bits; expected 1, 3 or 4"),
    "planes of 16 bits": (
        tiff(RGB.transpose(2, 0, 1).astype(np.uint16), photometric="rgb", planarconfig="separate"),
        "3 bands of 16 bits, stored one band after the other; save it with the bands of a pixel side by side",
    ),
    "five of float": (
        tiff(FIVE.astype(np.float32), photometric="rgb"),
        "5 bands of 32-bit float; expected 1, 3 or 4 of 8 or 16 bits",
    ),
    "three of float": (tiff(RGB.astype(np.float32), photometric="rgb"), "3 bands of 32-bit float; expected 1, 3 or 4"),
    "two": (tiff(RGB[..., :2], **GREYS), "2 bands of 8 bits; expected 1, 3 or 4"),
    "two of 16 bits": (tiff(RGB[..., :2].astype(np.uint16), **GREYS), "2 bands of 16 bits; expected 1, 3 or 4"),
    "four greys": (tiff(FOUR, **GREYS), "4 bands of 8 bits of which none is said to be a colour"),
    "thirteen": (tiff(np.zeros((8, 8, 13), np.uint16), **GREYS), "13 bands of 16 bits; expected 1, 3 or 4"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_bands_that_would_be_lost_are_refused_by_number_and_kind(data: bytes, message: str) -> None:
    with pytest.raises(BadImage, match=f"^{re.escape(message)}"):
        images.check(data, MOST)


def test_lab_colours_are_refused_and_inks_are_told() -> None:
    out = io.BytesIO()
    Image.fromarray(RGB).convert("LAB").save(out, "TIFF")
    with pytest.raises(BadImage, match=r"^Lab colours; save it as RGB$"):
        images.check(out.getvalue(), MOST)

    out = io.BytesIO()
    Image.fromarray(RGB).convert("CMYK").save(out, "TIFF")
    assert images.check(out.getvalue(), MOST).remarks == (
        "CMYK inks; they were converted to RGB without a colour profile",
    )


def test_the_first_of_several_pages_is_used_and_told() -> None:
    checked = images.check(tiff(np.stack([RGB, 255 - RGB]), photometric="rgb"), MOST)
    assert checked.remarks == (PAGES,)
    np.testing.assert_array_equal(stored(checked), RGB)


def test_a_second_page_of_a_kind_that_cannot_be_read_is_a_page() -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as file:
        file.write(RGB, photometric="rgb")
        file.write(RGB.astype(np.float64), photometric="rgb")
    assert images.check(out.getvalue(), MOST).remarks == (PAGES,)


def test_smaller_copies_are_no_pages() -> None:
    below, behind = io.BytesIO(), io.BytesIO()
    with tifffile.TiffWriter(below) as file:  # a pyramid in SubIFDs
        file.write(RGB, photometric="rgb", subifds=1)
        file.write(RGB[::2, ::2], photometric="rgb", subfiletype=1)
    with tifffile.TiffWriter(behind) as file:
        file.write(RGB, photometric="rgb")
        file.write(RGB[::2, ::2], photometric="rgb", subfiletype=1)
    for data in (below.getvalue(), behind.getvalue()):
        checked = images.check(data, MOST)
        assert checked.remarks == ()
        np.testing.assert_array_equal(stored(checked), RGB)


def test_a_camera_s_raw_file_is_named() -> None:
    dng = tiff(RGB, photometric="rgb", extratags=[(50706, 1, 4, bytes([1, 4, 0, 0]), True)])
    with pytest.raises(BadImage, match=r"^a camera's raw file \(DNG\); export it as JPEG, PNG or TIFF$"):
        images.check(dng, MOST)
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as file:  # as NEF and ARW: the photo is below a small preview
        file.write(RGB[::4, ::4], photometric="rgb", subfiletype=1, subifds=1)
        file.write(RGB, photometric="rgb")
    with pytest.raises(BadImage, match=r"^a camera's raw file \(its first page is only a preview\)"):
        images.check(out.getvalue(), MOST)
