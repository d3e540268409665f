"""Familiarity: how close an image is to the images that the model was trained on. NumPy only.

An image's distance is that of its pooled features, scaled to length 1, to the k-th nearest training image (Sun et al.,
"Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022). The method assumes no distribution and needs
no labels, so it works for a single class, too. The familiarity turns the distance into a rank within the eval split:
the share of eval images that are at least as far away. An image that is farther away than all of them has 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]

REFERENCES = 2000  # training images whose features a model carries: 10 MB at 1,280 features
_QUANTILES = 1000  # distances of the eval split that a model carries
_PER_NEIGHBOUR = 100  # reference images for each step of k, so that a single odd one makes nothing familiar


@dataclass(frozen=True)
class Reference:
    """Everything that a model needs to compute the familiarity of an image.

    Attributes:
        features: float32 [m, F] of training images, each of length 1.
        distances: float32 [q], ascending distances of the eval split; evenly spaced quantiles where it is large.
        neighbour: k, which nearest training image the distance is measured to.
    """

    features: Rows
    distances: Rows
    neighbour: int


def fit(train: NDArray[np.floating], evaluation: NDArray[np.floating]) -> Reference:
    """Builds the reference from pooled features.

    Args:
        train: [m, F], training images, at most `REFERENCES`.
        evaluation: [n, F], the eval split.
    """
    features = normalised(train)
    k = max(1, round(len(features) / _PER_NEIGHBOUR))
    ascending = np.sort(distances(evaluation, features, k))
    if len(ascending) > _QUANTILES:
        ascending = np.quantile(ascending, np.linspace(0, 1, _QUANTILES))
    return Reference(features, ascending.astype(np.float32), k)


def normalised(features: NDArray[np.floating]) -> Rows:
    """Scales each row of [n, F] to length 1; rows of zeros stay zero.

    >>> import numpy as np
    >>> normalised(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.divide(features, length, out=np.zeros(features.shape, np.float32), where=length > 0, casting="unsafe")


def distances(features: NDArray[np.floating], reference: Rows, neighbour: int) -> Rows:
    """Measures the Euclidean distance [n] of each row to its `neighbour`-th nearest reference.

    >>> import numpy as np
    >>> reference = np.array([[1, 0], [0, 1]], np.float32)
    >>> distances(np.array([[5.0, 0.0]]), reference, 1).tolist()  # same direction as the first reference
    [0.0]
    >>> distances(np.array([[5.0, 0.0]]), reference, 2).round(3).tolist()  # sqrt(2) from the second
    [1.4140000343322754]

    Args:
        features: [n, F], not normalised.
        reference: [m, F], rows of length 1.
        neighbour: 1 for the nearest.
    """
    similarity = np.sort(normalised(features) @ reference.T, axis=1)[:, -neighbour]
    return np.sqrt(np.maximum(2 - 2 * similarity, 0)).astype(np.float32)


def familiarity(distance: Rows, eval_distances: Rows) -> Rows:
    """Ranks distances [n] within those of the eval split [q], which are ascending; returns shares in [0, 1].

    >>> import numpy as np
    >>> familiarity(np.array([0.05, 0.2, 0.9]), np.array([0.1, 0.2, 0.3, 0.4])).tolist()
    [1.0, 0.75, 0.0]
    """
    below = np.searchsorted(eval_distances, distance, side="left")
    return (1 - below / len(eval_distances)).astype(np.float32)
