"""How much an image is like those that the model learnt from: distances between features. NumPy only.

The distance of an image is that of its pooled features, brought to length 1, from the k-th nearest of the training
images' (Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022): no assumption about their
distribution, no labels, and so as good for one class as for many. Its familiarity is a percentile of the eval split,
as a share: of the eval images, those that are as far away or farther. 0: farther than all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]

REFERENCES = 2000  # training images whose features a model carries: 10 MB at 1,280 features
_QUANTILES = 1000  # distances of the eval split that it carries


@dataclass(frozen=True)
class Reference:
    """What a model carries.

    Attributes:
        features: float32 [m, F] of training images, each of length 1.
        distances: float32 [q], ascending: of the eval split, at equal steps if there were more.
        neighbour: k.
    """

    features: Rows
    distances: Rows
    neighbour: int


def fit(train: NDArray[np.floating], evaluation: NDArray[np.floating]) -> Reference:
    """From pooled features of the training images [m, F], at most `REFERENCES` of them, and of the eval split [n, F].

    k is a hundredth of the training images', at least 1: one odd image among them makes nothing familiar.
    """
    features = normalised(train)
    k = max(1, round(len(features) / 100))
    found = np.sort(distances(evaluation, features, k))
    if len(found) > _QUANTILES:
        found = np.quantile(found, np.linspace(0, 1, _QUANTILES))
    return Reference(features, found.astype(np.float32), k)


def normalised(features: NDArray[np.floating]) -> Rows:
    """[n, F] brought to length 1; zeros stay zeros."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.divide(features, length, out=np.zeros(features.shape, np.float32), where=length > 0, casting="unsafe")


def distances(features: NDArray[np.floating], reference: Rows, neighbour: int) -> Rows:
    """[n] Euclidean distances of features [n, F] from the `neighbour`-th nearest of `reference` [m, F]."""
    similarity = np.sort(normalised(features) @ reference.T, axis=1)[:, -neighbour]
    return np.sqrt(np.maximum(2 - 2 * similarity, 0)).astype(np.float32)


def familiarity(distance: Rows, eval_distances: Rows) -> Rows:
    """[n] in [0, 1]: share of `eval_distances` [q], ascending, that are `distance` or more."""
    below = np.searchsorted(eval_distances, distance, side="left")
    return (1 - below / len(eval_distances)).astype(np.float32)
