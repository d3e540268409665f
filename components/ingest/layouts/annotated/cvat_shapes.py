"""The shapes of one image in CVAT's XML, and their regions.

CVAT's run lengths are of the mask within its box, by rows; those of COCO are of the whole image, by columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from xml.etree.ElementTree import Element

from components.data.regions import shapes
from components.ingest.layouts.annotated.shared.entries import Entry, Malformed, Wanted, check_amount, number

_WITHOUT_AREA = ("polyline", "points", "cuboid", "skeleton")


@dataclass(frozen=True, slots=True)
class Drawn:
    """An image with its shapes.

    Attributes:
        entry: the image, with its size and regions.
        tags: labels of the whole image.
        drawn: labels of shapes; for segmentation only of those that cover pixels.
        shapes: number of shapes.
        without_area: number of shapes that cover no pixels.
    """

    entry: Entry
    tags: frozenset[str] = frozenset()
    drawn: frozenset[str] = frozenset()
    shapes: int = 0
    without_area: int = 0

    def entry_of(self, labels: frozenset[str]) -> Entry:
        """The entry with these labels."""
        return replace(self.entry, labels=labels)


def read(image: Element, entry: Entry, wanted: Wanted) -> Drawn:
    """Reads the tags and shapes of an <image>.

    Shapes are drawn by `z_order`; of equal ones, the one that comes first in the file is below.

    Raises:
        Malformed: a shape has no label, or its form is broken.
    """
    tags, labels, without_area, count = set(), set(), 0, 0
    regions: list[tuple[float, str, Any]] = []
    points = 0
    for position, shape in enumerate(image, 1):
        where = f"{shape.tag} {position}"
        label = shape.get("label", "").strip()
        if not label:
            raise Malformed(f"{where}: has no label")
        if shape.tag == "tag":
            tags.add(label)
            continue
        count += 1
        if wanted.per_pixel and shape.tag in _WITHOUT_AREA:
            without_area += 1
            continue
        labels.add(label)
        if wanted.per_pixel:
            if shape.tag not in _REGION:
                raise Malformed(f"{where}: is no known shape; expected {', '.join(_REGION)}")
            region = _REGION[shape.tag](shape, where)
            points += len(region[0]) // 2 if isinstance(region, list) else 0
            regions.append((number(shape.get("z_order", "0"), f"{where}: z_order"), label, region))
    check_amount([(label, region) for _, label, region in regions], points)
    ordered = tuple((label, region) for _, label, region in sorted(regions, key=lambda drawn: drawn[0]))
    entry = replace(entry, size=_size(image), regions=ordered) if wanted.per_pixel else entry
    return Drawn(entry, frozenset(tags), frozenset(labels), count, without_area)


def _size(image: Element) -> tuple[int, int]:
    return _whole(image, "width", "the image"), _whole(image, "height", "the image")


def _number(shape: Element, name: str, where: str, default: str | None = None) -> float:
    return number(shape.get(name, default), f"{where}: {name}")


def _whole(shape: Element, name: str, where: str) -> int:
    value = _number(shape, name, where)
    if not value.is_integer() or abs(value) > 1e9:
        raise Malformed(f"{where}: {name}: expected a whole number, got {shape.get(name)!r}")
    return int(value)


def _box(shape: Element, where: str) -> Any:
    left, top, right, bottom = (_number(shape, name, where) for name in ("xtl", "ytl", "xbr", "ybr"))
    degrees = _number(shape, "rotation", where, "0")
    box = shapes.box(left, top, right, bottom)
    return [shapes.turned(box[0], (left + right) / 2, (top + bottom) / 2, degrees)] if degrees else box


def _polygon(shape: Element, where: str) -> Any:
    pairs = [pair.split(",") for pair in shape.get("points", "").split(";")]
    if len(pairs) < 3 or any(len(pair) != 2 for pair in pairs):
        raise Malformed(f'{where}: expected points="x,y;x,y;x,y" of 3 points or more')
    return [[number(value, f"{where}: points") for pair in pairs for value in pair]]


def _ellipse(shape: Element, where: str) -> Any:
    x, y, radius_x, radius_y = (_number(shape, name, where) for name in ("cx", "cy", "rx", "ry"))
    return shapes.ellipse(x, y, radius_x, radius_y, _number(shape, "rotation", where, "0"))


def _mask(shape: Element, where: str) -> Any:
    left, top, width, height = (_whole(shape, name, where) for name in ("left", "top", "width", "height"))
    return shapes.rows(left, top, width, height, shape.get("rle", ""))


_REGION: dict[str, Callable[[Element, str], Any]] = {
    "polygon": _polygon,
    "mask": _mask,
    "box": _box,
    "ellipse": _ellipse,
}
