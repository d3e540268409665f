"""A data set as people have it on disk -> `Dataset`: records, labels, and what was left out. One module a layout."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from components.errors import ImagegateError

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
    """

    root: str
    labels: tuple[str, ...]
    records: tuple[Record, ...]
    fractions: dict[str, float]
    rejected: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = field(default=())

    def fingerprint(self) -> str:
        """SHA-256 over what the listing says: any file added, removed, changed, moved or re-labelled changes it."""
        digest = hashlib.sha256(repr((self.labels, sorted(self.fractions.items()), self.rejected)).encode())
        for r in self.records:
            digest.update(
                f"{r.path}\0{r.size}\0{r.version}\0{r.labels}\0{r.split}\n".encode("utf-8", "surrogateescape")
            )
        return digest.hexdigest()


def label_name(raw: str, where: str) -> str:
    """The label that a folder or cell named `raw` means: Unicode NFC, so that macOS and Linux agree.

    Raises:
        LayoutError: the name is empty, not valid UTF-8, or holds control characters.
    """
    name = unicodedata.normalize("NFC", raw)
    if not name.strip() or not name.isprintable():  # isprintable is False for surrogates: undecodable bytes
        raise LayoutError(
            f"{where}: {raw!a} cannot be a label name: expected printable UTF-8 text that is not blank; rename it"
        )
    return name


def ordered_labels(found: set[str], names: Sequence[str] | None, where: str) -> tuple[str, ...]:
    """Labels in output order: `names` where configured (all that is `found` must be among them), else sorted.

    Raises:
        LayoutError: a found label is not in `names`.
    """
    if names is None:
        return tuple(sorted(found))
    names = [unicodedata.normalize("NFC", name) for name in names]
    strange = sorted(found - set(names))
    if strange:
        raise LayoutError(
            f"{where}: found the label{'s' if len(strange) > 1 else ''} {', '.join(map(repr, strange))}, "
            f"but labels.names lists only {', '.join(map(repr, names))}; add it there or move its images away"
        )
    return tuple(names)
