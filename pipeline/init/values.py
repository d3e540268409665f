"""Values of the section `training` that follow from the images: their size, and how many there are."""

from __future__ import annotations

import math

from pipeline.init.found import Found

# Largest area of an image in the network, in pixels. Pretrained networks were trained at 224 x 224; the network that
# starts from nothing gains little from more than 128 x 128, for which it needs a third of the time. Masks lose thin
# objects with every reduction, so they get more. Chosen by hand.
_AREA_PRETRAINED, _AREA_SMALL, _AREA_MASKS = 224**2, 128**2, 256**2
_LEAST_PRETRAINED = 96  # pixels of a side: below, a pretrained network's maps are one pixel wide
_COARSE, _FINE = 32, 8  # sides are multiples of these: of the stride of most networks, or for small images
_LARGE_SIDE = 64
# An epoch has at least this many steps, if there are images enough. With 23, ten labels of 361 photos were not learnt
# before training stopped early; with 46 they were.
_STEPS = 40
_BATCH, _BATCH_MASKS, _SMALLEST_BATCH = 32, 8, 4


def image_size(found: Found, *, pretrained: bool) -> tuple[list[int], str]:
    """Returns height and width for the network, and a comment: the median size, reduced to an area, in its proportions.

    Args:
        found: the data set.
        pretrained: whether the backbone starts from trained weights.
    """
    if not found.opened:
        return [128, 128], "no image could be opened"
    width, height = (int(median) for median in _median(found))
    area = _AREA_MASKS if found.config.kind.per_pixel else _AREA_PRETRAINED if pretrained else _AREA_SMALL
    scale = min(1.0, math.sqrt(area / (width * height)))
    least = _LEAST_PRETRAINED if pretrained else _COARSE
    sides = [max(least, side) for side in _rounded(height * scale, width * scale)]
    how = ", reduced in its proportions" if scale < 1 else ""
    return sides, f"height, width: the median image has {height} x {width}{how}"


def batch_size(found: Found) -> tuple[int, str]:
    """Returns a power of two that leaves enough steps in an epoch, and a comment: few steps teach little."""
    most = _BATCH_MASKS if found.config.kind.per_pixel else _BATCH
    images = found.manifest.counts["train"]
    size = most
    while size > _SMALLEST_BATCH and images / size < _STEPS:
        size //= 2
    steps = math.ceil(images / size)
    return size, f"{steps:,} steps in an epoch"


def _median(found: Found) -> tuple[float, float]:
    import numpy as np

    width, height = np.median(found.sizes, axis=0).tolist()
    return width, height


def _rounded(height: float, width: float) -> tuple[int, int]:
    """Rounds each side up or down to a multiple of 32, or of 8 below 64, so that the proportions change least.

    >>> _rounded(147.8, 110.9), _rounded(221.7, 295.6), _rounded(50, 40)
    ((128, 96), (224, 288), (48, 40))
    """
    pairs = [(h, w) for h in _around(height) for w in _around(width)]
    return min(pairs, key=lambda pair: (abs(math.log(pair[0] / pair[1] * width / height)), -pair[0] * pair[1]))


def _around(side: float) -> tuple[int, int]:
    """Returns the multiples below and above."""
    step = _COARSE if side >= _LARGE_SIDE else _FINE
    return max(step, math.floor(side / step) * step), max(step, math.ceil(side / step) * step)
