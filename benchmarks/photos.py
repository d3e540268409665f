"""Generated photos: a reproducible data set in the layout `folders`, of distinct files of about 40 KB."""

from __future__ import annotations

import math
import os
import shutil
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LABELS = tuple(f"class_{i}" for i in range(10))
_WIDTH, _HEIGHT = 500, 375
# Noise with (number of cells across, contrast) for each octave, which imitates the spectrum of a photo. The last
# octave is the grain. With this contrast and the quality below, a file has 40 KB and takes as long to decode as a
# real photo.
_OCTAVES = ((3, 45.0), (9, 30.0), (30, 19.0), (90, 11.0), (250, 8.0))
_QUALITY = 86


def folder(parent: str, count: int) -> str:
    """Returns the folder with the first `count` photos below `parent`, and creates it if necessary.

    Photo `i` depends only on `i` and has label `i % 10`, so that all labels are equally frequent.
    """
    path = os.path.join(parent, f"photos-{count}")
    if os.path.isdir(path):
        return path
    temporary = f"{path}.{os.getpid()}"
    try:
        for label in LABELS:
            os.makedirs(os.path.join(temporary, label))
        with ProcessPoolExecutor() as pool:
            list(pool.map(write, [temporary] * count, range(count), chunksize=32))
        os.rename(temporary, path)  # complete or not at all, because the next call reuses it
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def write(path: str, index: int) -> None:
    """Writes photo `index` into the folder of its label, which must exist, below `path`."""
    label = index % len(LABELS)
    photo(index).save(os.path.join(path, LABELS[label], f"{index:06d}.jpg"), quality=_QUALITY)


def photo(index: int) -> Image.Image:
    """Draws photo `index` with 500 x 375 pixels; its tint depends on the label."""
    random = np.random.default_rng(index)
    luma = sum((contrast * _field(random, cells) for cells, contrast in _OCTAVES), np.full((_HEIGHT, _WIDTH), 128.0))
    hue = 2 * math.pi * (index % len(LABELS)) / len(LABELS)
    chroma = [128 + 25 * tint + 12 * _field(random, 9) for tint in (math.cos(hue), math.sin(hue))]
    bands = [Image.fromarray(np.clip(band, 0, 255).astype(np.uint8)) for band in (luma, *chroma)]
    return Image.merge("YCbCr", bands)


def _field(random: np.random.Generator, cells: int) -> NDArray[np.float32]:
    """Returns smooth noise of unit contrast, float32 [h, w], with `cells` cells across."""
    grid = random.standard_normal((max(2, cells * _HEIGHT // _WIDTH), cells), dtype=np.float32)
    return np.asarray(Image.fromarray(grid).resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC))
