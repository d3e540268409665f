"""Perceptual hashes, and the search for pairs of nearly equal hashes among millions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Pixels of the shorter side. A smaller image is enlarged to 32 x 32 for its hash, which then holds no fine detail to
# tell images apart by. Chosen by hand; not measured.
SMALLEST = 32
# Bits of 256 in which the hashes of nearly equal images differ at most. Of photos of 140 pixels that were halved and
# compressed again at quality 50, 98 % differ in no more, of larger photos all; different photos differ in 52 or more.
DEFAULT_DISTANCE = 32
_SIDE, _FREQUENCIES = 32, 16
_MIDDLE = (_FREQUENCIES**2 - 1) // 2
_WORDS = 4  # of a hash
# Two hashes within 23 bits have a word in which they differ in at most 23 // 4 = 5 bits.
_WORD_DISTANCE = 5
# The number of hashes with the same key that each hash is compared with. It bounds the time where a key is very common.
# Chosen by hand; not measured.
_NEIGHBOURS = 256
_CHUNK = 1 << 18  # pairs compared at once: bounds the memory
# Up to this number of hashes, every pair is compared: it takes less than 0.1 s, and misses none.
_EXHAUSTIVE = 1024
_NONE = np.iinfo(np.int64).max


def perceptual_hash(luma: Image.Image) -> NDArray[np.uint64]:
    """256 bits that hardly change when an image is scaled or compressed again (pHash; Zauner 2010).

    Luma is averaged down to 32 x 32 pixels; each bit says whether one of the 16 x 16 lowest frequencies of its discrete
    cosine transform is above their median.

    Args:
        luma: the image or a reduction of it, in mode L.

    Returns:
        uint64 [4]: one word for each quarter of the frequencies, the lowest 8 x 8 first.

    >>> noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    >>> image = Image.fromarray(noise).resize((300, 300))
    >>> smaller, turned = image.resize((150, 150)), image.rotate(90)
    >>> [int(np.bitwise_count(perceptual_hash(image) ^ perceptual_hash(other)).sum()) for other in (smaller, turned)]
    [16, 120]
    """
    from scipy.fft import dctn

    small = np.asarray(luma.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64)
    # Rounded, because frequencies that an image does not have must be exactly 0, not 1e-14 above or below.
    table = np.round(dctn(small, norm="ortho")[:_FREQUENCIES, :_FREQUENCIES], 6)
    # The first frequency is the image's mean, larger than all others: it takes no part in the median. The median of the
    # other 255 is one of them, and found faster than by np.median.
    above = table > np.partition(table.ravel()[1:], _MIDDLE)[_MIDDLE]
    quarters = above.reshape(2, 8, 2, 8).swapaxes(1, 2).reshape(4, 64)
    return np.packbits(quarters, axis=1, bitorder="little").view("<u8").ravel()


Integer = TypeVar("Integer", np.int32, np.int64)
# A word of the hash, and its blocks that agree.
Band = tuple[int, tuple[int, ...]]
# What the search in a band finds. Without groups: one end and the other of pairs that connect all that is connected.
# With groups: places, and for each its nearest partner in another group, as distance * 2^40 + place.
Found = tuple[NDArray[np.int64], NDArray[np.int64]]
# Searches all bands of hashes [n, 4] at places [m], perhaps in groups [m], within a distance.
Search = Callable[[NDArray[np.uint64], NDArray[np.int64], NDArray[Any] | None, int], Iterable[Found]]


def near_pairs(
    hashes: NDArray[np.uint64], groups: NDArray[Any], distance: int, search: Search | None = None
) -> NDArray[np.int64]:
    """Pairs of nearly equal hashes in different groups, in time that grows little faster than their number.

    Only hashes that agree in some blocks of one of their words are compared (Manku, Jain & Das Sarma, WWW 2007). Each
    word is cut into b blocks, and the hashes are sorted by every choice of b - 5 blocks, with b so large that few
    hashes share a key. This finds all pairs that differ in at most 5 bits of one of the four words, hence all pairs
    within 23 bits, and most of those beyond. Where more than 256 hashes share a key, each is compared with the next
    256 only.

    Args:
        hashes: uint64 [n, 4].
        groups: int [n].
        distance: how many of the 256 bits may differ.
        search: searches the bands elsewhere, with the same result; None: here, one after the other.

    Returns:
        int64 [m, 2], sorted: each hash that has a partner in another group, with its nearest one; of several, the
        first. The smaller index comes first. Equal hashes of one group count as one, the first of them.

    >>> hashes = np.array([[0, 0, 0, 0], [0, 0, 0, 7], [~0, ~0, 0, 0]]).astype(np.uint64)
    >>> near_pairs(hashes, np.array([0, 1, 1]), distance=3)
    array([[0, 1]])
    >>> near_pairs(hashes, np.array([0, 0, 1]), distance=3)
    array([], shape=(0, 2), dtype=int64)
    """
    if not len(hashes):
        return np.empty((0, 2), np.int64)
    order = lexsort((groups, *hashes.T))  # of equal ones, in their order
    own, other_hash = groups[order], differ(hashes, order)
    new = other_hash.copy()
    new[1:] |= own[1:] != own[:-1]
    # From here on there is one entry for each hash and group.
    order, own, other_hash = order[new], own[new], other_hash[new]
    del new
    # The nearest partner of each entry so far, as distance * 2^40 + the partner's place: the smallest number is the
    # nearest partner, and of several the first.
    best = np.full(len(order), _NONE)
    # Equal hashes need no comparison, and more than 256 of them would not all meet the first.
    starts, twins = np.flatnonzero(other_hash), np.flatnonzero(~other_hash)
    first = starts[starts.searchsorted(twins) - 1]
    del starts, other_hash
    best[twins] = first
    np.minimum.at(best, first, twins)
    if search is not None and len(order) > _EXHAUSTIVE:
        for places, values in search(hashes, order, own, distance):
            np.minimum.at(best, places, values)
    else:
        rows = np.ascontiguousarray(hashes[order])
        for left, right in _candidates(rows):
            _compare(rows, own, left, right, distance, best)
    paired = np.flatnonzero(best != _NONE)
    pairs = np.sort(np.stack([order[paired], order[best[paired] & (1 << 40) - 1]], axis=1), axis=1)
    return np.unique(pairs.astype(np.int64), axis=0)


def lexsort(keys: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """The order of `np.lexsort`, in less memory where most rows differ in their last key, by which it sorts first."""
    order = keys[-1].argsort(kind="stable")
    first = keys[-1][order]
    tied = np.zeros(len(order), bool)
    tied[1:] = first[1:] == first[:-1]
    tied[:-1] |= tied[1:]
    del first
    some = order[tied]
    order[tied] = some[np.lexsort([key[some] for key in keys])]
    return order


def differ(hashes: NDArray[np.uint64], order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each hash in this order is another one than that before it."""
    new = np.ones(len(order), bool)
    for start in range(1, len(order), _CHUNK):
        end = min(len(order), start + _CHUNK)
        new[start:end] = (hashes[order[start:end]] != hashes[order[start - 1 : end - 1]]).any(axis=1)
    return new


