"""Regions of an image in COCO's format, polygons and run lengths, and painting them.

A pixel belongs to a polygon when its centre lies inside, by the even-odd rule; pixel (x, y) covers [x, x+1) x [y, y+1).
So the number of pixels is close to the area of the polygon, and two polygons that share an edge neither overlap nor
leave a gap.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.data.images import BadImage

Bools = NDArray[np.bool_]

_FARTHEST = 1e6  # pixels; a coordinate beyond is an error in the file
# Crossings of one polygon with rows of pixels: at 8 bytes each, half a gigabyte for each intermediate array.
_MOST_CROSSINGS = 1 << 26


def dump(size: tuple[int, int] | None, regions: Iterable[tuple[str, Any]]) -> str:
    """Writes regions as compact JSON; equal regions give equal text.

    Args:
        size: width and height of the image they were drawn on, where known.
        regions: (label, COCO segmentation), the lowest first.

    >>> dump((4, 3), [("road", [[0, 0, 4, 0, 4, 3]])])
    '{"regions":[["road",[[0,0,4,0,4,3]]]],"size":[4,3]}'
    """
    return json.dumps({"size": size, "regions": list(regions)}, separators=(",", ":"), sort_keys=True)


def load(text: str) -> tuple[tuple[int, int] | None, list[tuple[str, Any]]]:
    """Reads the size and the regions that `dump` wrote.

    >>> load(dump((4, 3), [("road", [[0, 0, 4, 0, 4, 3]])]))
    ((4, 3), [('road', [[0, 0, 4, 0, 4, 3]])])
    """
    stored = json.loads(text)
    return stored["size"] and tuple(stored["size"]), [tuple(region) for region in stored["regions"]]


def flaw(segmentation: Any) -> str:
    """Describes what is wrong with the form of a COCO segmentation; "" where it is well-formed.

    `paint` checks whatever depends on the size of the image.

    >>> flaw([[0, 0, 4, 0]])
    'expected polygons [x1, y1, x2, y2, …] of 3 points or more, got 4 numbers'
    """
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if isinstance(counts, (str, list)) and isinstance(size, list) and len(size) == 2:
            return ""
        return "expected run lengths {size: [height, width], counts: a list or text}"
    if not isinstance(segmentation, list) or not segmentation:
        return "expected a list of polygons, or run lengths {size, counts}"
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            what = f"{len(polygon)} numbers" if isinstance(polygon, list) else repr(polygon)[:50]
            return f"expected polygons [x1, y1, x2, y2, …] of 3 points or more, got {what}"
        try:
            finite = math.isfinite(sum(polygon))  # the fastest check of every number
        except (TypeError, OverflowError):
            finite = False
        if not finite:
            return "expected polygons of finite numbers"
    return ""


def area(segmentation: Any) -> float:
    """Pixels that a segmentation without a `flaw` covers; overlaps of its polygons count twice.

    >>> area([[0, 0, 4, 0, 4, 3]]), area({"size": [2, 3], "counts": [1, 2, 3]})
    (6.0, 2.0)
    """
    if isinstance(segmentation, dict):
        return float(sum(_counts(segmentation)[1::2]))
    return sum(abs(_signed_area(np.asarray(polygon, np.float64))) for polygon in segmentation)


def _signed_area(polygon: NDArray[np.float64]) -> float:
    x, y = polygon[0::2], polygon[1::2]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def paint(canvas: NDArray[np.uint8], segmentation: Any, value: int) -> None:
    """Sets the pixels of a region to `value`, in place.

    Args:
        canvas: uint8 [height, width].
        segmentation: COCO's: polygons, whose union is painted, or run lengths, compressed or not.
        value: of these pixels.

    Raises:
        BadImage: the segmentation is malformed, or its run lengths are for an image of another size.

    >>> canvas = np.zeros((3, 4), np.uint8)
    >>> paint(canvas, [[0, 0, 4, 0, 4, 3]], 7)
    >>> canvas
    array([[0, 7, 7, 7],
           [0, 0, 7, 7],
           [0, 0, 0, 7]], dtype=uint8)
    """
    if problem := flaw(segmentation):
        raise BadImage(f"a malformed region: {problem}")
    if isinstance(segmentation, dict):
        canvas[_decode(segmentation, *canvas.shape)] = value
        return
    for polygon in segmentation:
        _fill(canvas, np.asarray(polygon, np.float64), value)


def _fill(canvas: NDArray[np.uint8], polygon: NDArray[np.float64], value: int) -> None:
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


def _decode(segmentation: dict[str, Any], height: int, width: int) -> Bools:
    """Decodes run lengths to bool [height, width]: runs of 0 and 1 alternate down the columns, starting with 0."""
    if segmentation["size"] != [height, width]:
        raise BadImage(
            f"run lengths are for {segmentation['size']} (height, width), but the upright image is {[height, width]}"
        )
    counts = _counts(segmentation)
    if min(counts, default=-1) < 0 or sum(counts) != height * width:
        raise BadImage(f"a malformed region: run lengths must be 0 or more and sum to {height * width:,} pixels")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def _counts(segmentation: dict[str, Any]) -> Sequence[int]:
    counts = segmentation["counts"]
    if isinstance(counts, str):
        return list(_uncompressed(counts))
    if not all(type(count) is int for count in counts):
        raise BadImage("a malformed region: run lengths must be whole numbers")
    return counts


def _uncompressed(text: str) -> Iterable[int]:
    """Decodes run lengths from COCO's compressed text.

    Each is a signed number in groups of 5 bits, the lowest first, written as characters from "0" on. Bit 32 means that
    another group follows; bit 16 of the last group means that the number is negative. From the fourth number on, it is
    the difference from the run two places before.
    """
    previous: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise BadImage(f"a malformed region: {character!a} is not a character of compressed run lengths")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        value += previous[-2] if len(previous) > 2 else 0
        previous.append(value)
        yield value
        value = shift = 0
    if shift:
        raise BadImage("a malformed region: compressed run lengths end in the middle of a number")
