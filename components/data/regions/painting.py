"""Paints one region of any form."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.data.images import BadImage
from components.data.regions import coco, polygons, shapes


def paint(canvas: NDArray[np.uint8], segmentation: Any, value: int) -> None:
    """Sets the pixels of a region to `value`, in place.

    Args:
        canvas: uint8 [height, width].
        segmentation: COCO's: polygons, whose union is painted, or run lengths, compressed or not; or one of `shapes`.
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
    if isinstance(segmentation, dict) and shapes.KIND in segmentation:
        shapes.paint(canvas, segmentation, value)
        return
    if problem := coco.flaw(segmentation):
        raise BadImage(f"a malformed region: {problem}")
    if isinstance(segmentation, dict):
        canvas[coco.decode(segmentation, *canvas.shape)] = value
        return
    for polygon in segmentation:
        polygons.fill(canvas, np.asarray(polygon, np.float64), value)
