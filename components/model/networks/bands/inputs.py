"""What a network takes of an array."""

from __future__ import annotations

from typing import Any

from components.data.manifest import ArrayFacts
from components.model.networks.bands import DAYS, PIXELS, VALID


def shape(told: ArrayFacts) -> tuple[int, int, int, int]:
    """T, H, W and B of arrays."""
    return told.frames or 1, told.height, told.width, len(told.bands)


def given(array: tuple[Any, Any, Any], told: ArrayFacts) -> dict[str, Any]:
    """What a network takes of a decoded array, see `stored.decode`."""
    pixels, valid, days = array
    if told.frames is None:
        return {PIXELS: pixels[0], VALID: valid[0]}
    return {PIXELS: pixels, VALID: valid, DAYS: days}
