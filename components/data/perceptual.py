"""Perceptual hashes: equal pictures in other files, and the search for pairs of them among millions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SMALLEST = 32  # pixels of the shorter side; below, too little is left to tell pictures apart
# Bits of 256 that differ at most in pictures called nearly equal. Of photos of 140 pixels that were halved and
# compressed anew at quality 50, 98 % differ in no more, of larger ones all; other photos differ in 52 or more.
DEFAULT_DISTANCE = 32
_SIDE, _FREQUENCIES = 32, 16
_WORD_DISTANCE = 5
_NEIGHBOURS = 256  # how many of equal key a hash is compared with: bounds the time where a key is very common
_CHUNK = 1 << 18  # pairs compared at once
_NONE = np.iinfo(np.int64).max


def _cosines() -> NDArray[np.float64]:
    """[16, 32]: the lowest frequencies of the orthonormal DCT-II."""
    k, n = np.mgrid[:_FREQUENCIES, :_SIDE]
    scale = np.where(k == 0, np.sqrt(1 / _SIDE), np.sqrt(2 / _SIDE))
    cosines: NDArray[np.float64] = scale * np.cos(np.pi * (2 * n + 1) * k / (2 * _SIDE))
    return cosines


_DCT = _cosines()


def perceptual_hash(luma: Image.Image) -> NDArray[np.uint64]:
    """256 bits that hardly change when a picture is scaled or compressed anew (pHash; Zauner 2010).

    Luma is averaged down to 32 x 32 pixels; each bit says whether one of the 16 x 16 lowest frequencies of its discrete
    cosine transform is above their median.

    Args:
        luma: the image or a reduction of it, in mode L.

    Returns:
        uint64 [4]: one word for each quarter of the frequencies, the lowest 8 x 8 first.
    """
    small = luma.resize((_SIDE, _SIDE), Image.Resampling.BOX)
    # What is zero by arithmetic shall be so by machine, too: a blank picture has no frequencies but the first.
    table = np.round(_DCT @ np.asarray(small, np.float64) @ _DCT.T, 6)
    # Of 255: the first is the mean of the picture, larger than all.
    median = np.partition(table.ravel()[1:], 127)[127]
    quarters = (table > median).reshape(2, 8, 2, 8).swapaxes(1, 2).reshape(4, 64)
    return np.packbits(quarters, axis=1, bitorder="little").view("<u8").ravel()


def near_pairs(hashes: NDArray[np.uint64], groups: NDArray[np.int64], distance: int) -> NDArray[np.int64]:
    """Pairs of nearly equal hashes in different groups, in time that grows little faster than their number.

    Hashes are compared that agree in some blocks of one of their words (Manku, Jain & Das Sarma, WWW 2007): each word
    is cut into b blocks and sorted by every choice of b - 5 of them, where b is large enough that few others share a
    key. So all pairs are found that differ in at most 5 bits of one of the four words, hence all within 23 bits, and
    most beyond; unless more than 256 hashes share a key, of which each then meets the next 256 only.

    Args:
        hashes: uint64 [n, 4].
        groups: int [n].
        distance: how many of the 256 bits may differ.

    Returns:
        int64 [m, 2], sorted: each hash that has such a partner with its nearest one, of several the first, the smaller
        index first. Equal hashes of one group count as one, the first of them.
    """
    if not len(hashes):
        return np.empty((0, 2), np.int64)
    words, groups = np.ascontiguousarray(hashes, np.uint64), np.asarray(groups, np.int64)
    order = np.lexsort((np.arange(len(words)), groups, *words.T))
    rows, own = words[order], groups[order]
    other_hash = np.ones(len(rows), bool)
    other_hash[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    new = other_hash.copy()
    new[1:] |= own[1:] != own[:-1]
    # From here on one entry for each hash and group.
    order, rows, own, other_hash = order[new], rows[new], own[new], other_hash[new]
    # Of each entry the nearest partner so far, as distance * 2^40 + the partner's place.
    best = np.full(len(rows), _NONE)
    first = np.flatnonzero(other_hash)[np.cumsum(other_hash) - 1]
    twins = np.flatnonzero(~other_hash)
    best[twins] = first[twins]
    np.minimum.at(best, first[twins], twins)
    agreeing = next(k for k in range(1, 65) if 64 * k / (k + _WORD_DISTANCE) >= np.log2(max(1, len(rows) / 8)))
    for word in range(4):
        for key in _keys(rows[:, word], agreeing):
            for left, right in _equal_keys(key):
                _compare(rows, own, left, right, distance, best)
    found = np.flatnonzero(best != _NONE)
    pairs = np.sort(np.stack([order[found], order[best[found] & (1 << 40) - 1]], axis=1), axis=1)
    return np.unique(pairs.astype(np.int64), axis=0)


def _keys(words: NDArray[np.uint64], agreeing: int) -> Iterator[NDArray[np.uint32] | NDArray[np.uint64]]:
    """Every choice of `agreeing` blocks of [n] words: words that differ in at most 5 bits are equal in one of them."""
    count = agreeing + _WORD_DISTANCE
    edges = [64 * i // count for i in range(count + 1)]
    for chosen in itertools.combinations(range(count), agreeing):
        key, bits = np.zeros_like(words), 0
        for i in chosen:
            width = edges[i + 1] - edges[i]
            key = (key << np.uint64(width)) | (words >> np.uint64(edges[i]) & np.uint64((1 << width) - 1))
            bits += width
        yield key.astype(np.uint32) if bits <= 32 else key


def _equal_keys(keys: NDArray[Any]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Places of equal keys, pairwise, in chunks."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    at = np.arange(len(keys))
    for step in range(1, _NEIGHBOURS + 1):
        at = at[: np.searchsorted(at, len(keys) - step)]
        at = at[ordered[at] == ordered[at + step]]
        if not len(at):
            return
        for i in range(0, len(at), _CHUNK):
            part = at[i : i + _CHUNK]
            yield order[part], order[part + step]


def _compare(
    rows: NDArray[np.uint64],
    groups: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    distance: int,
    best: NDArray[np.int64],
) -> None:
    apart = groups[left] != groups[right]
    left, right = left[apart], right[apart]
    bits = np.bitwise_count(rows[left] ^ rows[right]).sum(axis=1, dtype=np.int64)
    near = bits <= distance
    left, right, bits = left[near], right[near], bits[near] << 40
    np.minimum.at(best, left, bits + right)
    np.minimum.at(best, right, bits + left)
