"""Generators that copy, and generators that make one image again and again, are refused."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Thumbnails = NDArray[np.float32]

_SIDE = 8  # pixels of a thumbnail: so few that it does not matter how sharp an image is
_NEAR = 0.25  # of the distance of a training image to its nearest other one, in the median; nearer is a copy
_COPIES = 0.1  # largest share of copies
_SPREAD = 0.2  # least distance of two generated images, as a share of that of two training images, in the median


def thumbnails(images: Pixels) -> Thumbnails:
    """Averages images uint8 [n, H, W, 3] over 8 x 8 fields; float32 [n, 192], values from 0 to 255."""
    small = [Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BOX) for image in images]
    return np.array([np.asarray(image) for image in small], np.float32).reshape(len(images), -1)


def distances(some: Thumbnails, others: Thumbnails) -> NDArray[np.float64]:
    """Euclidean distances of thumbnails [n, D] and [m, D], as [n, m]."""
    a, b = some.astype(np.float64), others.astype(np.float64)
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * (a @ b.T)
    return np.sqrt(np.maximum(squares, 0))


def refusal(generated: Thumbnails, train: Thumbnails) -> str:
    """Says why generated images of a label are not used; "" if they are.

    They are copies if more than a tenth of them are nearer to a training image than a quarter of what training images
    are to one another: the distance of each to its nearest other one, in the median. They have collapsed if two of them
    are apart by less than a fifth of what two training images are, in the median.

    Args:
        generated: thumbnails of the generated images; of a single one, nobody can say that it repeats itself.
        train: of the training images, two or more.
    """
    near = _NEAR * np.median(_nearest_other(train))
    copies = float((distances(generated, train).min(axis=1) < near).mean())
    if copies > _COPIES:
        return (
            f"{copies:.0%} of the images are copies, expected at most {_COPIES:.0%}: they are nearer to a training "
            "image than training images are to one another"
        )
    spread, usual = _spread(generated), _spread(train)
    if len(generated) > 1 and spread < _SPREAD * usual:
        return (
            f"the generator collapsed: two of its images differ by {spread:.0f}, two training images by {usual:.0f}, "
            f"expected at least {_SPREAD:.0%} of that"
        )
    return ""


def _nearest_other(train: Thumbnails) -> NDArray[np.float64]:
    apart = distances(train, train)
    np.fill_diagonal(apart, np.inf)
    nearest: NDArray[np.float64] = apart.min(axis=1)
    return nearest


def _spread(images: Thumbnails) -> float:
    """Median distance of two different ones."""
    apart = distances(images, images)[np.triu_indices(len(images), 1)]
    return float(np.median(apart)) if len(apart) else 0.0
