"""Masks, which give each pixel of an image a label. `check` reads a mask file, `draw` makes a mask from regions.

Both return an 8-bit grey PNG in which a pixel's value is the index of its label, or `features.IGNORED_ID`.

A mask belongs to the upright image. If a camera stored a photo on its side (EXIF orientation) and the mask was drawn
without turning it, their sizes differ and the image is refused. A photo that is stored upside down or mirrored has the
same size either way; its mask is assumed to be upright.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from components.data import features, images, mask_codes, regions
from components.data.arrays import tiles
from components.data.formats import foreign, tiff
from components.data.formats.bad_image import BadImage
from components.data.mask_rules import Rule

Ids = NDArray[np.uint8]

_FORMATS = ("PNG", "TIFF", "GIF", "BMP", "PPM")
_LOSSY = (b"\xff\xd8\xff", b"RIFF")  # JPEG, WebP
_MEANINGLESS = 254  # stands for every id and colour that the rule does not define


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask to store.

    Attributes:
        encoded: PNG, 8-bit grey.
        pixels: number of pixels of each label, in the order of `Rule.labels`.
        ignored: number of ignored pixels; the sum with `pixels` is width * height.
        remarks: what of the file is not used; see `images.Checked.remarks`.
    """

    encoded: bytes
    pixels: tuple[int, ...]
    ignored: int
    remarks: tuple[str, ...] = ()


def check(data: bytes, width: int, height: int, rule: Rule, max_pixels: int, sideways: bool = False) -> Mask:
    """Reads a mask file: PNG, TIFF, GIF, BMP, PGM or PPM; see `mask_codes.read`.

    Args:
        data: the file's content; untrusted.
        width, height: of the image, upright.
        rule: the meaning of its values.
        max_pixels: larger files are refused before they are decoded.
        sideways: see `images.Checked`.

    Raises:
        BadImage: it is not such a file, has another size than the image, or has a pixel without a meaning.
    """
    if len(data) > images.max_file_bytes(max_pixels):
        raise BadImage(f"{len(data):,} bytes are more than a mask of {max_pixels:,} pixels needs")
    if data.startswith(_LOSSY):
        raise BadImage("JPEG and WebP change pixels, and so labels; save the mask as PNG")
    try:
        with Pillow.open(io.BytesIO(data), formats=_FORMATS) as image:
            _same_size("the mask has", image.size, (width, height), sideways)
            if max(image.size) > images.LONGEST_SIDE:
                raise BadImage(f"a side of more than {images.LONGEST_SIDE:,} pixels, which the stored mask cannot have")
            codes, remarks = mask_codes.read(image, data, rule)
            return _mask(_indices(codes, rule, mask_codes.hint(image)), rule, remarks)
    except BadImage:
        raise
    except UnidentifiedImageError:
        raise BadImage(_unreadable(data)) from None
    except Exception as error:
        raise BadImage(f"cannot be decoded: {error or type(error).__name__}") from error


def without(mask: Mask, unseen: NDArray[np.bool_], rule: Rule) -> Mask:
    """The mask with pixels ignored of which the image shows nothing, and so no label can be learnt or judged.

    Args:
        mask: the mask.
        unseen: bool [H, W], these pixels.
        rule: the labels.
    """
    ids = ids_of(mask)
    if not ((ids != features.IGNORED_ID) & unseen).any():
        return mask
    ids[unseen] = features.IGNORED_ID
    return _mask(ids, rule, (*mask.remarks, "labels of pixels that are never valid; these pixels are ignored"))


def tile(ids: Ids, place: tiles.Size, size: tiles.Size, rule: Rule, remarks: tuple[str, ...] = ()) -> Mask:
    """A tile of a mask; what is beyond the mask is ignored.

    Args:
        ids: of a whole scene, see `ids_of`.
        place: top and left of the tile.
        size: its height and width.
        rule: the labels.
        remarks: on the mask.
    """
    return _mask(tiles.cut_mask(ids, place, size, features.IGNORED_ID), rule, remarks)


def ids_of(mask: Mask) -> Ids:
    """The indices of the labels, uint8 [H, W]."""
    with Pillow.open(io.BytesIO(mask.encoded)) as image:
        return np.array(image)


def _unreadable(data: bytes) -> str:
    if not data:
        return "empty file"
    known = f"no mask of a known format ({', '.join(_FORMATS)}), or its header is broken"
    return tiff.describe(data) or f"{known}: {foreign.reason(data)}"