def connected(hashes: NDArray[np.uint64], distance: int, search: Search | None = None) -> NDArray[np.int32]:
    """The sets of hashes that a chain of nearly equal ones connects; finds the pairs that `near_pairs` compares.

    Args:
        hashes: uint64 [n, 4].
        distance: how many of the 256 bits may differ between neighbours in a chain.
        search: as in `near_pairs`.

    Returns:
        int32 [n]: a number for each hash, equal within a set; which numbers they are has no meaning.

    >>> found = connected(np.array([[0, 0, 0, 0], [0, 0, 0, 7], [0, 0, 0, 63], [~0, 0, 0, 0]]).astype(np.uint64), 3)
    >>> (found == found[0]).tolist()
    [True, True, True, False]
    """
    if not len(hashes):
        return np.empty(0, np.int32)
    order = lexsort(tuple(hashes.T[::-1]))
    new = differ(hashes, order)
    own = np.empty(len(order), np.int32)
    own[order] = np.cumsum(new, dtype=np.int32) - 1
    order = order[new]
    found = np.arange(len(order), dtype=np.int32)
    if search is not None and len(order) > _EXHAUSTIVE:
        for left, right in search(hashes, order, None, distance):
            found = joined(found, left, right)
    else:
        rows = np.ascontiguousarray(hashes[order])
        for left, right in _connecting(rows, _candidates(rows), distance, found):
            found = joined(found, left, right)
    return found[own]


def _connecting(
    rows: NDArray[np.uint64],
    candidates: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]],
    distance: int,
    found: NDArray[Integer],
) -> Iterator[Found]:
    """Yields near pairs of different sets, which are joined before the next candidates are looked at."""
    for left, right in candidates:
        apart = found[left] != found[right]
        one, other = left[apart], right[apart]
        near = np.bitwise_count(rows[one] ^ rows[other]).sum(axis=1, dtype=np.int64) <= distance
        if near.any():
            found = joined(found, one[near], other[near])
            yield one[near], other[near]


