"""Generated data sets for `imagegate init --demo`: images with any number of labels, and images with masks.

The images show circles, squares and triangles in random colours on a textured ground. Every call writes the same files.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

SHAPES = ("circle", "square", "triangle")
GROUND = "ground"  # the label of pixels in no shape
BORDER = 255  # in masks: the outline of a shape, ignored in training and evaluation

_SIDES = {"circle": 40, "square": 4, "triangle": 3}
# Direction of the first corner of an upright shape, in radians.
_UPRIGHT = {"circle": 0.0, "square": math.pi / 4, "triangle": -math.pi / 2}
_MAX_ROTATION = 0.3  # radians, in either direction
# Share of images that show the shape; the triangle is rarer, so that label weights matter.
_PROBABILITY = {"circle": 0.5, "square": 0.45, "triangle": 0.3}
_DARK, _BRIGHT = (0, 112), (144, 256)  # ranges of channel values: of the ground, of shapes
_UNKNOWN = 0.04  # share of empty cells in labels.csv
_COLOURS = {0: (0, 0, 0), 1: (220, 40, 40), 2: (40, 160, 60), 3: (60, 80, 220), BORDER: (224, 224, 192)}


def write_labels(root: str, count: int = 400, size: int = 48) -> None:
    """Writes `images/` and `labels.csv`, which has a 0/1 column for each shape with a few empty cells."""
    random = _random(1)
    os.makedirs(os.path.join(root, "images"), exist_ok=True)
    with open(os.path.join(root, "labels.csv"), "w", encoding="utf-8", newline="") as f:
        rows = csv.writer(f, lineterminator="\n")
        rows.writerow(["file_name", *SHAPES])
        for i in range(count):
            shapes = [shape for shape in SHAPES if random.random() < _PROBABILITY[shape]]
            image, _ = _draw(shapes, size, random)
            image.save(os.path.join(root, "images", f"{i:03d}.png"))
            cells = ["" if random.random() < _UNKNOWN else str(int(shape in shapes)) for shape in SHAPES]
            rows.writerow([f"{i:03d}.png", *cells])


def write_masks(root: str, count: int = 150, size: int = 64) -> None:
    """Writes `images/` and `masks/`: palette PNG files with 0 for ground, 1 to 3 for `SHAPES`, `BORDER` as outlines."""
    random = _random(2)
    for folder in ("images", "masks"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    for i in range(count):
        shapes = [shape for shape in SHAPES if random.random() < _PROBABILITY[shape]]
        image, mask = _draw(shapes, size, random)
        image.save(os.path.join(root, "images", f"{i:03d}.png"))
        mask.save(os.path.join(root, "masks", f"{i:03d}.png"))


def _random(seed: int) -> np.random.Generator:
    import numpy as np

    return np.random.default_rng(seed)


def _draw(shapes: Sequence[str], size: int, random: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    """Draws an image with each of the shapes in a quarter of its own, and its mask."""
    import numpy as np
    from PIL import Image, ImageDraw

    coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), np.uint8)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    texture = 0.25 * (np.asarray(coarse) - 128.0) + random.normal(0, 8, (size, size, 3))
    ground = random.integers(*_DARK, 3) + texture
    image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    mask = Image.new("P", (size, size), 0)
    mask.putpalette([part for i in range(256) for part in _COLOURS.get(i, (0, 0, 0))])
    for shape, quarter in zip(shapes, random.permutation(4), strict=False):
        x, y = ((index + 0.5) * size / 2 + random.uniform(-0.04, 0.04) * size for index in divmod(int(quarter), 2))
        corners = _corners(
            shape, x, y, random.uniform(0.17, 0.23) * size, random.uniform(-_MAX_ROTATION, _MAX_ROTATION)
        )
        ImageDraw.Draw(image).polygon(corners, fill=tuple(map(int, random.integers(*_BRIGHT, 3))))
        ImageDraw.Draw(mask).polygon(corners, fill=1 + SHAPES.index(shape), outline=BORDER)
    return image, mask


def _corners(shape: str, x: float, y: float, radius: float, turn: float) -> list[tuple[float, float]]:
    angles = (_UPRIGHT[shape] + turn + math.tau * i / _SIDES[shape] for i in range(_SIDES[shape]))
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]
