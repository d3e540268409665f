"""Pairs of images with similar features, for rules that then look at the images themselves.

Up to `_EXACT` images, all are compared, in blocks of matrix products. Beyond, scikit-learn's k-means distributes them
over about sqrt(n) cells, and an image is compared with those of the cells next to it, so that time grows with n^1.5 (an
inverted file; Sivic & Zisserman, ICCV 2003).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy  # which loads a part when it is used
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

_EXACT = 50_000
_BLOCK, _CELLS = 2048, 1 << 24  # rows of a product, and its numbers (64 MB), at most
_PROBES = 16  # cells that an image is compared with
_COMPONENTS = 256
_SEED = 1


def compact(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """The principal components of standardised features, turned at random, with deviation 1 over all.

    Distances are those of the standardised features, as far as 256 components tell them. Turned, each coordinate has
    about the same deviation, so that whoever standardises them again changes little.

    Args:
        rows: [n, F].

    Returns:
        float32 [n, min(F, 256)].
    """
    count = min(rows.shape[1], _COMPONENTS)
    if not len(rows):
        return np.empty((0, count), np.float32)
    deviation = rows.std(axis=0, dtype=np.float64)
    centred = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred /= np.where(deviation > 0, deviation, 1).astype(np.float32)
    last = len(deviation) - 1
    with threadpool_limits(1, "blas"):  # its threads wait for each other after every step: much slower on busy cores
        axes = scipy.linalg.eigh(centred.T @ centred, subset_by_index=(last - count + 1, last))[1]
    axes *= np.sign(axes[abs(axes).argmax(axis=0), np.arange(count)])  # which of the two signs, LAPACK leaves open
    turn = np.linalg.qr(np.random.default_rng(_SEED).normal(size=(count, count)))[0].astype(np.float32)
    turned = centred @ axes @ turn
    return np.asarray(turned / max(float(turned.std()), 1e-12), np.float32)


def similar(
    rows: NDArray[np.float32], groupings: Sequence[NDArray[np.integer]], least: float, most: int
) -> NDArray[np.int64]:
    """Pairs of similar rows that are in different groups of one of several groupings.

    Args:
        rows: [n, F], see `compact`.
        groupings: int [n] each, the group of each row.
        least: smallest cosine of a pair.
        most: partners that a row names in each grouping, the most similar ones; of equally similar ones the first.

    Returns:
        int64 [m, 2], sorted, the smaller index first.
    """
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = (rows / np.where(length > 0, length, 1)).astype(np.float32)
    numbers = [np.unique(groups, return_inverse=True)[1].astype(np.int32) for groups in groupings]
    found = [np.empty((0, 2), np.int64)]
    for asked, among in _blocks(unit):
        cosine, each = unit[asked] @ unit[among].T, np.arange(len(asked))
        for own in numbers:
            other = np.where(own[asked][:, None] == own[among][None], np.float32(-1), cosine)
            for _ in range(most):  # faster than to sort, even in part, since partners are few
                best = other.argmax(axis=1)
                near = np.flatnonzero(other[each, best] >= least)
                if not len(near):
                    break
                found.append(np.sort(np.stack([asked[near], among[best[near]]], axis=1), axis=1))
                other[each, best] = -1
    return np.unique(np.concatenate(found), axis=0)


def cosine(rows: NDArray[np.float32], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """Cosine [m] of the rows of each pair [m, 2]."""
    length = np.linalg.norm(rows, axis=1)
    products = np.einsum("ij,ij->i", rows[pairs[:, 0]], rows[pairs[:, 1]])
    return np.asarray(products / np.maximum(length[pairs[:, 0]] * length[pairs[:, 1]], 1e-12), np.float32)


def _blocks(unit: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yields the rows that are compared, with those that they are compared with."""
    count = len(unit)
    if count <= _EXACT:
        step = _step(count)
        for start in range(0, count, step):
            yield np.arange(start, min(start + step, count)), np.arange(count)
        return
    from sklearn.cluster import MiniBatchKMeans

    means = MiniBatchKMeans(round(count**0.5), batch_size=8192, n_init=1, max_iter=20, random_state=_SEED).fit(unit)
    centres, own = means.cluster_centers_.astype(np.float32), means.labels_
    of_cell = np.split(np.argsort(own, kind="stable"), np.cumsum(np.bincount(own, minlength=len(centres)))[:-1])
    distance = (centres**2).sum(axis=1) - 2 * centres @ centres.T  # squared, but for a constant in each row
    for cell, asked in enumerate(of_cell):
        among = np.concatenate([of_cell[near] for near in np.argsort(distance[cell], kind="stable")[:_PROBES]])
        step = _step(len(among))
        for start in range(0, len(asked), step):
            yield asked[start : start + step], among


def _step(among: int) -> int:
    """Rows that are compared with so many others at once."""
    return max(1, min(_BLOCK, _CELLS // max(1, among)))
