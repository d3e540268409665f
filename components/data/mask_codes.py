"""The ids or colours in a mask file. What would change them, such as a second page or alpha, is refused or told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from components.data.formats import netpbm, tiff
from components.data.formats.bad_image import BadImage
from components.data.mask_rules import Rule

Codes = NDArray[np.integer]

_GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
_COLOURS = ("RGB", "RGBA")
_UNUSED_ALPHA = "transparency in their masks; it is not used"


def read(image: Pillow.Image, data: bytes, rule: Rule) -> tuple[Codes, tuple[str, ...]]:
    """The ids of the pixels, or their colours as in `Rule.codes`: [height, width]; and remarks.

    - For ids, grey of 1 to 32 bits and RGB whose three values are equal give their value; palettes their index.
    - For colours, RGB and palettes give their colour; grey of up to 8 bits is a colour of three equal values.

    Alpha is not used in colour masks, which is a remark; in id masks it must be opaque.

    Raises:
        BadImage: the file holds something else, several pages, or more bits than are read.
    """
    _check_kind(image, data)
    if rule.colored:
        return _colours(image)
    if image.mode == "P":
        return np.asarray(image), ()
    if image.mode in _COLOURS:
        return _equal(image), ()
    if image.mode not in _GREY:
        raise BadImage(f"holds {_what(image)}, not ids; save it as 8-bit grey")
    if image.mode == "LA":
        _check_opaque(image)
        return np.asarray(image)[..., 0], ()
    return _grey(image, data), ()


def hint(image: Pillow.Image) -> Callable[[int], str]:
    """Completes the message on an id without a meaning: its colour in the palette."""

    def text(code: int) -> str:
        colours = image.getpalette() if image.mode == "P" else None
        if not colours or 3 * code + 3 > len(colours):
            return ""
        red, green, blue = colours[3 * code : 3 * code + 3]
        return (
            f"; the mask has a palette, whose position {code} is the colour [{red}, {green}, {blue}]: if colours are "
            f"meant, give each label its own in labels.colors, such as NAME: [{red}, {green}, {blue}]"
        )

    return text


def _check_kind(image: Pillow.Image, data: bytes) -> None:
    if image.format == "TIFF":
        if tiff.holds_pages(image):
            raise BadImage("holds several pages; expected one mask")
        if "only the first" in tiff.check_bands(image):
            raise BadImage(f"{tiff.bands_text(4, tiff.bits(image))}; expected 1 of ids, or 3 of colours")
        if tiff.is_white_zero(image, unstated=True):
            raise BadImage("is a TIFF that stores white as 0, which leaves open what its ids are; save it as PNG")
    elif image.format == "PPM":
        if image.mode == "1":
            raise BadImage("is a PBM, which stores black as 1 and so leaves open what its ids are; save it as PNG")
        if image.mode != "F" and netpbm.white(data) != (0xFFFF if image.mode == "I" else 0xFF):  # Pillow scales them
            raise BadImage(f"states {netpbm.white(data):,} as its highest value; save it as PNG, or as 255 or 65,535")
    elif (frames := getattr(image, "n_frames", 1)) > 1:
        raise BadImage(f"holds {frames} images; expected one mask")
    if image.mode in (*_COLOURS, "LA") and _bits(image, data) > 8:
        raise BadImage(f"holds {_bits(image, data)} bits per value, of which only 8 could be read; save it as 8 bits")
    if image.mode == "F":
        raise BadImage("holds float values, not ids; save it as 8-bit or 16-bit grey")


def _bits(image: Pillow.Image, data: bytes) -> int:
    if image.format == "PNG":
        return data[24]  # bit depth in the header chunk
    return tiff.bits(image) if image.format == "TIFF" else 8


def _grey(image: Pillow.Image, data: bytes) -> Codes:
    ids, bits = np.asarray(image), _bits(image, data)
    # Pillow scales 2 and 4 bit to levels from 0 to 255; this undoes it.
    return ids // (255 // (2**bits - 1)) if bits in (2, 4) else ids


def _equal(image: Pillow.Image) -> Codes:
    """The ids of a mask that was saved in colours of three equal values."""
    pixels = np.asarray(image)
    differ = (pixels[..., 0] != pixels[..., 1]) | (pixels[..., 0] != pixels[..., 2])
    if differ.any():
        y, x = np.unravel_index(int(differ.argmax()), differ.shape)
        red, green, blue = map(int, pixels[y, x, :3])
        raise BadImage(
            f"holds colours, such as ({red}, {green}, {blue}) at x={x}, y={y}, not ids; give each label its colour in "
            f"labels.colors, such as NAME: [{red}, {green}, {blue}], or save it as ids"
        )
    if image.mode == "RGBA":
        _check_opaque(image)
    return pixels[..., 0]


def _colours(image: Pillow.Image) -> tuple[Codes, tuple[str, ...]]:
    if image.mode not in ("RGB", "RGBA", "P", "1", "L", "LA"):
        raise BadImage(
            f"holds {_what(image)}, but labels.colors gives each label a colour; give each its id (NAME: 1), or save "
            "the mask as RGB"
        )
    pixels = np.asarray(image.convert("RGBA"))
    opaque = bool((pixels[..., 3] == 255).all())
    return pixels.view("<u4")[..., 0] & 0xFFFFFF, () if opaque else (_UNUSED_ALPHA,)


def _check_opaque(image: Pillow.Image) -> None:
    if np.asarray(image)[..., -1].min() < 255:
        raise BadImage("holds transparent pixels, which leaves open what they mean; save it as grey without alpha")


def _what(image: Pillow.Image) -> str:
    if image.mode.startswith("I"):
        return "grey values of more than 8 bits"
    return {"CMYK": "CMYK inks", "PA": "a palette with transparency"}.get(image.mode, f"pixels of mode {image.mode}")
