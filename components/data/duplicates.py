"""Pairs of equal and of nearly equal images that are in different splits or have different labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.base.compact import scratch
from components.data import perceptual


@dataclass(frozen=True)
class Pair:
    """Two images, by index.

    Attributes:
        first, second: indices of the images.
        bits: number of the 256 bits of their perceptual hashes that differ; None for equal files.
    """

    first: int
    second: int
    bits: int | None = None


def equal_files(rows: NDArray[np.void]) -> tuple[list[Pair], list[Pair]]:
    """Pairs of equal files that are labelled differently or are in different splits: each with the first of its kind.

    Args:
        rows: `census.ROW` [n].

    Returns:
        pairs with different labels or masks; pairs in different splits.
    """
    words = rows["sha256"]
    order = perceptual.lexsort(tuple(words.T[::-1]))  # of equal ones, in their order
    new = perceptual.differ(words, order)
    starts, copies = np.flatnonzero(new), np.flatnonzero(~new)
    second, first = order[copies], order[starts[starts.searchsorted(copies, "right") - 1]] if len(copies) else copies
    del order, new, starts

    def where(field: str) -> list[Pair]:
        differ = np.flatnonzero(rows[field][second] != rows[field][first])
        return [Pair(int(first[i]), int(second[i])) for i in sorted(differ, key=lambda i: second[i])]

    return where("truth"), where("split")


def near_pairs(
    rows: NDArray[np.void], field: str, distance: int, search: perceptual.Search | None = None
) -> NDArray[np.int64]:
    """Pairs [m, 2] of images, equal files too, that are nearly equal and differ in `field`; see `nearly_equal_images`.

    Args:
        rows, field, distance: as in `nearly_equal_images`.
        search: see `perceptual.near_pairs`.
    """
    kept = np.flatnonzero(rows["comparable"])
    if len(kept) == len(rows):
        del kept
        return perceptual.near_pairs(rows["perceptual"], _numbered(rows[field]), distance, search)
    hashes = scratch.taken(rows["perceptual"], kept)
    return kept[perceptual.near_pairs(hashes, _numbered(rows[field][kept]), distance, search)]


def _numbered(values: NDArray[Any]) -> NDArray[np.int32]:
    """A number for each distinct value."""
    return np.unique(values, return_inverse=True)[1].astype(np.int32)


def nearly_equal_images(
    rows: NDArray[np.void], field: str, distance: int, known: NDArray[np.int64] | None = None
) -> list[Pair]:
    """Pairs of nearly equal images that differ in `field`, "split" or "truth"; equal files are left out.

    Args:
        rows: `census.ROW` [n].
        field: of `census.ROW`.
        distance: number of bits in which their perceptual hashes may differ.
        known: what `near_pairs` finds, if that was done before.

    Returns:
        at least one pair for each image that has such a partner; see `perceptual.near_pairs`.
    """
    pairs = near_pairs(rows, field, distance) if known is None else known
    a, b = pairs[:, 0], pairs[:, 1]
    bits = np.bitwise_count(rows["perceptual"][a] ^ rows["perceptual"][b]).sum(axis=1)
    unlike = (rows["sha256"][a] != rows["sha256"][b]).any(axis=1)
    return [Pair(*map(int, row)) for row in np.stack([a, b, bits], axis=1)[unlike].tolist()]
