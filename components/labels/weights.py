"""Median-frequency weights: rare labels count as much as common ones.

Eigen & Fergus, "Predicting Depth, Surface Normals and Semantic Labels", ICCV 2015, section 6.3.2, and Badrinarayanan
et al., "SegNet", TPAMI 2017: weight(c) = median of all frequencies / frequency(c).

Masks: frequency(c) = pixels of c / pixels of the images in which c appears. Ignored pixels count nowhere; with
`count_ignored` they are one more class, as SegNet counted its void: in the totals and in the median, and only then is
their own weight dropped.

Labels of whole images, single or multi, by analogy: frequency(c) = images to which c applies / images of which it is
known whether c applies. (Not "images in which c appears", for that is the numerator itself.) For single labels the
divisor is the number of labelled images and cancels. For multi labels the weight stands on the positives, see
`multi.loss`.

`image_counts` and `pixel_counts` give what each example adds to these sums, `label_weights` goes from the sums to the
weights. All take `xp`, the array namespace: `numpy`, or `tensorflow.experimental.numpy` inside a graph, where results
are tensors. So the same code serves Transform and `imagegate check`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def median_frequency(pixels: ArrayLike, image_pixels: ArrayLike, xp: Any = np) -> NDArray[np.float64]:
    """Weight per class: median frequency / frequency.

    Args:
        pixels: [K] pixels of each class.
        image_pixels: [K] total pixels of the images that contain the class.
        xp: see above.

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


def label_weights(own: ArrayLike, total: ArrayLike, classes: int, xp: Any = np) -> NDArray[np.float64]:
    """Weights from the sums over the train split of what `image_counts` or `pixel_counts` gives; every label kind.

    Args:
        own: [K], or [K + 1] with `count_ignored`.
        total: the same.
        classes: K.
        xp: see above.

    Returns:
        float64 [K].
    """
    return median_frequency(own, total, xp)[:classes]


def stated(configured: str | Mapping[str, float], names: Sequence[str]) -> list[float] | None:
    """Weights that the configuration states itself; a label that it does not name weighs 1.

    Args:
        configured: "median_frequency", "none", or weights by name.
        names: the K labels.

    Returns:
        [K], or None where the data decides: "median_frequency".
    """
    if configured == "median_frequency":
        return None
    given: Mapping[str, float] = {} if isinstance(configured, str) else configured
    return [float(given.get(name, 1.0)) for name in names]


def image_counts(target: ArrayLike, xp: Any = np) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What each image adds to the sums for `label_weights`.

    Args:
        target: [batch, K]: 1 applies, 0 does not, -1 nobody said.
        xp: see above.

    Returns:
        int64 [batch, K] each: 1 where the label applies; 1 where it is known whether it does.
    """
    given: Any = xp.asarray(target)
    applies: NDArray[np.int64] = xp.asarray(given > 0, dtype=xp.int64)
    return applies, xp.asarray(given >= 0, dtype=xp.int64)


def pixel_counts(
    pixels: ArrayLike, ignored: ArrayLike, xp: Any = np, *, count_ignored: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What each mask adds to the sums for `label_weights`.

    Args:
        pixels: [batch, K], pixels of each label, `features.PIXELS`.
        ignored: [batch] or [batch, 1], pixels that take part in nothing, `features.IGNORED`.
        xp: see above.
        count_ignored: whether the ignored pixels count as one more class, as SegNet counted them.

    Returns:
        int64 [batch, K], or [batch, K + 1] with `count_ignored`: pixels of the class; pixels of the image where the
        class appears in it, else 0.
    """
    own: Any = xp.asarray(pixels, dtype=xp.int64)
    if count_ignored:
        own = xp.concatenate([own, xp.reshape(xp.asarray(ignored, dtype=xp.int64), (-1, 1))], axis=1)
    image = xp.sum(own, axis=1, keepdims=True)
    return own, xp.where(own > 0, image, xp.zeros_like(own))
