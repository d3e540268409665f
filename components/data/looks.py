"""What a single image looks like, in a few bytes: faults that show in its pixels, and how its file was made.

Measured at ingest, on the pixels that `properties` measures. `LOOK` is what the census keeps of each image.
"""

from __future__ import annotations

import datetime
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.data.properties import Measured

# faults: bit i is set for FAULTS[i]. brightness: mean luma. border: share of the area that is border, in 1/255.
# encoding: see `encoding`. camera: see `taken`; 0: unknown. day: days since 1970; 0: unknown.
LOOK = np.dtype(
    [
        ("faults", "u1"),
        ("brightness", "u1"),
        ("border", "u1"),
        ("width", "<u2"),
        ("height", "<u2"),
        ("encoding", "u1"),
        ("camera", "u1"),
        ("day", "<u2"),
    ]
)
UNKNOWN = bytes(LOOK.itemsize)
_PACK = struct.Struct("<BBBHHBBH")
FAULTS = ("dark", "bright", "blurred", "uninformative", "grey", "border")
_BITS = tuple(1 << i for i in range(len(FAULTS)))

# Luma and differences of channels in [0, 255]. Each was chosen so that it is rare among 12,023 clean photos (clothes,
# scenes, streets, CIFAR-10); docs/data-gate.md has the rates. In brackets: the most extreme of 4,990 of them.
_DARK = 51  # the brightest percent of the pixels is below [62]
_BRIGHT = 191  # the darkest percent is above [139]
_BLURRED = 0.25  # the sharpest edges are weaker than this share of the range of luma [0.12, the next 0.29]
_UNINFORMATIVE = 10  # the range of luma is smaller [42], without the brightest and the darkest percent,
_SPOTS = 64  # and with them smaller than this; chosen by hand; not measured
_GREY = 4  # channels differ by no more, in all pixels but a percent; JPEG makes differences of 2 [1.2 % of CIFAR-10]
_BORDER = 0.3  # share of the area [0.33]
# Of a row of a border, this share has its level, give or take `_LEVEL`; of the row behind it, after at most a part of
# `_MIXED` of all rows in between, less than half.
_UNIFORM, _BEHIND, _LEVEL, _MIXED = 0.98, 0.5, 6, 25
_LOOKED_AT = (1, 4, 11, 14)  # sixteenths of a row, of which one may differ from the middle in a border
_SMALLEST = (
    32  # pixels of the shorter side, below which few rows around a subject look like a border, and edges blurred
)
_STEP = 3  # every third pixel of every third row is looked at for its colour
_EDGES = 20  # the sharpest edge of a row is taken from the sharpest twentieth of the rows, so that a spot is no edge

_JPEG = 239  # the coarsest quantisation that is told apart
_FORMATS = ("PNG", "BMP", "WEBP", "GIF", "TIFF", "HEIF", "AVIF", "JPEG2000", "PPM")
TAGS = _MAKE, _MODEL, _TIME = 0x010F, 0x0110, 0x0132  # of EXIF
_MOST = 0xFFFF


def look(rgb: Image.Image, measured: Measured, made: tuple[int, int, int]) -> bytes:
    """Describes an image, as the bytes of a `LOOK`.

    Args:
        rgb: the image or a reduction of it.
        measured: of the same pixels.
        made: encoding, camera and day.

    >>> from components.data import properties
    >>> black = Image.new("RGB", (40, 20))
    >>> measured = properties.measure(black, black.convert("L"), 40, 20)
    >>> named(np.frombuffer(look(black, measured, (0, 0, 0)), LOOK)["faults"][0])
    ['dark', 'uninformative']
    """
    width, height, _, brightness, *_ = measured.values
    pixels = rgb.width * rgb.height
    low, high = measured.histogram.cumsum().searchsorted((0.01 * pixels, 0.99 * pixels)).tolist()
    large = min(width, height) >= _SMALLEST
    border = border_share(measured.pixels) if large else 0.0
    levels = np.flatnonzero(measured.histogram)
    # Stars and a few words are little of the area, but not nothing.
    flat = high - low < _UNINFORMATIVE and levels[-1] - levels[0] < _SPOTS
    dark, bright = high < _DARK, low > _BRIGHT
    visible = not (dark or bright or flat)  # or else neither colours nor borders can be told
    found = (
        dark,
        bright,
        large and not flat and sharpest_edge(measured.laplacian) < _BLURRED * (high - low),
        flat,
        visible and _is_grey(rgb, measured.values[-3:]),
        visible and border > _BORDER,
    )
    faults = sum(bit for bit, one in zip(_BITS, found, strict=True) if one)
    sides = min(int(width), _MOST), min(int(height), _MOST)
    return _PACK.pack(faults, round(255 * brightness), round(255 * border), *sides, *made)


