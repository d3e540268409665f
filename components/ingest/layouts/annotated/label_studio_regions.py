"""The results of one Label Studio annotation: choices, and regions with their labels and shapes.

Positions are percentages of the width and height; an angle turns clockwise, rectangles around their first corner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from components.data.regions import shapes
from components.ingest.layouts.annotated.shared.entries import Malformed, number

_MOST_SIDE = 1 << 20
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Item:
    """One result, or two that belong together: a shape and its label.

    Attributes:
        kind: "rectangle", "polygon", "brush", "ellipse", "keypoint"; "choices"; or another kind, as the file names it.
        labels: the names chosen.
        question: name of the control.
        of_region: whether choices are about one region rather than about the image.
        content: the result as in the file.
    """

    kind: str
    labels: tuple[str, ...]
    question: str
    of_region: bool
    content: Mapping[str, Any]


def items(result: Any) -> list[Item]:
    """Lists the results of an annotation.

    Raises:
        Malformed: it has another form.
    """
    if not isinstance(result, list) or not all(isinstance(entry, dict) for entry in result):
        raise Malformed("expected a list of results")
    kinds = [str(entry.get("type", "")).lower() for entry in result]
    # A plain shape and its labels are two results with the same id.
    typed = list(zip(result, kinds, strict=True))
    labels_of = {str(entry.get("id")): _labels(entry, kind) for entry, kind in typed if kind == "labels"}
    shaped = {str(entry["id"]) for entry, kind in typed if kind in _SHAPES and "id" in entry}
    labelled = {str(entry["id"]) for entry, kind in typed if kind.endswith("labels") and "id" in entry}
    found = []
    for entry, kind in typed:
        key = str(entry.get("id"))
        if kind in ("relation", "") or (kind == "labels" and key in shaped):
            continue
        labels = labels_of.get(key, ()) if kind in _SHAPES else _labels(entry, kind)
        about_region = kind == "choices" and key in shaped | labelled
        name = kind if kind == "labels" else kind.removesuffix("labels")
        found.append(Item(name, labels, str(entry.get("from_name", "")), about_region, entry))
    return found


def region(item: Item) -> tuple[Any, Size]:
    """The region of a result, as `regions.paint` takes it, and the width and height of the image.

    Raises:
        Malformed: its form is broken, or its kind has no region.
    """
    entry = item.content
    value = entry.get("value")
    size = entry.get("original_width"), entry.get("original_height")
    if not all(type(side) is int and 0 < side < _MOST_SIDE for side in size):
        raise Malformed(f"a region has no original_width and original_height; got {str(size)[:50]}")
    if entry.get("image_rotation"):
        raise Malformed(f"was turned in Label Studio, by {str(entry['image_rotation'])[:20]} degrees; turn it back")
    if item.kind not in _SHAPES or item.kind == "keypoint" or not isinstance(value, dict):
        raise Malformed(f"a region of type {item.kind[:50]!r} cannot be drawn; expected {', '.join(_DRAW)}")
    return _DRAW[item.kind](value, size), (size[0], size[1])  # type: ignore[arg-type,return-value]


def _labels(entry: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """The names that a result chooses; empty for one that chooses none."""
    value = entry.get("value")
    names = value.get(kind) if isinstance(value, dict) else None
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(name.strip() for name in names if name.strip())


def _values(value: Mapping[str, Any], *names: str) -> list[float]:
    return [number(value.get(name), name) for name in names]


def _rectangle(value: Mapping[str, Any], size: Size) -> Any:
    x, y, width, height = _values(value, "x", "y", "width", "height")
    left, top = x * size[0] / 100, y * size[1] / 100
    box = shapes.box(left, top, left + width * size[0] / 100, top + height * size[1] / 100)
    degrees = number(value.get("rotation", 0), "rotation")
    return [shapes.turned(box[0], left, top, degrees)] if degrees else box


def _polygon(value: Mapping[str, Any], size: Size) -> Any:
    points = value.get("points")
    if not isinstance(points, list) or len(points) < 3 or not all(isinstance(p, list) and len(p) == 2 for p in points):
        raise Malformed("expected a polygon of 3 points [x, y] or more")
    return [[number(p[axis], "points") * size[axis] / 100 for p in points for axis in (0, 1)]]


def _ellipse(value: Mapping[str, Any], size: Size) -> Any:
    x, y, radius_x, radius_y = _values(value, "x", "y", "radiusX", "radiusY")
    degrees = number(value.get("rotation", 0), "rotation")
    return shapes.ellipse(
        x * size[0] / 100, y * size[1] / 100, radius_x * size[0] / 100, radius_y * size[1] / 100, degrees
    )


def _brush(value: Mapping[str, Any], size: Size) -> Any:
    packed = value.get("rle")
    if value.get("format", "rle") != "rle" or not isinstance(packed, list):
        raise Malformed('expected a brush with format "rle" and a list of bytes')
    try:
        return shapes.brush(*size, bytes(packed))
    except (TypeError, ValueError):
        raise Malformed("expected the rle of a brush to hold numbers from 0 to 255") from None


_DRAW: dict[str, Callable[[Mapping[str, Any], Size], Any]] = {
    "rectangle": _rectangle,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "brush": _brush,
}
_SHAPES = (*_DRAW, "keypoint")
