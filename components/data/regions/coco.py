"""Regions in COCO's format, polygons and run lengths, and the form in which a record holds all its regions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.data.images import BadImage
from components.data.regions import polygons

Bools = NDArray[np.bool_]

_MOST_PIXELS = 1 << 60
_MOST_BITS = 65  # of a run length; a number of millions of digits would take hours


def dump(size: tuple[int, int] | None, regions: Iterable[tuple[str, Any]]) -> str:
    """Writes regions as compact JSON; equal regions give equal text.

    Args:
        size: width and height of the image they were drawn on, where known.
        regions: (label, COCO segmentation or a shape of `shapes`), the lowest first.

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
            # The fastest check of every number: the sum finds NaN and infinity, and no float is there for a huge one.
            finite = math.isfinite(sum(polygon)) and math.isfinite(max(polygon)) and math.isfinite(min(polygon))
        except (TypeError, OverflowError):
            finite = False
        if not finite:
            return "expected polygons of finite numbers"
    return ""


def area(segmentation: Any) -> float:
    """Pixels that a segmentation without a `flaw` covers; overlaps of its polygons count twice.

    Raises:
        BadImage: its run lengths are malformed, or it covers more pixels than any image has.

    >>> area([[0, 0, 4, 0, 4, 3]]), area({"size": [2, 3], "counts": [1, 2, 3]})
    (6.0, 2.0)
    """
    if isinstance(segmentation, dict):
        covered: float = sum(_counts(segmentation)[1::2])
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is no number below the bound
            covered = sum(abs(polygons.signed_area(np.asarray(polygon, np.float64))) for polygon in segmentation)
    if not abs(covered) < _MOST_PIXELS:
        raise BadImage("a malformed region: it covers more pixels than any image has")
    return float(covered)


def decode(segmentation: dict[str, Any], height: int, width: int) -> Bools:
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
        if shift > _MOST_BITS:
            raise BadImage("a malformed region: a compressed run length is longer than any image")
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
