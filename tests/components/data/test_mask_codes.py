"""Masks in every spelling of ids and colours: taken where their meaning is plain, refused with what to write if not."""

import io
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from numpy.typing import NDArray
from PIL import Image

from components.data import masks
from components.data.images import BadImage
from components.data.mask_rules import Rule, rule

TWO = ("background", "lesion")
IDS = rule(TWO, colors={"background": 0, "lesion": 255})
BLACK_AND_WHITE = rule(TWO, colors={"background": (0, 0, 0), "lesion": (255, 255, 255)})
PIXELS = np.uint8([[0, 255], [255, 0]])
TRUTH = [[0, 1], [1, 0]]


def check(data: bytes, meaning: Rule) -> masks.Mask:
    return masks.check(data, 2, 2, meaning, 100)


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **options)
    return out.getvalue()


def ids(mask: masks.Mask) -> list[list[int]]:
    pixels: list[list[int]] = np.asarray(Image.open(io.BytesIO(mask.encoded))).tolist()
    return pixels


GREY = Image.fromarray(PIXELS)
SAME = {
    "grey": GREY,
    "1 bit": GREY.convert("1"),
    "RGB": GREY.convert("RGB"),
    "opaque RGBA": GREY.convert("RGBA"),
    "opaque LA": GREY.convert("LA"),
}


@pytest.mark.parametrize("meaning", [IDS, BLACK_AND_WHITE], ids=["ids", "colours"])
@pytest.mark.parametrize("name", SAME)
def test_black_and_white_mean_the_same_as_ids_and_as_colours(name: str, meaning: Rule) -> None:
    if name == "1 bit" and meaning is IDS:
        meaning = rule(TWO)  # of one bit, the ids are 0 and 1
    mask = check(encode(SAME[name]), meaning)
    assert (ids(mask), mask.remarks) == (TRUTH, ())


def test_ids_in_the_order_of_names_may_be_saved_as_rgb() -> None:
    assert ids(check(encode(Image.fromarray(PIXELS // 255).convert("RGB")), rule(TWO))) == TRUTH


def test_a_palette_of_colours_is_read_by_colour_and_the_message_on_ids_names_it() -> None:
    image = Image.fromarray(PIXELS // 255).convert("P")
    image.putpalette([0, 0, 0, 255, 255, 255])
    assert ids(check(encode(image), BLACK_AND_WHITE)) == TRUTH
    assert ids(check(encode(image), rule(TWO))) == TRUTH
    with pytest.raises(BadImage, match=r"the id 1 at x=1, y=0 .* position 1 is the colour \[255, 255, 255\]: if"):
        check(encode(image), IDS)


def test_transparency_of_a_mask_of_colours_is_told_and_of_ids_refused() -> None:
    image = GREY.convert("RGBA")
    image.putalpha(Image.fromarray(255 - PIXELS))
    mask = check(encode(image), BLACK_AND_WHITE)
    assert (ids(mask), mask.remarks) == (TRUTH, ("transparency in their masks; it is not used",))
    with pytest.raises(BadImage, match=r"^holds transparent pixels, which leaves open what they mean"):
        check(encode(image), IDS)


FLAT = {"photometric": "rgb", "planarconfig": "contig"}
REFUSED = {
    "colours of 16 bits": (
        tf.io.encode_png(np.zeros((2, 2, 3), np.uint16)).numpy(),
        "holds 16 bits per value, of which only 8 could be read; save it as 8 bits",
    ),
    "TIFF of 16 bits": (tiff(np.zeros((2, 2, 3), np.uint16), **FLAT), "holds 16 bits per value"),
    "float": (tiff(np.zeros((2, 2), np.float32)), "holds float values, not ids; save it as 8-bit or 16-bit grey"),
    "two bands": (
        tiff(np.zeros((2, 2, 2), np.uint8), photometric="minisblack", planarconfig="contig"),
        "2 bands of 8 bits; expected 1, 3 or 4",
    ),
    "four bands": (
        tiff(np.zeros((2, 2, 4), np.uint8), **FLAT, extrasamples=["unspecified"]),
        "4 bands of 8 bits; expected 1 of ids, or 3 of colours",
    ),
    "five of float": (tiff(np.zeros((2, 2, 5), np.float32), **FLAT), "5 bands of 32-bit float; expected"),
    "inks": (encode(GREY.convert("CMYK"), "TIFF"), "holds CMYK inks, not ids; save it as 8-bit grey"),
    "JPEG": (encode(GREY, "JPEG"), "JPEG and WebP change pixels, and so labels"),
    "PDF": (b"%PDF-1.7", "no mask of a known format"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_masks_that_would_be_cut_or_guessed_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(BadImage) as refused:
        check(data, IDS)
    assert message in str(refused.value)


def test_smaller_copies_in_a_tiff_are_no_masks() -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as file:
        file.write(PIXELS, photometric="minisblack")
        file.write(PIXELS[:1, :1], photometric="minisblack", subfiletype=1)
    assert ids(check(out.getvalue(), IDS)) == TRUTH
