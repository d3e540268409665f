"""Generated photos: a data set that anyone can make again, in the layout `folders`, distinct and about 40 KB each."""

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
# Noise of so many cells across, each octave with its contrast: what a photo's spectrum looks like. The last one is
# the grain; with this much of it the quality below gives 40 KB, and the decoder as much to do as with a real photo.
_OCTAVES = ((3, 45.0), (9, 30.0), (30, 19.0), (90, 11.0), (250, 8.0))
_QUALITY = 86


def folder(parent: str, count: int) -> str:
    """The folder with the first `count` photos below `parent`; makes them where they are not there yet.

    Photo `i` depends on `i` alone and belongs to label `i % 10`, so every label has its share.
    """
    path = os.path.join(parent, f"photos-{count}")
    if os.path.isdir(path):
        return path
    making = f"{path}.{os.getpid()}"
    try:
        for label in LABELS:
            os.makedirs(os.path.join(making, label))
        with ProcessPoolExecutor() as pool:
            list(pool.map(_write, [making] * count, range(count), chunksize=32))
        os.rename(making, path)  # whole or not at all: it is taken as it is the next time
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return path


def _write(path: str, index: int) -> None:
    label = index % len(LABELS)
    photo(index).save(os.path.join(path, LABELS[label], f"{index:06d}.jpg"), quality=_QUALITY)


def photo(index: int) -> Image.Image:
    """Photo `index`, 500 x 375; its tint tells the label."""
    random = np.random.default_rng(index)
    luma = sum((contrast * _field(random, cells) for cells, contrast in _OCTAVES), np.full((_HEIGHT, _WIDTH), 128.0))
    hue = 2 * math.pi * (index % len(LABELS)) / len(LABELS)
    chroma = [128 + 25 * tint + 12 * _field(random, 9) for tint in (math.cos(hue), math.sin(hue))]
    bands = [Image.fromarray(np.clip(band, 0, 255).astype(np.uint8)) for band in (luma, *chroma)]
    return Image.merge("YCbCr", bands)


def _field(random: np.random.Generator, cells: int) -> NDArray[np.float32]:
    """Smooth noise of unit contrast, `cells` across."""
    grid = random.standard_normal((max(2, cells * _HEIGHT // _WIDTH), cells), dtype=np.float32)
    return np.asarray(Image.fromarray(grid).resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC))
