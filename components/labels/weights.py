"""Median-frequency weights: rare labels count as much as common ones.

Eigen & Fergus, "Predicting Depth, Surface Normals and Semantic Labels", ICCV 2015, section 6.3.2, and Badrinarayanan
et al., "SegNet", TPAMI 2017: weight(c) = median of all frequencies / frequency(c), where for masks frequency(c) =
pixels of c / pixels of the images in which c appears. For labels of whole images every image counts as one pixel of
each, so frequency(c) = images of c / images.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def median_frequency(pixels: ArrayLike, image_pixels: ArrayLike, xp: Any = np) -> NDArray[np.float64]:
    """Weight per class: median frequency / frequency.

    Args:
        pixels: [K] pixels of each class.
        image_pixels: [K] total pixels of the images that contain the class.
        xp: the array namespace: `numpy`, or `tensorflow.experimental.numpy` inside a graph, where the result is a
            tensor. The same code serves Transform and `imagegate check`.

    Returns:
        float64 [K]; 0 for a class without pixels, which takes no part in the median.
    """
    own: Any = xp.asarray(pixels, dtype=xp.float64)
    total: Any = xp.asarray(image_pixels, dtype=xp.float64)
    present = own > 0
    frequency = xp.where(present, own, 1.0) / xp.where(present, total, 1.0)
    ordered = xp.sort(xp.where(present, frequency, float("inf")))  # absent classes last
    count = xp.sum(xp.where(present, 1, 0))
    last = xp.maximum(count - 1, 0)
    # The mean of the two middle ones, which are the same one for an odd count.
    median = (xp.take(ordered, last // 2) + xp.take(ordered, (last + 1) // 2)) / 2.0
    weights: NDArray[np.float64] = xp.where(present, median / frequency, 0.0)
    return weights


def class_weights(counts: ArrayLike, xp: Any = np) -> NDArray[np.float64]:
    """Median-frequency weights of image labels.

    Args:
        counts: [K] images of each label.
        xp: see `median_frequency`.

    Returns:
        float64 [K].
    """
    counts = xp.asarray(counts, dtype=xp.float64)
    # The number of images cancels in median / frequency.
    return median_frequency(counts, xp.ones_like(counts), xp)
