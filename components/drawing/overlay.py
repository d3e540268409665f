"""Masks drawn over their images, each label in its own colour."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.data import features

if TYPE_CHECKING:
    from PIL import Image

_GOLDEN = 0.618033988749895  # golden ratio: with this step, any number of hues stays well apart


def palette(classes: int) -> NDArray[np.uint8]:
    """RGB colours of the labels, uint8 [K, 3]. A label keeps its colour when further labels are appended.

    >>> palette(2).tolist()
    [[36, 119, 242], [201, 242, 109]]
    """
    colours = []
    for i in range(classes):
        saturation, value = ((0.85, 0.95), (0.55, 0.95), (0.9, 0.65))[i % 3]
        colours.append(colorsys.hsv_to_rgb((0.6 + i * _GOLDEN) % 1, saturation, value))
    return np.round(np.array(colours, np.float64).reshape(-1, 3) * 255).astype(np.uint8)


def draw(image: Image.Image, mask: NDArray[np.uint8], colours: NDArray[np.uint8], opacity: float = 0.55) -> Image.Image:
    """Draws a mask over an image. Returns mode RGB in the image's size.

    >>> from PIL import Image
    >>> red = np.array([[200, 0, 0]], np.uint8)
    >>> draw(Image.new("RGB", (1, 1), (0, 0, 100)), np.zeros((1, 1), np.uint8), red, 0.5).getpixel((0, 0))
    (100, 0, 50)

    Args:
        image: of any mode and size.
        mask: uint8 [h, w], indices into `colours`; `features.IGNORED_ID` leaves the image unchanged. Of any size: it is
            resized to the image by nearest neighbour.
        colours: uint8 [K, 3].
        opacity: of the colours, 0 to 1. Mixed levels are rounded down.
    """
    from PIL import Image

    rgb = image.convert("RGB")
    # Pillow's operations, because float arrays of a large photo would take gigabytes.
    ids = Image.fromarray(mask).resize(image.size, Image.Resampling.NEAREST)
    known = ids.point([0 if i == features.IGNORED_ID else 255 for i in range(256)])
    ids.putpalette(colours.tobytes())
    return Image.composite(Image.blend(rgb, ids.convert("RGB"), opacity), rgb, known)
