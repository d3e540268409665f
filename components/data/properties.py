"""Image properties such as brightness, measured once at ingest and stored as histograms.

The bins do not depend on the data, so that the histograms of any two data sets can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NAMES = ("width", "height", "aspect_ratio", "brightness", "contrast", "sharpness", "red", "green", "blue")
OF_ARRAYS = NAMES[:3]  # what is measured of arrays too
# For sentences: "the ... of the images".
WORDS = {
    "width": "the width",
    "height": "the height",
    "aspect_ratio": "the aspect ratio",
    "brightness": "the brightness",
    "contrast": "the contrast",
    "sharpness": "the sharpness",
    "red": "the mean red",
    "green": "the mean green",
    "blue": "the mean blue",
}
BINS = 64  # chosen by hand; not measured
# Name -> (smallest, largest value, whether bins are of equal ratio). Values beyond go to the outermost bins.
_RANGES = {
    "width": (4.0, 65536.0, True),
    "height": (4.0, 65536.0, True),
    "aspect_ratio": (1 / 16, 16.0, True),
    "brightness": (0.0, 1.0, False),
    "contrast": (0.0, 0.5, False),
    "sharpness": (1e-6, 1.0, True),
    "red": (0.0, 1.0, False),
    "green": (0.0, 1.0, False),
    "blue": (0.0, 1.0, False),
}
_LEVELS = np.arange(256) / 255
# Pixels of the shorter side, at least, at which sharpness is measured; `images` measures at the same size.
_SHARPNESS_SIDE = 80


class Measured(NamedTuple):
    """The properties of an image, and what was computed on the way.

    Attributes:
        values: [P], in the order of `NAMES`.
        histogram: [256] pixels of each level of luma, of all pixels.
        pixels: luma, uint8 [h, w], the shorter side reduced to between 80 and 159 pixels.
        laplacian: 4-neighbour Laplacian of `pixels` without the outermost ones, int16 [h - 2, w - 2].
    """

    values: tuple[float, ...]
    histogram: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    laplacian: NDArray[np.int16]


def measure(rgb: Image.Image, luma: Image.Image, width: int, height: int) -> Measured:
    """The properties of an image.

    Width and height are in pixels, the aspect ratio is width / height. Brightness is the mean of luma (ITU-R BT.601,
    as Pillow's mode L) in [0, 1], contrast its standard deviation (RMS contrast; Peli, J. Opt. Soc. Am. A, 1990),
    sharpness the variance of its Laplacian (Pech-Pacheco et al., ICPR 2000). It is measured after the shorter side is
    reduced to between 80 and 159 pixels, so that images of different sizes can be compared. Red, green and blue are
    channel means in [0, 1], rounded to 1/255.

    Args:
        rgb, luma: the image or a reduction of it, in modes RGB and L.
        width, height: pixels of the image itself.

    >>> grey = Image.new("RGB", (40, 20), (51, 51, 51))
    >>> dict(zip(NAMES, measure(grey, grey.convert("L"), 40, 20).values, strict=True))["brightness"]
    0.2
    """
    # The histogram gives exact moments, and is computed in C.
    histogram = np.array(luma.histogram())
    counts = histogram / (luma.width * luma.height)
    mean = counts @ _LEVELS
    variance = counts @ (_LEVELS - mean) ** 2
    colours = rgb.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    factor = min(luma.size) // _SHARPNESS_SIDE
    pixels = np.asarray(luma.reduce(factor) if factor > 1 else luma)
    laplacian = _laplacian(pixels)
    values = (
        float(width),
        float(height),
        width / height,
        float(mean),
        math.sqrt(variance),
        _variance(laplacian),
        *(level / 255 for level in colours),  # type: ignore[union-attr]  # three of them, in mode RGB
    )
    return Measured(values, histogram, pixels, laplacian)


def _laplacian(grey: NDArray[np.uint8]) -> NDArray[np.int16]:
    """The 4-neighbour Laplacian without the border; empty where nothing else is left."""
    if min(grey.shape) < 3:
        return np.empty((0, 0), np.int16)
    # Values are whole numbers up to 4 * 255: 16 bits hold them exactly and are fast.
    p = grey.astype(np.int16)
    laplacian = p[:-2, 1:-1] + p[2:, 1:-1]
    laplacian += p[1:-1, :-2]
    laplacian += p[1:-1, 2:]
    laplacian -= p[1:-1, 1:-1] << 2
    return laplacian


def _variance(laplacian: NDArray[np.int16]) -> float:
    """The variance of the Laplacian of luma in [0, 1]; 0 where there is none."""
    if not laplacian.size:
        return 0.0
    flat = laplacian.ravel().astype(np.float32)
    mean = float(flat.mean())
    return max(0.0, float(np.dot(flat, flat)) / flat.size - mean * mean) / 255**2


def bins(values: Sequence[float]) -> tuple[int, ...]:
    """The bin of each property.

    Args:
        values: [P], in the order of `NAMES`.

    >>> bins((512, 512, 1.0, 0.5, 0.1, 0.001, 0.0, 0.5, 1.0))
    (32, 32, 32, 32, 12, 32, 0, 32, 63)
    """
    return tuple(_bin(name, value) for name, value in zip(NAMES, values, strict=True))


def _bin(name: str, value: float) -> int:
    low, high, ratio = _RANGES[name]
    if ratio:
        position = math.log(value / low) / math.log(high / low) if value > low else 0.0
    else:
        position = (value - low) / (high - low)
    return min(BINS - 1, max(0, int(position * BINS)))


def edge(name: str, at: float) -> float:
    """The value at which bin `at` begins; fractions lie within a bin.

    >>> edge("brightness", 0), edge("brightness", 32), edge("brightness", 32.5)
    (0.0, 0.5, 0.5078125)
    """
    low, high, ratio = _RANGES[name]
    return low * (high / low) ** (at / BINS) if ratio else low + (high - low) * at / BINS


def median(name: str, histogram: Sequence[int] | NDArray[np.int64]) -> float:
    """The median of a property from its histogram, as if the values of a bin were spread over it evenly.

    Args:
        name: of the property.
        histogram: [BINS] counts, not all 0.

    >>> median("brightness", [0] * 32 + [2, 2] + [0] * 30)
    0.515625
    """
    counts = np.asarray(histogram, np.float64)
    cumulative = np.cumsum(counts)
    half = cumulative[-1] / 2
    i = int(np.searchsorted(cumulative, half))
    return edge(name, i + float(half - (cumulative[i] - counts[i])) / float(counts[i]))


def text(name: str, value: float) -> str:
    """The value of a property for people.

    >>> text("width", 640.2), text("brightness", 1 / 3)
    ('640 pixels', '0.33')
    """
    return f"{value:,.0f} pixels" if name in ("width", "height") else f"{value:.2g}"
