"""The shapes in LabelMe's JSON files, and their regions.

A pixel belongs to a shape when its centre lies inside; LabelMe's own export adds the pixels that the outline touches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from components.data.regions import shapes
from components.ingest.layouts.annotated.shared.entries import Found, Malformed, Wanted, check_amount, number

_NO_AREA = "[point or line covers|points and lines cover] no pixels and [was|were] left out"
_LINES = ("point", "points", "line", "linestrip")


def read(
    entries: list[Any], path: str, wanted: Wanted, found: Found
) -> tuple[frozenset[str], tuple[tuple[str, Any], ...]]:
    """Reads the shapes of one image.

    Returns:
        their labels; for segmentation also (label, region), in the file's order, in which LabelMe draws them.

    Raises:
        Malformed: naming `path` and the shape: it has no label, or is none that covers pixels.
    """
    labels, regions, points = set(), [], 0
    for position, shape in enumerate(entries, 1):
        where = f"{path}: shape {position}"
        label = shape.get("label") if isinstance(shape, dict) else None
        if not isinstance(label, str) or not label.strip():
            raise Malformed(f"{where}: expected an object with a label, got {str(label)[:50]!r}")
        labels.add(label.strip())
        if wanted.per_pixel:
            kind, corners = str(shape.get("shape_type") or "polygon"), _points(shape.get("points"), where)
            points += len(corners)
            if kind in _LINES:
                found.note(_NO_AREA, path)
            elif kind in _REGION:
                regions.append((label.strip(), _REGION[kind](corners, shape, where)))
            else:
                raise Malformed(f"{where}: {kind[:50]!r} is no known shape_type; expected {', '.join(_REGION)}")
    check_amount(regions, points)
    return frozenset(labels), tuple(regions)


def _points(points: Any, where: str) -> list[tuple[float, float]]:
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise Malformed(f"{where}: expected points [[x, y], …]")
    return [(number(x, where), number(y, where)) for x, y in points]


def _two(points: list[tuple[float, float]], where: str) -> Iterator[float]:
    if len(points) != 2:
        raise Malformed(f"{where}: expected two points, got {len(points)}")
    return (value for point in points for value in point)


def _polygon(points: list[tuple[float, float]], shape: Any, where: str) -> Any:
    if len(points) < 3:
        raise Malformed(f"{where}: expected a polygon of 3 points or more, got {len(points)}")
    return [[value for point in points for value in point]]


def _rectangle(points: list[tuple[float, float]], shape: Any, where: str) -> Any:
    if len(points) == 4:  # as X-AnyLabeling writes it
        return _polygon(points, shape, where)
    return shapes.box(*_two(points, where))


def _circle(points: list[tuple[float, float]], shape: Any, where: str) -> Any:
    x, y, edge_x, edge_y = _two(points, where)
    radius = math.hypot(edge_x - x, edge_y - y)
    if not 0 < radius < 1e6:
        raise Malformed(f"{where}: expected a circle with a radius above 0")
    return shapes.ellipse(x, y, radius, radius)


def _mask(points: list[tuple[float, float]], shape: Any, where: str) -> Any:
    """A bitmap, whose first and last pixel the points name."""
    corners = list(_two(points, where))
    if not all(value.is_integer() and abs(value) < 1e6 for value in corners) or not isinstance(shape.get("mask"), str):
        raise Malformed(f"{where}: expected a mask in base64, and the whole numbers of its first and last pixel")
    left, top, right, bottom = map(int, corners)
    return shapes.bitmap(left, top, right - left + 1, bottom - top + 1, shape["mask"])


_REGION: dict[str, Callable[[list[tuple[float, float]], Any, str], Any]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "circle": _circle,
    "mask": _mask,
    "rotation": _polygon,
}
