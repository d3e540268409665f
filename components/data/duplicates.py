"""Equal and nearly equal images: which of them lie in several splits or under several labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.data import perceptual


@dataclass(frozen=True)
class Pair:
    """Two images, by index; `bits`: how many of 256 differ in their perceptual hashes, or None for equal files."""

    first: int
    second: int
    bits: int | None = None


def equal(rows: NDArray[np.void]) -> tuple[list[Pair], list[Pair]]:
    """Equal files, each but the first of its kind paired with the first.

    Args:
        rows: `census.ROW` [n].

    Returns:
        those of which something else is said; those in different splits.
    """
    words = rows["sha256"]
    order = np.lexsort((np.arange(len(rows)), words[:, 3], words[:, 2], words[:, 1], words[:, 0]))
    new = np.ones(len(rows), bool)
    new[1:] = (words[order[1:]] != words[order[:-1]]).any(axis=1)
    first = order[np.flatnonzero(new)[np.cumsum(new) - 1]] if len(rows) else order

    def where(field: str) -> list[Pair]:
        differ = np.flatnonzero(rows[field][order] != rows[field][first])
        return [Pair(int(first[i]), int(order[i])) for i in sorted(differ, key=lambda i: order[i])]

    return where("truth"), where("split")


def near(rows: NDArray[np.void], field: str, distance: int) -> list[Pair]:
    """Nearly equal images, not equal files, that differ in `field`: "split" or "truth".

    Args:
        rows: `census.ROW` [n].
        field: of `census.ROW`.
        distance: how many bits of their perceptual hashes may differ.

    Returns:
        at least one pair for each image that has such a partner; see `perceptual.near_pairs`.
    """
    kept = np.flatnonzero(rows["comparable"])
    groups = np.unique(rows[field][kept], return_inverse=True)[1]
    pairs = kept[perceptual.near_pairs(rows["perceptual"][kept], groups, distance)]
    a, b = pairs[:, 0], pairs[:, 1]
    bits = np.bitwise_count(rows["perceptual"][a] ^ rows["perceptual"][b]).sum(axis=1)
    unlike = (rows["sha256"][a] != rows["sha256"][b]).any(axis=1)
    return [Pair(*map(int, row)) for row in np.stack([a, b, bits], axis=1)[unlike].tolist()]
