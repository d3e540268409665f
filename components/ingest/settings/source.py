"""A data set to read: the settings from all sections that ingest needs, as plain values."""

from __future__ import annotations

from components.base.values import Fraction, Value
from components.ingest.settings.data import Data, Exclusion
from components.ingest.settings.labels import Labels


class NearLimits(Value):
    """Which images are nearly equal, and how many of a split may move to train for it.

    Attributes:
        distance: `balance.near_duplicate_distance`.
        max_share: `balance.max_near_duplicates`.
    """

    distance: int
    max_share: Fraction | None


class Source(Value):
    """A data set to read: the sections `data` and `labels`, and facts of other sections. `data.root` is absolute.

    Attributes:
        exclusive, per_pixel: as in `LabelKind`, which is not passed whole: a new metric must not read the data again.
        exclude: the rows of `data.exclude`.
        near: None if nearly equal images may be in different splits.
        skipped: (key, place) of the project's own folders and files inside `data.root`, such as its runs; absolute.
        pool: where the folder of images without labels lies inside `data.root`, or `data.root` if it lies in that
            folder; absolute. With the layout `folders`, it is among `skipped` instead.
    """

    exclusive: bool
    per_pixel: bool
    data: Data
    labels: Labels
    near: NearLimits | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    pool: tuple[str, ...] = ()
    exclude: tuple[Exclusion, ...] = ()
