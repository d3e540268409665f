"""A legend of labels and their colours, as a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.base.text import shown

if TYPE_CHECKING:
    from PIL import Image

_LINE, _SWATCH, _FONT = 28, 20, 16  # pixels: height of a line, side of a square, size of the text


def draw(labels: Sequence[str], colours: NDArray[np.uint8]) -> Image.Image:
    """A legend with one line per label: a square of its colour and its name; mode RGB.

    >>> draw(["road"], np.array([[200, 0, 0]], np.uint8)).getpixel((10, 10))
    (200, 0, 0)

    Args:
        labels: K names.
        colours: uint8 [K, 3].
    """
    import matplotlib as mpl
    from PIL import Image, ImageDraw, ImageFont

    # Pillow's own font covers only ASCII.
    font = ImageFont.truetype(os.path.join(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), _FONT)
    names = [shown(label).replace("\n", r"\n") for label in labels]
    margin = (_LINE - _SWATCH) // 2
    left = margin + _SWATCH + 2 * margin
    width = left + max(int(font.getlength(name)) + 1 for name in names) + 2 * margin
    image = Image.new("RGB", (width, _LINE * len(names)), "white")
    pen = ImageDraw.Draw(image)
    for i, (name, colour) in enumerate(zip(names, colours.tolist(), strict=True)):
        top = i * _LINE + margin
        pen.rectangle((margin, top, margin + _SWATCH - 1, top + _SWATCH - 1), fill=tuple(colour))
        pen.text((left, i * _LINE + _LINE // 2), name, fill="black", font=font, anchor="lm")
    return image
