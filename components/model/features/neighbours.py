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
_SPARSE = 64  # of so many numbers of a product, at most one is sorted
_HELD = 1 << 22  # possible partners that are held before the best are chosen
_NONE = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
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
    named = [_Named(np.unique(groups, return_inverse=True)[1].astype(np.int32), least, most) for groups in groupings]
    for asked, among, mirrored in _blocks(unit):
        cosine = unit[asked] @ unit[among].T
        places = np.flatnonzero(cosine >= least)
        if len(places) <= cosine.size // _SPARSE:
            i, j = np.divmod(places, len(among))
            one, other, value = asked[i], among[j], cosine.ravel()[places]
            for each in named:
                each.add(one, other, value)
                if mirrored:
                    each.add(other, one, value)
        else:
            for each in named:
                each.add_best(asked, among, cosine)
                if mirrored:
                    each.add_best(among, asked, cosine.T)
    found = np.concatenate([np.empty((0, 2), np.int64), *(each.pairs() for each in named)])
    return np.unique(np.sort(found, axis=1), axis=0)


class _Named:
    """The partners that rows name in one grouping.

    Args:
        groups: int [n], the group of each row.
        least, most: see `similar`.
    """

    def __init__(self, groups: NDArray[np.int32], least: float, most: int) -> None:
        self._groups, self._least, self._most = groups, least, most
        self._found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
        self._count = 0

    def add(self, one: NDArray[np.int64], other: NDArray[np.int64], value: NDArray[np.float32]) -> None:
        """Adds rows [m], a possible partner of each, and their cosines."""
        apart = self._groups[one] != self._groups[other]
        self._found.append((one[apart], other[apart], value[apart]))
        self._count += int(apart.sum())
        if self._count > _HELD:
            self._keep_best()

    def add_best(self, asked: NDArray[np.int64], among: NDArray[np.int64], cosine: NDArray[np.float32]) -> None:
        """Adds the best of so many possible partners that to sort them would take longer."""
        same = self._groups[asked][:, None] == self._groups[among][None]
        rest, each = np.where(same, np.float32(-1), cosine), np.arange(len(asked))
        for _ in range(self._most):
            best = rest.argmax(axis=1)
            value = rest[each, best]
            near = np.flatnonzero(value >= self._least)
            self.add(asked[near], among[best[near]], value[near])
            rest[each, best] = -1

    def pairs(self) -> NDArray[np.int64]:
        """Rows and partners [m, 2]."""
        one, other, _ = self._keep_best()
        return np.stack([one, other], axis=1)

    def _keep_best(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        one, other, value = map(np.concatenate, zip(_NONE, *self._found, strict=True))
        order = np.lexsort((other, -value, one))
        rank = np.arange(len(order)) - one[order].searchsorted(one[order])
        kept = order[rank < self._most]
        self._found, self._count = [(one[kept], other[kept], value[kept])], len(kept)
        return self._found[0]


def cosine(rows: NDArray[np.float32], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """Cosine [m] of the rows of each pair [m, 2]."""
    length = np.linalg.norm(rows, axis=1)
    products = np.einsum("ij,ij->i", rows[pairs[:, 0]], rows[pairs[:, 1]])
    return np.asarray(products / np.maximum(length[pairs[:, 0]] * length[pairs[:, 1]], 1e-12), np.float32)


def _blocks(unit: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], bool]]:
    """Yields the rows that are compared, with those that they are compared with.

    With them comes whether the latter have yet to be compared with the former.
    """
    count, start = len(unit), 0
    if count <= _EXACT:
        while start < count:
            stop = min(start + _step(count - start), count)
            yield np.arange(start, stop), np.arange(start, stop), False
            if stop < count:
                yield np.arange(start, stop), np.arange(stop, count), True
            start = stop
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
            yield asked[start : start + step], among, False


def _step(among: int) -> int:
    """Rows that are compared with so many others at once."""
    return max(1, min(_BLOCK, _CELLS // max(1, among)))
