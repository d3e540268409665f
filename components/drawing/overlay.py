"""Masks drawn over their images, each label in a colour of its own."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.data import features

if TYPE_CHECKING:
    from PIL import Image

_GOLDEN = 0.618033988749895  # steps of the golden ratio keep any number of hues apart


def palette(classes: int) -> NDArray[np.uint8]:
    """RGB of each label, uint8 [K, 3]; a label keeps its colour when others are added behind it."""
    colours = []
    for i in range(classes):
        saturation, value = ((0.85, 0.95), (0.55, 0.95), (0.9, 0.65))[i % 3]
        colours.append(colorsys.hsv_to_rgb((0.6 + i * _GOLDEN) % 1, saturation, value))
    return np.round(np.array(colours, np.float64).reshape(-1, 3) * 255).astype(np.uint8)


def draw(image: Image.Image, mask: NDArray[np.uint8], colours: NDArray[np.uint8], opacity: float = 0.55) -> Image.Image:
    """`image` with `mask` over it, in mode RGB and the image's size; levels are rounded down.

    Args:
        image: any mode and size.
        mask: [h, w] indices into `colours`, or `features.IGNORED_ID`, which leaves the image as it is; of any size,
            brought to the image's by its nearest pixels.
        colours: [K, 3].
        opacity: of the colours, 0 to 1.
    """
    from PIL import Image

    rgb = image.convert("RGB")
    # Pillow's own operations: whole arrays of a large photo would take gigabytes.
    ids = Image.fromarray(mask).resize(image.size, Image.Resampling.NEAREST)
    known = ids.point([0 if i == features.IGNORED_ID else 255 for i in range(256)])
    ids.putpalette(colours.tobytes())
    return Image.composite(Image.blend(rgb, ids.convert("RGB"), opacity), rgb, known)
