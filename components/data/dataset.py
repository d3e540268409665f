"""A data set as its layout describes it: records, labels and rejected files. No image has been read yet."""

from __future__ import annotations

import functools
import hashlib
import itertools
import operator
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import overload

from components.base.compact.packed import Packed
from components.base.errors import ImagegateError

SPLITS = ("train", "eval", "test")
UNLABELLED = "unlabelled"  # the split of images without labels, which lie in a folder of their own


class LayoutError(ImagegateError):
    """The files of the data set do not fit the configured layout. The data gate reports it."""

    exit_code = 3


def label_name(raw: str, where: str) -> str:
    """Normalises the name of a folder or cell to a label: trimmed, and Unicode NFC, so that macOS and Linux agree.

    >>> label_name("cafe\\u0301 ", "folder") == "caf\\u00e9"  # a letter with a combining accent becomes one character
    True

    Raises:
        LayoutError: the name is blank, not valid UTF-8, or contains control characters.
    """
    name = unicodedata.normalize("NFC", raw).strip()
    if not name or not name.isprintable():  # isprintable is False for surrogates: undecodable bytes
        raise LayoutError(
            f"{where}: {raw!a} cannot be a label name: expected printable UTF-8 text that is not blank; rename it"
        )
    return name


def lookalikes(names: Iterable[str]) -> tuple[str, str] | None:
    """Finds two names that differ only in case or blanks, which nobody means as two labels.

    >>> lookalikes(["cat", "polar bear", "Polar  Bear"])
    ('polar bear', 'Polar  Bear')
    """
    first: dict[str, str] = {}
    for name in map(functools.partial(unicodedata.normalize, "NFC"), names):
        if (other := first.setdefault(" ".join(name.casefold().split()), name)) != name:
            return other, name
    return None


@dataclass(frozen=True, slots=True)
class Record:
    """One image file and its annotations; the image itself has not been read yet.

    Attributes:
        path: relative to the data set's root, separated by "/".
        labels: the labels that are known to apply.
        split: "train", "eval" or "test" where the data set defines it, else None: the hash of the content decides.
        size: bytes.
        version: text that changes when the file or its mask does; see `base.proof`.
        unknown: labels that are not known to apply or not to; excluded from loss, weights and metrics.
        weight: of the image in loss and metrics.
        group: records of one group are put into the same split; "" for a group of its own.
        slices: (column, value), sorted, by which the evaluation can be sliced.
        mask: path of the mask, relative to the root, or "".
        regions: the regions as JSON, where there is no mask file; see `masks.draw`.
        tile: top and left of the tile of the file that it is, see `arrays.tiles`; (): the whole file.
        moments: paths and times of the files of a sequence, where a table names them; see `storage.bundles`.
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
    moments: tuple[tuple[str, float | None], ...] = ()
    tile: tuple[int, ...] = ()

    @property
    def file(self) -> str:
        """Path of its file, which is that of the record but for a tile."""
        return self.path.rpartition("@")[0] if self.tile else self.path


_PATH = operator.attrgetter("path")
_BUT_VERSION = tuple(f.name for f in fields(Record) if f.name != "version")


def by_path(records: Iterable[Record]) -> Packed[Record]:
    """Sorts records by path. They are packed, since a data set may have millions of them."""
    return Packed.ordered(Record, records, key=_PATH)


def in_order(records: Sequence[Record]) -> Packed[Record]:
    """The same records by path; those of a listing are in order already."""
    if isinstance(records, Packed) and all(one <= other for one, other in itertools.pairwise(Paths(records))):
        return records
    return by_path(records)


def packed(records: Iterable[Record]) -> Packed[Record]:
    """The same records, packed."""
    return records if isinstance(records, Packed) else Packed(Record, records)


class Paths(Sequence[str]):
    """The paths of records."""

    def __init__(self, records: Packed[Record]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [record.path for record in self._records[place]]
        return self._records[place].path

    def __iter__(self) -> Iterator[str]:
        return (path for (path,) in self._records.values("path"))


@dataclass(frozen=True)
class Dataset:
    """The records of a data set, and the files that are not among them.

    Attributes:
        root: folder or URL that the records' paths are relative to.
        labels: every label's name, in the order of the model's outputs.
        records: sorted by path, and packed where there may be millions.
        fractions: share of each split among the records that name none; sums to 1.
        rejected: (path, reason) of files that must not be used.
        ignored: paths of files that no rule of the layout matches.
        contradictory: (path, reason) of the files among `rejected` that have contradictory annotations, each once.
        notes: one sentence, with a count, for each kind of thing that the layout left out, merged or guessed.
        excluded: (path, reason) of the files that `data.exclude` leaves out, sorted.
    """

    root: str
    labels: tuple[str, ...]
    records: Sequence[Record]
    fractions: dict[str, float]
    rejected: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = field(default=())
    contradictory: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    excluded: tuple[tuple[str, str], ...] = ()

    def fingerprint(self, versions: Iterable[str] | None = None) -> str:
        """SHA-256 over the listing, which changes when a file is added, removed, changed, moved or relabelled.

        Args:
            versions: for each record what takes the place of its version; None: the versions themselves, which a copy
                of the data set does not have.
        """
        digest = hashlib.sha256(
            repr((self.labels, sorted(self.fractions.items()), self.rejected, self.excluded)).encode()
        )
        records = packed(self.records)
        own = (version for (version,) in records.values("version"))
        for rest, version in zip(records.values(*_BUT_VERSION), own if versions is None else versions, strict=True):
            # `repr` covers fields added later, and escapes undecodable file names.
            digest.update(repr((rest, version)).encode())
        return digest.hexdigest()

    def outline(self) -> str:
        """The fingerprint of the listing without versions."""
        return self.fingerprint(itertools.repeat("", len(self.records)))
