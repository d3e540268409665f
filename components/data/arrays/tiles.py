"""Large scenes as tiles of one size, and the answers for overlapping windows of a scene as one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.data.arrays.stored import Array

Size = tuple[int, int]  # height, width
_MARGIN = 8  # a window's answers count but for an eighth of its height and width at each side, inside the scene


def grid(scene: Size, tile: Size) -> list[Size]:
    """The top and left of tiles side by side that cover a scene; the last ones may reach beyond it.

    >>> grid((5, 4), (2, 4))
    [(0, 0), (2, 0), (4, 0)]
    """
    return [(top, left) for top in range(0, scene[0], tile[0]) for left in range(0, scene[1], tile[1])]


def cut(array: Array, place: Size, tile: Size) -> Array:
    """A tile of a scene; what is beyond the scene is 0 and invalid."""
    return Array(_cut(array.pixels, place, tile, 0), _cut(array.valid, place, tile, fill=False), array.times)


def cut_mask(ids: NDArray[np.uint8], place: Size, tile: Size, beyond: int) -> NDArray[np.uint8]:
    """A tile of a mask [H, W]; what is beyond the scene has the value `beyond`."""
    return _cut(ids[np.newaxis], place, tile, beyond)[0]


def _cut(values: NDArray[Any], place: Size, tile: Size, fill: int) -> NDArray[Any]:
    """[T, H, W, ...] -> [T, *tile, ...]."""
    (top, left), (height, width) = place, tile
    inside = values[:, top : top + height, left : left + width]
    if inside.shape[1:3] == tile:
        return inside
    found = np.full((len(values), *tile, *values.shape[3:]), fill, values.dtype)
    found[:, : inside.shape[1], : inside.shape[2]] = inside
    return found


def windows(scene: Size, tile: Size) -> Iterator[tuple[Size, tuple[slice, slice]]]:
    """Overlapping windows of a scene.

    Each pixel is answered by the window in which it is farthest from the edge, as far as the windows allow: the answers
    at the edge of a window know only one side of their surroundings.

    Yields:
        the window's top and left, and the part of the scene that it answers. These parts do not overlap, and together
        are the scene.

    >>> [(place, [(part.start, part.stop) for part in parts]) for place, parts in windows((2, 14), (2, 8))]
    [((0, 0), [(0, 2), (0, 7)]), ((0, 6), [(0, 2), (7, 14)])]
    """
    rows, columns = (_along(length, size) for length, size in zip(scene, tile, strict=True))
    for top, row in rows:
        for left, column in columns:
            yield (top, left), (row, column)


def _along(length: int, size: int) -> list[tuple[int, slice]]:
    """Windows along one axis: where each begins, and what it answers."""
    if length <= size:
        return [(0, slice(0, length))]
    step = size - 2 * (size // _MARGIN)
    starts = [*range(0, length - size, step), length - size]
    # Between two windows, the middle of what both see.
    edges = [0, *((one + size + other) // 2 for one, other in itertools.pairwise(starts)), length]
    return [(start, slice(*edges[i : i + 2])) for i, start in enumerate(starts)]
