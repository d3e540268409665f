"""Filling a polygon.

A pixel belongs to a polygon when its centre lies inside, by the even-odd rule. So the number of pixels is close to the
area of the polygon, and two polygons that share an edge neither overlap nor leave a gap.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.data.images import BadImage

MOST_POINTS = 1_000_000  # of all regions of an image; more is an error in the file

_FARTHEST = 1e6  # pixels; a coordinate beyond is an error in the file
# Crossings of one polygon with rows of pixels: at 8 bytes each, half a gigabyte for each intermediate array.
_MOST_CROSSINGS = 1 << 26


def signed_area(polygon: NDArray[np.float64]) -> float:
    """Area of a polygon [x1, y1, x2, y2, …]; negative if its points go around the other way."""
    x, y = polygon[0::2], polygon[1::2]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def fill(canvas: NDArray[np.uint8], polygon: NDArray[np.float64], value: int) -> None:
    """Paints one polygon [2 n]: a pixel is inside when an odd number of edges cross its row left of its centre."""
    height, width = canvas.shape
    x, y = polygon[0::2], polygon[1::2]
    if np.abs(polygon).max() > _FARTHEST:
        raise BadImage(f"a malformed region: a coordinate is beyond {_FARTHEST:,.0f} pixels")
    x2, y2 = np.roll(x, -1), np.roll(y, -1)
    top, bottom = (
        np.clip(np.ceil(end - 0.5), 0, height).astype(np.int64) for end in (np.minimum(y, y2), np.maximum(y, y2))
    )
    rows_of = bottom - top  # an edge crosses the centre lines of rows top ... bottom - 1
    total = int(rows_of.sum())
    if total > _MOST_CROSSINGS:
        raise BadImage(f"a malformed region: {len(x):,} points cross the rows of pixels {total:,} times")
    if not total:
        return
    edge = np.repeat(np.arange(len(x)), rows_of)
    row = np.arange(total) - np.repeat(np.cumsum(rows_of) - rows_of - top, rows_of)
    at = x[edge] + (row + 0.5 - y[edge]) * ((x2 - x)[edge] / (y2 - y)[edge])
    column = np.clip(np.ceil(at - 0.5), 0, width).astype(np.int64)
    first, left = int(row.min()), int(column.min())
    shape = int(row.max()) - first + 1, int(column.max()) - left + 1
    crossings = np.bincount((row - first) * shape[1] + column - left, minlength=shape[0] * shape[1])
    inside = np.cumsum(crossings.reshape(shape), axis=1)[:, :-1] % 2 == 1
    canvas[first : first + shape[0], left : left + shape[1] - 1][inside] = value
