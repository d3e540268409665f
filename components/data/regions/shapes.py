"""Shapes that COCO's format does not have: made from annotations by `relative`, `rows`, `ellipse`, `bitmap`, `brush`.

Each function returns plain values for `regions.dump`; `paint` checks whatever depends on the size of the image.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from components.data.images import BadImage
from components.data.regions import brushes, polygons

Canvas = NDArray[np.uint8]
Shape = dict[str, Any]

KIND = "kind"  # the key that only these shapes have
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def relative(polygon: Sequence[float]) -> Shape:
    """A polygon [x1, y1, x2, y2, …] whose coordinates are shares of the image's width and height."""
    return {KIND: "relative", "polygon": list(polygon)}


def rows(left: int, top: int, width: int, height: int, counts: str) -> Shape:
    """A mask in a box, as run lengths by rows, such as "2, 3, 1": runs of 0 and 1 alternate, starting with 0."""
    return {KIND: "rows", "box": [left, top, width, height], "counts": counts}


def ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0) -> Shape:
    """An ellipse around (x, y), in pixels, turned clockwise by `degrees`."""
    return {KIND: "ellipse", "at": [x, y], "radii": [radius_x, radius_y], "degrees": degrees}


def bitmap(left: int, top: int, width: int, height: int, png: str) -> Shape:
    """A mask in a box, as a PNG file in base64; its pixels above 0 belong to the region."""
    return {KIND: "bitmap", "box": [left, top, width, height], "png": png}


def brush(width: int, height: int, packed: bytes) -> Shape:
    """A mask of the whole image as Label Studio packs it; see `brushes.unpack`."""
    return {KIND: "brush", "size": [width, height], "packed": base64.b64encode(packed).decode()}


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    """A rectangle as COCO's polygons.

    >>> box(0, 1, 4, 3)
    [[0, 1, 4, 1, 4, 3, 0, 3]]
    """
    return [[left, top, right, top, right, bottom, left, bottom]]


def turned(polygon: Sequence[float], x: float, y: float, degrees: float) -> list[float]:
    """The polygon [x1, y1, x2, y2, …], turned clockwise around (x, y); exact for quarter turns.

    >>> turned([3, 1], 1, 1, 90)
    [1.0, 3.0]
    """
    cosine, sine = (round(f(math.radians(degrees)), 12) for f in (math.cos, math.sin))
    points = zip(polygon[0::2], polygon[1::2], strict=True)
    pairs = [(x + (px - x) * cosine - (py - y) * sine, y + (px - x) * sine + (py - y) * cosine) for px, py in points]
    return [value for pair in pairs for value in pair]


def paint(canvas: Canvas, shape: Shape, value: int) -> None:
    """Sets the pixels of a shape to `value`, in place.

    Raises:
        BadImage: the shape is malformed, or does not fit into the image.
    """
    _PAINT[shape[KIND]](canvas, shape, value)


def _relative(canvas: Canvas, shape: Shape, value: int) -> None:
    height, width = canvas.shape
    polygon = np.asarray(shape["polygon"], np.float64)
    polygons.fill(canvas, polygon * np.tile([width, height], len(polygon) // 2), value)


def _rows(canvas: Canvas, shape: Shape, value: int) -> None:
    window = _window(canvas, shape["box"])
    try:
        counts = np.array([int(count) for count in shape["counts"].split(",")], np.int64)
    except (ValueError, OverflowError):
        raise BadImage("a malformed region: run lengths must be whole numbers, separated by commas") from None
    if counts.min() < 0 or counts.max() > window.size or counts.sum() != window.size:
        raise BadImage(
            f"a malformed region: run lengths must be 0 or more and sum to {window.size:,} pixels of its box"
        )
    window[np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(window.shape)] = value


def _ellipse(canvas: Canvas, shape: Shape, value: int) -> None:
    (x, y), (radius_x, radius_y) = shape["at"], shape["radii"]
    if not (0 < radius_x < 1e6 and 0 < radius_y < 1e6):
        raise BadImage("a malformed region: the radii of a circle or ellipse must be above 0")
    farthest = max(radius_x, radius_y)
    height, width = canvas.shape
    top, bottom = (int(np.clip(edge, 0, height)) for edge in (y - farthest, y + farthest + 1))
    left, right = (int(np.clip(edge, 0, width)) for edge in (x - farthest, x + farthest + 1))
    down, across = np.ogrid[top:bottom, left:right]
    dx, dy = across + 0.5 - x, down + 0.5 - y
    cosine, sine = math.cos(math.radians(shape["degrees"])), math.sin(math.radians(shape["degrees"]))
    along, beside = dx * cosine + dy * sine, dy * cosine - dx * sine
    canvas[top:bottom, left:right][(along / radius_x) ** 2 + (beside / radius_y) ** 2 <= 1] = value


def _bitmap(canvas: Canvas, shape: Shape, value: int) -> None:
    window = _window(canvas, shape["box"])
    try:
        data = base64.b64decode(shape["png"], validate=True)
    except (ValueError, binascii.Error):
        raise BadImage("a malformed region: its mask is not in base64") from None
    if not data.startswith(_SIGNATURE):
        raise BadImage("a malformed region: its mask is not a PNG file")
    try:
        with Pillow.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size != window.shape[::-1]:
                raise BadImage(f"a malformed region: its mask has the size {image.size}, its box {window.shape[::-1]}")
            inside = np.asarray(image.convert("1" if image.mode == "1" else "L")) > 0
    except BadImage:
        raise
    except Exception as error:  # whatever a broken file makes Pillow raise
        raise BadImage(f"a malformed region: its mask cannot be decoded: {error or type(error).__name__}") from error
    window[inside] = value


def _brush(canvas: Canvas, shape: Shape, value: int) -> None:
    if shape["size"] != list(canvas.shape[::-1]):
        raise BadImage(f"a region is for {shape['size']} pixels (width, height), not for {list(canvas.shape[::-1])}")
    canvas[brushes.unpack(base64.b64decode(shape["packed"]), *canvas.shape)] = value


def _window(canvas: Canvas, box: Sequence[int]) -> Canvas:
    """The part of the canvas that a box (left, top, width, height) covers."""
    left, top, width, height = box
    window = canvas[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    if not window.size or window.shape != (height, width):
        raise BadImage(f"a region's box (left, top, width, height: {box}) is not inside the image")
    return window


_PAINT: dict[str, Callable[[Canvas, Shape, int], None]] = {
    "relative": _relative,
    "rows": _rows,
    "ellipse": _ellipse,
    "bitmap": _bitmap,
    "brush": _brush,
}