def bands(count: int) -> list[Band]:
    """The bands in which `count` hashes are looked for, each on its own."""
    agreeing = _agreeing_blocks(count)
    chosen = itertools.combinations(range(agreeing + _WORD_DISTANCE), agreeing)
    return list(itertools.product(range(_WORDS), chosen))


def of_band(
    rows: NDArray[np.uint64], groups: NDArray[Any] | None, band: Band, distance: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What is near among the hashes [n, 4] that agree in a band; see `Found`."""
    word, chosen = band
    candidates = _equal_keys(_key(np.ascontiguousarray(rows[:, word]), chosen, len(chosen) + _WORD_DISTANCE))
    if groups is None:
        pairs = list(_connecting(rows, candidates, distance, np.arange(len(rows))))
        nothing = np.empty(0, np.int64)
        return np.concatenate([nothing, *(one for one, _ in pairs)]), np.concatenate([nothing, *(p for _, p in pairs)])
    best = np.full(len(rows), _NONE)
    for left, right in candidates:
        _compare(rows, groups, left, right, distance, best)
    places = np.flatnonzero(best != _NONE)
    return places, best[places]


def joined(sets: NDArray[Integer], left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[Integer]:
    """Unites the sets of left[i] and right[i] for every i.

    >>> joined(np.array([0, 1, 2, 3]), np.array([0, 1]), np.array([1, 3])).tolist()
    [0, 0, 2, 0]

    Args:
        sets: int [n]: the number of each element's set, from 0 to n - 1.
        left, right: int [m]: places in `sets`.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(left):
        return sets
    # The graph is of the sets that are united alone, which are few.
    nodes, ends = np.unique(np.concatenate([sets[left], sets[right]]), return_inverse=True)
    edges = (np.ones(len(left), bool), (ends[: len(left)], ends[len(left) :]))
    united = connected_components(coo_array(edges, shape=(len(nodes), len(nodes))), directed=False)[1]
    first = nodes[np.unique(united, return_index=True)[1]]  # the smallest number in each
    out = np.empty_like(sets)
    for start in range(0, len(sets), _CHUNK):
        some = sets[start : start + _CHUNK]
        place = np.minimum(nodes.searchsorted(some), len(nodes) - 1)
        out[start : start + _CHUNK] = np.where(nodes[place] == some, first[united[place]], some)
    return out


def _candidates(rows: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Places of hashes [n, 4] to compare, in pairs, a chunk at a time; a pair may come several times."""
    if len(rows) <= _EXHAUSTIVE:
        left, right = np.triu_indices(len(rows), 1)
        for i in range(0, len(left), _CHUNK):
            yield left[i : i + _CHUNK], right[i : i + _CHUNK]
        return
    for word, chosen in bands(len(rows)):
        yield from _equal_keys(_key(rows[:, word], chosen, len(chosen) + _WORD_DISTANCE))


def _agreeing_blocks(count: int) -> int:
    """The smallest number of blocks whose bits tell an eighth of `count` hashes apart."""
    return next(k for k in range(1, 65) if 64 * k / (k + _WORD_DISTANCE) >= np.log2(max(1, count / 8)))


def _key(words: NDArray[np.uint64], chosen: Sequence[int], count: int) -> NDArray[np.uint32] | NDArray[np.uint64]:
    """Some of the `count` blocks of [n] words; words that differ in at most 5 bits are equal in one choice of them."""
    edges = [64 * i // count for i in range(count + 1)]
    key, bits = np.zeros_like(words), 0
    for i in chosen:
        width = edges[i + 1] - edges[i]
        key = (key << np.uint64(width)) | (words >> np.uint64(edges[i]) & np.uint64((1 << width) - 1))
        bits += width
    return key.astype(np.uint32) if bits <= 32 else key


def _equal_keys(keys: NDArray[Any]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The places of equal keys, in pairs, a chunk at a time."""
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
    groups: NDArray[Any],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    distance: int,
    best: NDArray[np.int64],
) -> None:
    """Enters the pairs within `distance` into `best`."""
    apart = groups[left] != groups[right]
    left, right = left[apart], right[apart]
    bits = np.bitwise_count(rows[left] ^ rows[right]).sum(axis=1, dtype=np.int64)
    near = bits <= distance
    left, right, bits = left[near], right[near], bits[near] << 40
    np.minimum.at(best, left, bits + right)
    np.minimum.at(best, right, bits + left)
