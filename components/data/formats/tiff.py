"""Bands and pages of TIFF files, from their tags (TIFF 6.0; the numbers below are its tags)."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Sequence

from PIL import Image as Pillow

from components.data.formats.bad_image import BadImage

EXPECTED = "expected 1, 3 or 4 of 8 or 16 bits"
BITS, PHOTOMETRIC = 258, 262
_SUBFILE, _OLD_SUBFILE, _DESCRIPTION, _SAMPLES = 254, 255, 270, 277
_PLANES, _SUB_IFDS, _EXTRA, _FORMAT, _DNG = 284, 330, 338, 339, 50706
_REDUCED, _MASK = 1, 4  # bits of `_SUBFILE`: a smaller copy of another page, a transparency mask of it
_MINISWHITE, _RGB, _CMYK, _YCBCR, _LAB, _FILTERS = 0, 2, 5, 6, 8, 32803
_ALPHA = (1, 2)  # extra samples: premultiplied and other transparency; 0 is unspecified
_PAGES = 64  # pages looked at; a file with more smaller copies than that is no photo
_RAW = "a camera's raw file ({}); export it as JPEG, PNG or TIFF"
_KINDS = {1: "{} bits", 2: "{}-bit signed numbers", 3: "{}-bit float", 5: "{}-bit complex", 6: "{}-bit complex"}
_STACK = re.compile(r"^images=(\d+)", re.MULTILINE)


def check_bands(image: Pillow.Image) -> str:
    """Returns a remark on a band that is not a colour, or "".

    Raises:
        BadImage: a band would be dropped, or be mistaken.
    """
    tags = image.tag_v2  # type: ignore[attr-defined]
    _refuse_raw(image)
    sizes, extra = _tuple(tags.get(BITS, 1)), _tuple(tags.get(_EXTRA, ()))
    kind, photometric = _tuple(tags.get(_FORMAT, 1))[0], tags.get(PHOTOMETRIC, 0)
    if photometric == _LAB:
        raise BadImage("Lab colours; save it as RGB")
    colours = {_RGB: 3, _YCBCR: 3, _CMYK: 4}.get(photometric, 1)
    bands = tags.get(_SAMPLES, max(colours if photometric == _YCBCR else 1, len(sizes)))
    text = bands_text(bands, sizes[0], kind)
    if kind == 2 and sizes[0] == 8:
        raise BadImage(f"{text}; {EXPECTED}")
    if tags.get(_PLANES) == 2 and bands > 1 and sizes[0] != 8:  # Pillow takes their bytes for values
        raise BadImage(f"{text}, stored one band after the other; save it with the bands of a pixel side by side")
    if bands <= colours:
        return ""
    is_alpha = bool(extra) and extra[-1] in _ALPHA
    if bands > colours + 1 or photometric == _CMYK or (colours == 1 and not is_alpha):
        raise BadImage(f"{text}; {EXPECTED}")
    last = "second" if bands == 2 else "fourth"
    if is_alpha:
        return f"{bands} bands in a TIFF, the {last} marked as transparency; it was blended over white"
    return f"{bands} bands in a TIFF, the {last} of no stated meaning; only the first three are used"


def bits(image: Pillow.Image) -> int:
    """Bits of each value."""
    return min(_tuple(image.tag_v2.get(BITS, 1)))  # type: ignore[attr-defined]


def is_white_zero(image: Pillow.Image, unstated: bool = False) -> bool:
    """Whether the value 0 of a grey image is white; `unstated` where the file does not say it."""
    return bool(image.tag_v2.get(PHOTOMETRIC, _MINISWHITE if unstated else None) == _MINISWHITE)  # type: ignore[attr-defined]


def _refuse_raw(image: Pillow.Image) -> None:
    tags = image.tag_v2  # type: ignore[attr-defined]
    if _DNG in tags:
        raise BadImage(_RAW.format("DNG"))
    if tags.get(_SUBFILE, 0) & _REDUCED and _SUB_IFDS in tags:
        raise BadImage(_RAW.format("its first page is only a preview"))


def holds_pages(image: Pillow.Image) -> bool:
    """Whether there is another page than the first, apart from smaller copies and masks of it."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    stack = str(tags.get(_DESCRIPTION, ""))
    if stack.startswith("ImageJ=") and (count := _STACK.search(stack)) and int(count[1][:9]) > 1:
        return True
    try:
        for number in range(1, _PAGES):
            try:
                image.seek(number)
            except EOFError:
                return False
            except Exception:  # noqa: BLE001, S110  a page of a kind that cannot be read is a page
                pass
            if not (tags.get(_SUBFILE, 0) & (_REDUCED | _MASK) or tags.get(_OLD_SUBFILE) == 2):
                return True
        return True
    finally:
        image.seek(0)


def describe(data: bytes) -> str:
    """Says why a sound TIFF file cannot be read, or returns "" for any other file."""
    if not data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return ""
    if data[8:10] == b"CR":
        return _RAW.format("CR2")
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it would print what it finds odd
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            bands, kind = int(page.samplesperpixel), int(page.sampleformat or 1)
            size = _tuple(page.bitspersample)[0]
            photometric, compression = int(page.photometric), page.compression
            if not page.imagewidth or not page.imagelength or not page.dataoffsets:
                return ""
            raw = _DNG in page.tags
    except Exception:  # noqa: BLE001  then it is not sound
        return ""
    if raw or photometric == _FILTERS:
        return _RAW.format("DNG" if raw else "unprocessed colours")
    text = bands_text(bands, size, kind)
    if bands not in (1, 3, 4) or size not in (8, 16) or kind != 1:
        return f"{text}; {EXPECTED}"
    if photometric not in (_RGB, _CMYK, _YCBCR, _LAB) and bands > 1:
        return f"{text} of which none is said to be a colour; expected 1, or 3 or 4 that are marked as RGB"
    name = getattr(compression, "name", compression)
    return f"{text}, stored in a way that cannot be read (compression {name}); save it without compression"


def bands_text(bands: int, bits: int, kind: int = 1) -> str:
    """Describes bands in words.

    >>> bands_text(5, 32, 3), bands_text(1, 12)
    ('5 bands of 32-bit float', '1 band of 12 bits')
    """
    return f"{bands} band{'' if bands == 1 else 's'} of {_KINDS.get(kind, '{} bits').format(bits)}"


def _tuple(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)
