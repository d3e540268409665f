"""Label propagation: images without labels get the labels of the images that are like them.

A graph joins every image with those that a network answers most alike. The labels spread along it: Zhou et al.,
"Learning with Local and Global Consistency", NeurIPS 2003, F = alpha S F + (1 - alpha) Y with S the normalised graph.
What each label then has in total is scaled to its share among the labelled images (class mass normalisation; Zhu et
al., ICML 2003), or common labels would swallow rare ones.

Logits are the points of the graph. Among features themselves, most directions have nothing to do with the labels:
measured in docs/few-labels.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from components.base.errors import ImagegateError

Floats = NDArray[np.float64]

_NEIGHBOURS = 10
_ALPHA = 0.9  # share of an answer that comes from the neighbours; 0.5 to 0.99 were tried
_STEPS = 100  # of the iteration, whose error is at most alpha^steps
_TINY = 1e-12
_COLLAPSED = 0.99  # share of one label in the answers, from which on they say nothing


class Refused(ImagegateError):
    """Labels cannot be propagated; the message says why."""


@dataclass(frozen=True)
class Guess:
    """What was guessed of m images without labels.

    Attributes:
        target: float32 [m, K], degrees; see `labels.learning.losses`.
        weight: float32 [m], from 0 (nothing is known) to 1 (sure).
    """

    target: NDArray[np.float32]
    weight: NDArray[np.float32]


def spread(
    points: NDArray[np.floating], target: NDArray[np.floating], others: NDArray[np.floating], *, exclusive: bool
) -> Guess:
    """Guesses the labels of images without labels.

    Args:
        points: [n, D] of the labelled images.
        target: [n, K], 1 applies, 0 does not, -1 unknown.
        others: [m, D], of the images without labels.
        exclusive: whether exactly one label applies to each image.

    Raises:
        Refused: the graph falls apart, or all images get the same label.
    """
    graph = neighbours(np.concatenate([points, others]).astype(np.float64))
    known = target >= 0
    if exclusive:
        given = np.where(known, target, 0.0)
        degrees = _spread(graph, given, len(others))
        _check(degrees, given)
        shares = _sharpened(_balanced(degrees, given))
        entropy = -(shares * np.log(np.maximum(shares, _TINY))).sum(axis=1) / np.log(max(2, shares.shape[1]))
        weight = np.where(shares.sum(axis=1) > 0, 1 - entropy, 0.0)
    else:
        states = [_states(graph, target[:, k], len(others)) for k in range(target.shape[1])]
        # Where nothing came from the neighbours, the label stays unknown.
        shares = np.stack([np.where(own.sum(axis=1) > 0, _sharpened(own)[:, 1], -1.0) for own in states], axis=1)
        weight = np.where((shares >= 0).any(axis=1), 1.0, 0.0)
    return Guess(shares.astype(np.float32), np.clip(weight, 0, 1).astype(np.float32))


def neighbours(points: Floats) -> sparse.csr_array:
    """Builds the normalised graph D^-1/2 W D^-1/2 of the nearest neighbours by angle, [n, n].

    W has exp(-d^2 / (2 s^2)) for the squared distances d^2 of unit vectors, with s^2 their mean over all neighbours.

    Raises:
        Refused: a point is not finite, or most of them have no neighbour whose weight is above 0.
    """
    from sklearn.neighbors import NearestNeighbors

    if not np.isfinite(points).all():
        raise Refused("the answers of the network are not finite")
    centred = points - points.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), _TINY)
    count = min(_NEIGHBOURS, len(unit) - 1)
    distance, index = NearestNeighbors(n_neighbors=count + 1).fit(unit).kneighbors(unit)
    distance, index = distance[:, 1:], index[:, 1:]
    scale = float((distance**2).mean())
    weight = np.exp(-(distance**2) / (2 * scale)) if scale > 0 else np.ones_like(distance)
    rows = np.repeat(np.arange(len(unit)), count)
    graph = sparse.csr_array((weight.ravel(), (rows, index.ravel())), shape=(len(unit), len(unit)))
    graph = sparse.csr_array(graph.maximum(graph.T))
    degree = np.asarray(graph.sum(axis=1)).ravel()
    if (degree < _TINY).mean() > 0.5:
        raise Refused("the kernel underflows: most images have no neighbour with a weight above 0")
    root = sparse.diags_array(1 / np.sqrt(np.maximum(degree, _TINY)))
    return sparse.csr_array(root @ graph @ root)


def _iterated(graph: sparse.csr_array, given: Floats) -> Floats:
    found = given
    for _ in range(_STEPS):
        found = _ALPHA * (graph @ found) + (1 - _ALPHA) * given
    return np.asarray(found, np.float64)


def _spread(graph: sparse.csr_array, target: Floats, others: int) -> Floats:
    """Degrees [m, K] of the images without labels, from those of the labelled images, [n, K]."""
    given = np.concatenate([target, np.zeros((others, target.shape[1]))])
    return _iterated(graph, given)[len(target) :]


def _balanced(degrees: Floats, target: Floats) -> Floats:
    """Scales degrees so that each label has the share of their sum that it has of the labelled images."""
    mass, share = degrees.sum(axis=0), target.sum(axis=0) / max(1.0, target.sum())
    return np.asarray(degrees * np.where(mass > _TINY, share / np.maximum(mass, _TINY), 0.0))


def _states(graph: sparse.csr_array, target: NDArray[np.floating], others: int) -> Floats:
    """Degrees [m, 2] of the two states of one label, "does not apply" and "applies"."""
    given = np.stack([target == 0, target > 0], axis=1).astype(np.float64)
    return _balanced(_spread(graph, given, others), given)


def _sharpened(degrees: Floats) -> Floats:
    """Squares degrees, which halves their temperature (MixMatch; Berthelot et al. 2019), and makes rows sum to 1."""
    largest = degrees.max(axis=1, keepdims=True)
    squared = np.divide(degrees, largest, out=np.zeros_like(degrees), where=largest > 0) ** 2
    total = squared.sum(axis=1, keepdims=True)
    return np.divide(squared, total, out=np.zeros_like(squared), where=total > 0)


def _check(degrees: Floats, target: Floats) -> None:
    """Raises Refused if nearly all answers are one label, which is not nearly all of the truth."""
    answered = degrees[degrees.sum(axis=1) > 0]
    if not len(answered):
        raise Refused("no image without a label is connected to one with a label")
    share = np.bincount(answered.argmax(axis=1), minlength=degrees.shape[1]) / len(answered)
    most = int(share.argmax())
    if share[most] >= _COLLAPSED and target[:, most].sum() < _COLLAPSED * target.sum():
        raise Refused(f"{share[most]:.0%} of the images would get the same label")
