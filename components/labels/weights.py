"""Median-frequency weights: rare labels count as much as common ones.

Eigen & Fergus, "Predicting Depth, Surface Normals and Semantic Labels", ICCV 2015, section 6.3.2, and Badrinarayanan
et al., "SegNet", TPAMI 2017: weight(c) = median of all frequencies / frequency(c).

Masks: frequency(c) = pixels of c / pixels of the images in which c appears. Ignored pixels do not count. With
`count_ignored` they are one more class, as SegNet counted its void class: in the totals and in the median. Only then is
the weight of that class dropped.

Labels of whole images, by analogy: frequency(c) = images to which c applies / images for which it is known whether c
applies. (The divisor of masks, "images in which c appears", would equal the numerator.) For single labels the divisor
is the number of labelled images and cancels. For multi labels the weight applies to positives only, see
`learning.sigmoid.loss`.

`image_counts` and `pixel_counts` compute what each example adds to the sums, and `label_weights` computes the weights
from the sums. All functions take `xp`, the array namespace: `numpy`, or `tensorflow.experimental.numpy` inside a graph,
where results are tensors. So Transform and `imagegate check` run the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def median_frequency(pixels: ArrayLike, image_pixels: ArrayLike, xp: Any = np) -> NDArray[np.float64]:
    """Computes the weight of each class: median frequency / frequency.

    Args:
        pixels: [K] pixels of each class.
        image_pixels: [K] total pixels of the images that contain the class.
        xp: array namespace, see the module.

    Returns:
        float64 [K]; 0 for a class without pixels, which is left out of the median.

    >>> median_frequency([30, 10, 60], [100, 100, 100]).tolist()  # frequencies 0.3, 0.1 and 0.6
    [1.0, 3.0, 0.5]
    """
    own: Any = xp.asarray(pixels, dtype=xp.float64)
    total: Any = xp.asarray(image_pixels, dtype=xp.float64)
    present = own > 0
    frequency = xp.where(present, own, 1.0) / xp.where(present, total, 1.0)
    ordered = xp.sort(xp.where(present, frequency, float("inf")))  # absent classes last
    count = xp.sum(xp.where(present, 1, 0))
    last = xp.maximum(count - 1, 0)
    # The mean of the two middle frequencies, which are the same one for an odd count.
    median = (xp.take(ordered, last // 2) + xp.take(ordered, (last + 1) // 2)) / 2.0
    weights: NDArray[np.float64] = xp.where(present, median / frequency, 0.0)
    return weights


def label_weights(own: ArrayLike, total: ArrayLike, classes: int, xp: Any = np) -> NDArray[np.float64]:
    """Computes label weights from sums over the train split, for every label kind.

    Args:
        own, total: [K], or [K + 1] with `count_ignored`: sums of the two results of `image_counts` or `pixel_counts`.
        classes: number of labels K.
        xp: array namespace, see the module.

    Returns:
        float64 [K].
    """
    return median_frequency(own, total, xp)[:classes]


def applied(
    configured: str | Mapping[str, float], names: Sequence[str], computed: Callable[[], Sequence[float]]
) -> list[float]:
    """Returns the weights that the loss applies.

    Args:
        configured: "median_frequency"; "square_root", for the square roots of those; "none"; or label -> weight, where
            other labels weigh 1.
        names: names of the K labels.
        computed: computes the weights by median frequency, [K].

    Returns:
        [K].

    >>> applied({"cat": 2}, ["cat", "dog"], computed=list)
    [2.0, 1.0]
    >>> applied("square_root", ["cat", "dog"], computed=lambda: [4.0, 0.25])
    [2.0, 0.5]
    """
    if configured in ("median_frequency", "square_root"):
        exponent = 1.0 if configured == "median_frequency" else 0.5
        return [float(weight) ** exponent for weight in computed()]
    given: Mapping[str, float] = {} if isinstance(configured, str) else configured
    return [float(given.get(name, 1.0)) for name in names]


def image_counts(target: ArrayLike, xp: Any = np) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Computes what each image adds to the sums for `label_weights`.

    Args:
        target: [batch, K]: 1 the label applies, 0 it does not, -1 it is unknown.
        xp: array namespace, see the module.

    Returns:
        int64 [batch, K] each: 1 if the label applies; 1 if it is known.

    >>> applies, known = image_counts([[1, 0, -1]])
    >>> applies.tolist(), known.tolist()
    ([[1, 0, 0]], [[1, 1, 0]])
    """
    given: Any = xp.asarray(target)
    applies: NDArray[np.int64] = xp.asarray(given > 0, dtype=xp.int64)
    return applies, xp.asarray(given >= 0, dtype=xp.int64)


def pixel_counts(
    pixels: ArrayLike, ignored: ArrayLike, xp: Any = np, *, count_ignored: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Computes what each mask adds to the sums for `label_weights`.

    Args:
        pixels: [batch, K], pixels of each label, `features.PIXELS`.
        ignored: [batch] or [batch, 1], number of ignored pixels, `features.IGNORED`.
        xp: array namespace, see the module.
        count_ignored: whether the ignored pixels count as one more class.

    Returns:
        int64 [batch, K] each, or [batch, K + 1] with `count_ignored`: pixels of the class; all counted pixels of the
        image if the class appears in it, else 0.

    >>> own, total = pixel_counts([[3, 0, 1]], [2])
    >>> own.tolist(), total.tolist()
    ([[3, 0, 1]], [[4, 0, 4]])
    """
    own: Any = xp.asarray(pixels, dtype=xp.int64)
    if count_ignored:
        own = xp.concatenate([own, xp.reshape(xp.asarray(ignored, dtype=xp.int64), (-1, 1))], axis=1)
    image = xp.sum(own, axis=1, keepdims=True)
    return own, xp.where(own > 0, image, xp.zeros_like(own))
