"""The settings with which images without labels are read."""

from __future__ import annotations

from components.base.values import Fraction, Value


class Pool(Value):
    """Images without labels to read, as plain values.

    Attributes:
        root: `data.unlabelled`, absolute.
        max_pixels: `data.max_pixels`.
        bits: `data.bits`.
        distance: `balance.near_duplicate_distance`; None: only equal files are found again.
        max_bad_fraction: `data.max_bad_fraction`.
        skipped: (key, place) of the project's own folders and files inside `root`; absolute.
    """

    root: str
    max_pixels: int
    bits: int | None = None
    distance: int | None = None
    max_bad_fraction: Fraction | None = None
    skipped: tuple[tuple[str, str], ...] = ()
