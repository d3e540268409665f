"""A data set as its layout describes it: records, labels and what was left out. Nothing is read from the images yet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from components.base.errors import ImagegateError

SPLITS = ("train", "eval", "test")


class LayoutError(ImagegateError):
    """The data set is not laid out as the configuration says; part of the data gate's answers."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Record:
    """One image file and what the data set says about it; nothing of the image itself is known yet.

    Attributes:
        path: relative to the data set's root, separated by "/".
        labels: names that are known to apply to it.
        split: "train", "eval" or "test" where the data set says so, else None: the content's hash decides.
        size: bytes.
        version: changes when the file, or its mask, does; see `storage.File`.
        unknown: names of which nobody said whether they apply; they take part in no loss, weight or metric.
        weight: how much it counts in loss and metrics.
        group: records of one group land in one split; "" for a group of its own.
        slices: (column, value), sorted; what the evaluation can be sliced by.
        mask: path of its mask, relative to the root, or "".
        regions: its regions as JSON, where there is no mask file; see `masks.draw`.
    """

    path: str
    labels: tuple[str, ...]
    split: str | None
    size: int
    version: str
    unknown: tuple[str, ...] = ()
    weight: float = 1.0
    group: str = ""
    slices: tuple[tuple[str, str], ...] = ()
    mask: str = ""
    regions: str = ""


@dataclass(frozen=True)
class Dataset:
    """What a layout found.

    Attributes:
        root: folder or URL that the records' paths are relative to.
        labels: every label's name, in the order of the model's outputs.
        records: sorted by path.
        fractions: share of each split among the records that name none; sums to 1.
        rejected: (path, reason) of files that must not be read.
        ignored: paths of files that no rule of the layout gives a meaning.
        contradictory: (path, reason) of those of `rejected` of which different things are said, each file once.
    """

    root: str
    labels: tuple[str, ...]
    records: tuple[Record, ...]
    fractions: dict[str, float]
    rejected: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = field(default=())
    contradictory: tuple[tuple[str, str], ...] = ()

    def fingerprint(self) -> str:
        """SHA-256 over what the listing says: any file added, removed, changed, moved or re-labelled changes it."""
        digest = hashlib.sha256(repr((self.labels, sorted(self.fractions.items()), self.rejected)).encode())
        for record in self.records:
            digest.update(repr(record).encode())  # every field, whatever is added; escapes undecodable file names
        return digest.hexdigest()
