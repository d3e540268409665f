"""Moments of a sequence side by side, as one picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow

from components.data.arrays import composite, curves, stored
from components.data.manifest import ArrayFacts
from components.report import pictures

_FRAMES = 8  # of a strip, at most
_SIDE = 72  # pixels of the longer side of a frame, at most
_GAP = 1  # pixels on either side of a frame, so that all have the same place in their part of the picture


@dataclass(frozen=True)
class Strip:
    """Frames side by side.

    Attributes:
        picture: mode RGBA, transparent between the frames.
        days: what to write below each frame: its date, or the number of the moment.
        moments: of the sequence, those with a valid pixel, of which these are some.
    """

    picture: Pillow.Image
    days: list[str]
    moments: int


def strip(encoded: bytes, facts: ArrayFacts) -> Strip:
    """Draws up to eight moments of a stored sequence, evenly spread over those that have a valid pixel.

    Of each part of them, it draws the one with the most valid pixels, of several the first, because under clouds there
    is nothing to see.
    """
    array = stored.restored(encoded)
    valid = array.valid.sum(axis=(1, 2))
    seen = np.flatnonzero(valid)
    chosen = [int(part[valid[part].argmax()]) for part in np.array_split(seen, min(_FRAMES, len(seen)))]
    drawn = [pictures.fitted(Pillow.fromarray(one), _SIDE) for one in composite.frames(array, facts.shown, chosen)]
    frames = [np.pad(np.asarray(one.convert("RGBA")), [(0, 0), (_GAP, _GAP), (0, 0)]) for one in drawn]
    days = [curves.day(array.times[i]) if curves.dated(array) else str(i + 1) for i in chosen]
    return Strip(Pillow.fromarray(np.concatenate(frames, axis=1)), days, len(seen))


def about(facts: ArrayFacts) -> str:
    """A sentence on what strips show; "" for single images."""
    if facts.frames is None:
        return ""
    low, high = composite.SHARES
    shown = [facts.bands[band] for band in facts.shown]
    bands = f"{shown[0]} as red, {shown[1]} as green, {shown[2]} as blue" if len(shown) == 3 else f"{shown[0]} as grey"
    return (
        f"Below each sequence are up to {_FRAMES} of its moments, with {bands}: of as many parts of equal length, the "
        "moment with the most valid pixels, with its date, or its number where no date is known. In each band, the "
        f"{low}nd percentile of the sequence's valid values is dark and the {high}th is bright, in all frames alike. "
        "Invalid pixels are hatched."
    )