def named(faults: int) -> list[str]:
    """The names of the faults whose bits are set."""
    return [name for i, name in enumerate(FAULTS) if int(faults) >> i & 1]


def sharpest_edge(laplacian: NDArray[np.int16]) -> float:
    """The largest absolute Laplacian: of every second row, and of these that of the last of the sharpest twentieth.

    A step from a to b in adjacent pixels gives |b - a|, a Gaussian blur of sigma pixels 0.24 |b - a| / sigma^2. Unlike
    the variance of the Laplacian, it does not depend on how many edges there are: plain subjects are not blurred.

    Args:
        laplacian: of luma [h, w].

    >>> sharpest_edge(np.repeat([[0, 200, -200, 0]], 40, axis=0).astype(np.int16))
    200.0
    """
    if not laplacian.size:
        return 255.0
    some = laplacian[::2]  # which takes half the time
    rows = np.maximum(some.max(axis=1), -some.min(axis=1))
    rows.sort()
    return float(rows[-1 - len(rows) // _EDGES])


def border_share(pixels: NDArray[np.uint8]) -> float:
    """The share of the area that is a border of one level, such as letterbox bars or a frame.

    A border ends in a straight edge: in the row behind it, less than half of the pixels have its level. So a plain
    background around a subject is none, and an image of one level has none either. But a rectangular subject before a
    plain background cannot be told from a framed picture.

    Args:
        pixels: luma [h, w].

    >>> picture = np.random.default_rng(0).integers(100, 200, (40, 40), np.uint8)
    >>> picture[:10] = 0  # a bar above: 10 of 40 rows
    >>> border_share(picture)
    0.25
    """
    height, width = pixels.shape
    top, bottom = _bar(pixels), _bar(pixels[::-1])
    inner = pixels[top : height - bottom]
    if not len(inner):
        return 0.0
    left, right = _bar(inner.T), _bar(inner.T[::-1])
    return 1 - (height - top - bottom) * (width - left - right) / (height * width)


def _bar(rows: NDArray[np.uint8]) -> int:
    """How many rows from the first on are border."""
    first = rows[0]
    points = first.tobytes()
    level, size = points[len(points) // 2], len(points)
    # Most photos are done here, before anything is computed.
    if sum(abs(points[at * size // 16] - level) > _LEVEL for at in _LOOKED_AT) > 1:
        return 0
    if np.count_nonzero(_near(first, level)) < _UNIFORM * first.size:
        return 0
    share = _near(rows, level).mean(axis=1)
    inside, behind = np.flatnonzero(share < _UNIFORM), np.flatnonzero(share < _BEHIND)
    # Reduction and compression mix the last rows of the border with what is behind.
    return int(behind[0]) if len(behind) and behind[0] - inside[0] <= len(share) // _MIXED else 0


def _near(pixels: NDArray[np.uint8], level: int) -> NDArray[np.bool_]:
    return (pixels >= max(0, level - _LEVEL)) & (pixels <= min(255, level + _LEVEL))


def _is_grey(rgb: Image.Image, mean: Sequence[float]) -> bool:
    if 255 * (max(mean) - min(mean)) > _GREY + 1:  # the means are rounded
        return False
    some = np.asarray(rgb)[::_STEP, ::_STEP].astype(np.int16)
    red, green, blue = some[..., 0], some[..., 1], some[..., 2]
    coloured = (np.abs(red - green) > _GREY) | (np.abs(green - blue) > _GREY)
    return int(np.count_nonzero(coloured)) <= 0.01 * coloured.size


def encoding(image: Image.Image) -> int:
    """How the file is compressed: for JPEG, the mean of the luma quantisation table from 1 to 239; else the format.

    A finer table means a higher quality. 0: unknown.
    """
    tables = getattr(image, "quantization", None)
    if tables and 0 in tables:
        return min(_JPEG, max(1, round(sum(tables[0]) / len(tables[0]))))
    return _JPEG + 1 + _FORMATS.index(image.format) if image.format in _FORMATS else 0


def taken(exif: Mapping[int, Any]) -> tuple[int, int]:
    """Camera and day of a photo from its EXIF; each 0 if unknown.

    The camera is a number from 1 to 255 that make and model are hashed to.

    >>> taken({0x010F: "Canon", 0x0110: "EOS R", 0x0132: "1970:01:11 10:00:00"})[1]
    10
    """
    names = [str(exif.get(tag, "")).strip("\0 ") for tag in (_MAKE, _MODEL)] if exif else []
    camera = 1 + zlib.crc32(" ".join(names).encode("utf-8", "surrogateescape")) % 255 if any(names) else 0
    if not exif.get(_TIME):
        return camera, 0
    try:
        time = datetime.datetime.strptime(str(exif.get(_TIME, ""))[:10], "%Y:%m:%d")
    except ValueError:
        return camera, 0
    return camera, min(_MOST, max(0, (time.date() - datetime.date(1970, 1, 1)).days))
