"""Images of more than 8 bits per value, and how they become images of 8 bits."""

from __future__ import annotations

import io
import sys

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from components.data.formats import netpbm, tiff
from components.data.formats.bad_image import BadImage

Levels = NDArray[np.uint16]
Converted = tuple[Pillow.Image, int, str]
_FULL = 16
UPPER = "more than 8 bits per value; the upper 8 are used"
_LOW = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}  # order of bytes -> the other order
_PRECISION = 40  # of a JPEG 2000, in bytes behind the start of its marker SIZ


def convert(image: Pillow.Image, data: bytes, bits: int | None) -> Converted | None:
    """Reduces an image of more than 8 bits to 8: values v become v >> (bits - 8).

    Args:
        image: loaded.
        data: the file's content.
        bits: of the values, where they are known to use only the lower bits of 16; None: the range of the file's type.

    Returns:
        The image as L, RGB or RGBA, not turned unless `image` is; its highest value if it is not known how many bits it
        uses, else 0; and a remark. None for an image of 8 bits.

    Raises:
        BadImage: its values have no known range, or exceed that of `bits`.
    """
    if image.format == "PNG":
        if data[24] != _FULL:  # bit depth in the header chunk
            return None
        levels = _png(data)
        return _narrow(levels[..., 0], levels, bits) if image.mode == "I;16" else _narrow(levels[..., :3], levels, bits)
    if image.format == "PPM" and netpbm.white(data) > 0xFF:
        return _netpbm(data, bits)
    if image.mode == "F":
        raise BadImage(f"32-bit float values{_range(image)}, whose range is not stated; save it as 8 or 16 bits")
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint16)
        if image.format != "TIFF":
            return Pillow.fromarray((grey >> 8).astype(np.uint8)), 0, UPPER  # the decoder scales to all 16 bits
        stated = min(tiff.bits(image), _FULL)
        if tiff.is_white_zero(image):
            grey = np.uint16(2**stated - 1) - grey
        if stated < _FULL:
            return Pillow.fromarray((grey >> (stated - 8)).astype(np.uint8)), 0, UPPER
        return _narrow(grey, grey, bits)
    if image.mode == "I":
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 0xFFFF:
            raise BadImage(f"32-bit values{_range(image)}; expected values from 0 to 65,535, or 8 or 16 bits")
        grey = wide.astype(np.uint16)
        return _narrow(grey, grey, bits)
    if image.format == "TIFF" and image.mode in ("RGB", "RGBA") and tiff.bits(image) == _FULL:
        high = np.asarray(image)
        low = _low_bytes(data, high.shape)
        if low is None and bits not in (None, _FULL):
            raise BadImage(f"16-bit colours that cannot be read as {bits} bits; save it without alpha or compression")
        levels = np.left_shift(high, 8, dtype=np.uint16)
        levels |= np.uint16(0xFF) if low is None else low
        return _narrow(levels[..., :3], levels, bits)
    return None


def has_more_than_8(image: Pillow.Image, data: bytes) -> bool:
    """Whether a HEIC, AVIF or JPEG 2000 file holds more than 8 bits per value, by its header."""
    if image.format == "HEIF":
        return int(image.info.get("bit_depth", 8)) > 8
    if image.format == "AVIF":
        at = data.find(b"av1C")
        return at > 0 and at + 6 < len(data) and bool(data[at + 6] & 0x40)  # high_bitdepth
    if image.format == "JPEG2000":
        at = data.find(b"\xff\x51")
        return at >= 0 and at + _PRECISION < len(data) and (data[at + _PRECISION] & 0x7F) + 1 > 8
    return False


def _png(data: bytes) -> Levels:
    """Decodes a PNG of 16 bits to [h, w, 4]; its transparent colour becomes alpha 0."""
    import tensorflow as tf

    levels: Levels = tf.io.decode_png(data, channels=4, dtype=tf.uint16).numpy()
    return levels


def _netpbm(data: bytes, bits: int | None) -> Converted:
    levels = netpbm.levels(data)
    if netpbm.white(data) < 0xFFFF:  # it states its range, unlike one that only names that of its type
        return Pillow.fromarray((levels >> 8).astype(np.uint8)), 0, UPPER
    return _narrow(levels, levels, bits)


def _narrow(colours: Levels, all_bands: Levels, bits: int | None) -> Converted:
    highest, shift = int(colours.max()), (bits or _FULL) - 8
    if bits and highest >> bits:
        raise BadImage(f"holds the value {highest:,}, but data.bits: {bits} means values from 0 to {2**bits - 1:,}")
    narrow = (colours >> shift).astype(np.uint8)
    if all_bands.ndim == 3 and all_bands.shape[2] == 4 and (all_bands[..., 3] >> 8).min() < 0xFF:
        rgb = narrow if narrow.ndim == 3 else np.stack([narrow] * 3, axis=-1)
        narrow = np.dstack([rgb, (all_bands[..., 3] >> 8).astype(np.uint8)])
    remark = f"16 bits per value; they were read as values of {bits} bits (data.bits)" if bits else UPPER
    return Pillow.fromarray(narrow), 0 if bits else highest, remark


def _low_bytes(data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """The lower bytes of 16-bit colours, of which Pillow keeps only the upper ones.

    Pillow takes the upper byte by the order of bytes that the file has, so under the other order it takes the lower.
    """
    with Pillow.open(io.BytesIO(data), formats=("TIFF",)) as image:
        tiles = []
        for tile in image.tile:
            raw = tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0]
            if raw[:-1] not in ("RGB;16", "RGBX;16", "RGBA;16"):
                return None
            other = raw[:-1] + _LOW[raw[-1]]
            args = other if isinstance(tile.args, str) else (other, *(tile.args or ())[1:])
            tiles.append(tile._replace(args=args))
        image.tile = tiles
        low: NDArray[np.uint8] = np.asarray(image)
    return low if low.shape == shape else None


def _range(image: Pillow.Image) -> str:
    levels = np.asarray(image)
    return f" from {levels.min():,.6g} to {levels.max():,.6g}"