def draw(text: str, width: int, height: int, rule: Rule, sideways: bool = False) -> Mask:
    """Draws regions in order, so that later ones are on top.

    A pixel outside all regions is `rule.background` where there is one, else ignored.

    Args:
        text: `Record.regions`; see `regions.dump`.
        width, height: of the image, upright.
        rule: the labels.
        sideways: see `images.Checked`.

    Raises:
        BadImage: the regions were drawn on an image of another size, or one of them is malformed.
    """
    size, drawn = regions.load(text)
    if size is not None:
        _same_size("the regions are for", size, (width, height), sideways)
    empty = rule.index(rule.background) if rule.background else features.IGNORED_ID
    canvas = np.full((height, width), empty, np.uint8)
    for label, segmentation in drawn:
        index = rule.index(label)
        if index is None:
            raise BadImage(f"a region is of {label!r}, which is not among labels.names")
        regions.paint(canvas, segmentation, index)
    return _mask(canvas, rule)


def _same_size(what: str, size: tuple[int, int], image: tuple[int, int], sideways: bool) -> None:
    if size == image:
        return
    which = "upright image" if sideways else "image"
    text = f"{what} {size[0]} x {size[1]} pixels, but the {which} has {image[0]} x {image[1]}"
    if size == image[::-1]:
        text += (
            f"; its file stores it as {size[0]} x {size[1]} and its EXIF orientation turns it, so turn the mask or the "
            "regions, too"
            if sideways
            else "; width and height seem to be swapped"
        )
    raise BadImage(text)


def _indices(codes: NDArray[np.integer], rule: Rule, hint: Callable[[int], str]) -> Ids:
    """The indices of the codes' labels, or IGNORED_ID: uint8 [height, width]."""
    table = _table(rule.codes, 1 << 24 if rule.colored else (1 << 16) + 1)
    # A 32-bit id may have any value; those too large or negative are looked up at the end, which has no meaning.
    wide = codes.dtype.itemsize > 2 and not rule.colored
    indices = np.take(table, np.minimum(codes.view(np.uint32), table.size - 1) if wide else codes)
    meaningless = indices == _MEANINGLESS
    if meaningless.any():
        raise BadImage(_describe_first(codes, meaningless, rule, hint))
    return indices


def _describe_first(
    codes: NDArray[np.integer], meaningless: NDArray[np.bool_], rule: Rule, hint: Callable[[int], str]
) -> str:
    y, x = np.unravel_index(int(meaningless.argmax()), meaningless.shape)
    code = int(codes[y, x])
    more = f" (and {rest:,} more pixels)" if (rest := int(meaningless.sum()) - 1) else ""
    if rule.colored:
        return f"the colour {code & 255, code >> 8 & 255, code >> 16} at x={x}, y={y}{more} is not in labels.colors"
    known = [code for code, _ in rule.codes]
    run = sum(code == i for i, code in enumerate(known))  # ids from 0 on
    ids = [*([f"0 to {run - 1}"] if run else []), *map(str, known[run:])]
    return (
        f"the id {code} at x={x}, y={y}{more} means nothing; expected {', '.join(ids)}, from labels.names{hint(code)}"
    )


@functools.lru_cache(maxsize=4)
def _table(codes: tuple[tuple[int, int], ...], size: int) -> Ids:
    """The table from every possible code to its index. For colours it has 16 MiB, of which only a few are read."""
    table = np.full(size, _MEANINGLESS, np.uint8)
    for code, index in codes:
        table[code] = index
    return table


def _mask(indices: Ids, rule: Rule, remarks: tuple[str, ...] = ()) -> Mask:
    counts = Pillow.fromarray(indices).histogram()  # twice as fast as np.bincount, which widens to 64 bit first
    return Mask(_png(indices), tuple(counts[: len(rule.labels)]), counts[features.IGNORED_ID], remarks)


def _png(indices: Ids) -> bytes:
    """Encodes an 8-bit grey PNG.

    Rows are stored as differences from the row above, which are nearly all zero in a mask. Choosing that filter, rather
    than letting Pillow try all of them, is four times as fast and gives the smallest files; and the bytes do not depend
    on the defaults of a library.
    """
    height, width = indices.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = 2  # the filter "up"
    rows[0, 1:] = indices[0]
    np.subtract(indices[1:], indices[:-1], out=rows[1:, 1:])
    deflate = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = deflate.compress(rows.tobytes()) + deflate.flush()
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
