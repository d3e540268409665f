"""Regions of an image: polygons, run lengths, ellipses and bitmaps, their form as JSON, and painting them.

A pixel belongs to a polygon or an ellipse when its centre lies inside; pixel (x, y) covers [x, x+1) x [y, y+1).
"""

from __future__ import annotations

from components.data.regions.coco import area, dump, flaw, load
from components.data.regions.painting import paint
from components.data.regions.polygons import MOST_POINTS

__all__ = ["MOST_POINTS", "area", "dump", "flaw", "load", "paint"]
