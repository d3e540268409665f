"""YOLO's label files: one object per line, as a box or a polygon in shares of the image's width and height."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.data.regions import shapes
from components.ingest.layouts.annotated.shared.entries import Malformed, check_amount, number

# Ultralytics accepts coordinates that are 1% outside, which rounding of tools leads to.
_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Object:
    """One line.

    Attributes:
        label: name of its class.
        where: the line, for messages.
        polygon: x1, y1, x2, y2, … from 0 to 1; empty for a box.
    """

    label: str
    where: str
    polygon: tuple[float, ...] = ()


def parse(text: str, path: str, names: Mapping[int, str], keypoints: int = 0) -> list[Object]:
    """Reads a label file.

    Args:
        text: its content.
        path: of the file, for messages.
        names: class id -> label.
        keypoints: number of values after a box that are not a polygon.

    Raises:
        Malformed: naming file and line: a value is not a number, a class id has no name, or a line has another form.

    >>> parse("1 0.5 0.5 1 1", "a.txt", {0: "cat", 1: "dog"})
    [Object(label='dog', where='line 1 of a.txt', polygon=())]
    """
    objects = []
    for position, line in enumerate(text.splitlines(), 1):
        if parts := line.split():
            objects.append(_object(parts, f"line {position} of {path}", names, keypoints))
    check_amount([(o.label, o) for o in objects], sum(len(o.polygon) // 2 for o in objects))
    return objects


def _object(parts: list[str], where: str, names: Mapping[int, str], keypoints: int) -> Object:
    key = number(parts[0], f"{where}: the class id")
    if key not in names:
        known = f"0 to {len(names) - 1}" if set(names) == set(range(len(names))) else "one of names"
        raise Malformed(f"{where}: the class id {parts[0]} has no name; expected {known}")
    values = [number(part, where) for part in parts[1:]]
    if keypoints and len(values) == 4 + keypoints:
        values = values[:4]
    if len(values) == 5:
        raise Malformed(f"{where}: has a sixth number, as predictions with a confidence have; expected annotations")
    if len(values) < 4 or len(values) % 2:
        raise Malformed(
            f"{where}: expected a class id and a box (4 numbers) or a polygon (x and y of 3 points or more), got "
            f"{len(values)} numbers after the class id"
        )
    odd = [value for value in values if not -_TOLERANCE <= value <= 1 + _TOLERANCE]
    if odd:
        raise Malformed(f"{where}: {odd[0]:g} is not from 0 to 1; expected shares of the image's width and height")
    return Object(names[int(key)], where, tuple(values) if len(values) > 4 else ())


def regions(objects: list[Object]) -> tuple[tuple[str, Any], ...]:
    """The polygons as regions, larger ones first, so that small objects lie on top; of equal ones the first is below.

    Raises:
        Malformed: one of the objects is a box.
    """
    for item in objects:
        if not item.polygon:
            raise Malformed(f"{item.where}: is a box, which does not say which of its pixels belong to the object")
    ordered = sorted(objects, key=lambda item: -_area(item.polygon))
    return tuple((item.label, shapes.relative(item.polygon)) for item in ordered)


def _area(polygon: tuple[float, ...]) -> float:
    """Twice the area, as a share of the image."""
    x, y = polygon[0::2], polygon[1::2]
    return abs(sum(x[i - 1] * y[i] - x[i] * y[i - 1] for i in range(len(x))))
