"""Which images to label next: those that a model is unsure of, and that differ from one another.

Uncertain images teach a model most, but the most uncertain ones are often alike. So the images are clustered, and one
of each cluster is chosen (Zhdanov, "Diverse mini-batch Active Learning", 2019).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.data import perceptual
from components.labels import outputs
from components.labels.kind import Answer, LabelKind

_FACTOR = 10  # the most uncertain images that are clustered, for each image to choose; as in Zhdanov's experiments
_LEAST_WEIGHT = 1e-6  # of a certain image, because k-means needs a weight above 0
_SEED = 0
_FEATURES = ("features", "embeddings")  # outputs that describe an image better than the probabilities do

Floats = NDArray[np.float64]


def uncertainty(arrays: Answer, kind: LabelKind) -> Floats:
    """How unsure a model is of each image, from 0 (certain) to 1.

    Args:
        arrays: output -> array of the signature `serving_default`, for n images.
        kind: of the labels.

    Returns:
        [n]: 1 - the margin between the two likeliest labels; for several labels the mean entropy of the labels; for
        masks `unsure_pixels`.
    """
    if kind.per_pixel:
        return unsure_pixels(arrays[outputs.CONFIDENCE], np.shape(arrays[outputs.LABELS])[1])
    probabilities = arrays[outputs.PROBABILITIES]
    return margin(probabilities) if kind.exclusive else entropy(probabilities)


def margin(probabilities: ArrayLike) -> Floats:
    """1 - the margin between the two likeliest labels (Scheffer, Decomain & Wrobel 2001); the second of one label is 0.

    >>> margin([[0.7, 0.2, 0.1], [0.4, 0.2, 0.4]]).tolist()
    [0.5, 1.0]

    Args:
        probabilities: [n, K].
    """
    descending = -np.sort(-np.asarray(probabilities, np.float64), axis=1)
    second = descending[:, 1] if descending.shape[1] > 1 else 0.0
    return np.clip(1 - (descending[:, 0] - second), 0, 1)


def entropy(probabilities: ArrayLike) -> Floats:
    """The mean over the labels of the entropy in bits of whether the label applies.

    >>> entropy([[0.5, 1.0], [0.5, 0.5], [0.0, 1.0]]).tolist()
    [0.5, 1.0, 0.0]

    Args:
        probabilities: [n, K].
    """
    applies = np.clip(np.asarray(probabilities, np.float64), 0, 1)
    both = np.stack([applies, 1 - applies])
    # x log x is 0 at 0.
    bits = -(both * np.log2(both, out=np.zeros_like(both), where=both > 0)).sum(axis=0)
    return np.clip(bits.mean(axis=1), 0, 1)


def unsure_pixels(confidence: ArrayLike, classes: int) -> Floats:
    """The mean over the pixels of 1 - the confidence, as a share of the most that `classes` labels allow.

    A served model tells only the probability of a pixel's likeliest label. With two labels, this is 1 - the margin.

    >>> unsure_pixels([[[1.0, 0.75]]], 2).tolist()
    [0.25]

    Args:
        confidence: [n, H, W], the probability of the likeliest label of each pixel.
        classes: number of labels.
    """
    values = np.asarray(confidence, np.float64)
    unsure = 1 - values.reshape(len(values), -1).mean(axis=1)
    return np.clip(unsure * classes / max(classes - 1, 1), 0, 1)


def description(arrays: Answer, kind: LabelKind) -> Floats:
    """A vector for each image [n, F]: features if the model answers with some, else probabilities or shares of a mask.

    Args:
        arrays: output -> array of the signature `serving_default`, for n images.
        kind: of the labels.
    """
    for name in _FEATURES:
        if name in arrays:
            return np.asarray(arrays[name], np.float64).reshape(len(arrays[name]), -1)
    if kind.per_pixel:
        masks, classes = arrays[outputs.MASK], np.shape(arrays[outputs.LABELS])[1]
        return np.stack([(masks == label).mean(axis=(1, 2)) for label in range(classes)], axis=1)
    return np.asarray(arrays[outputs.PROBABILITIES], np.float64)


def distinct(
    paths: Sequence[str], unsure: Floats, hashes: Sequence[NDArray[np.uint64] | None], distance: int | None
) -> list[int]:
    """Leaves one of each set of nearly equal images, the most uncertain one.

    Args:
        paths: n different names.
        unsure: [n], the uncertainty of each.
        hashes: perceptual hashes; None for an image that is too small, which is like no other.
        distance: bits in which the hashes of nearly equal images may differ; None: no two are nearly equal.

    Returns:
        places of those that are left, ascending.
    """
    comparable = [i for i, words in enumerate(hashes) if words is not None]
    if distance is None or not comparable:
        return list(range(len(paths)))
    sets = perceptual.connected(np.stack([words for words in hashes if words is not None]), distance)
    first: dict[int, int] = {}
    number = dict(zip(comparable, sets.tolist(), strict=True))
    for i in _most_uncertain(paths, unsure):
        if i in number:
            first.setdefault(number[i], i)
    return sorted({*first.values(), *(set(range(len(paths))) - number.keys())})


def choose(paths: Sequence[str], unsure: Floats, vectors: Floats, count: int) -> list[int]:
    """Chooses min(count, n) of n images that are uncertain and differ; equal arguments have equal results.

    The 10 `count` most uncertain ones are put into `count` clusters by k-means, weighted by their uncertainty. Of each
    cluster, the image nearest to the centre is taken. Where there are fewer different vectors than `count`, the most
    uncertain of the others follow.

    Args:
        paths: n different names.
        unsure: [n], the uncertainty of each.
        vectors: [n, F], see `description`.
        count: 1 or more.

    Returns:
        places of the chosen ones, the most uncertain first.
    """
    order = _most_uncertain(paths, unsure)[: _FACTOR * count]
    if len(order) <= count:
        return order
    nearest = _of_each_cluster(vectors[order], unsure[order], count)
    others = (place for place in range(len(order)) if place not in nearest)
    filled = [*nearest, *(place for place, _ in zip(others, range(count - len(nearest)), strict=False))]
    return [order[place] for place in sorted(filled)]


def _most_uncertain(paths: Sequence[str], unsure: Floats) -> list[int]:
    return sorted(range(len(paths)), key=lambda i: (-unsure[i], paths[i]))


def _of_each_cluster(vectors: Floats, weights: Floats, count: int) -> list[int]:
    """The place of the vector nearest to the centre of each of at most `count` clusters; of equal ones the first."""
    from sklearn.cluster import KMeans

    clusters = min(count, len(np.unique(vectors, axis=0)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of vectors that differ so little that they are one cluster
        means = KMeans(clusters, n_init=1, random_state=_SEED)
        means.fit(vectors, sample_weight=np.maximum(weights, _LEAST_WEIGHT))
    apart = np.linalg.norm(vectors - means.cluster_centers_[means.labels_], axis=1)
    places = [np.flatnonzero(means.labels_ == cluster) for cluster in range(clusters)]
    return [int(own[np.argmin(apart[own])]) for own in places if len(own)]
