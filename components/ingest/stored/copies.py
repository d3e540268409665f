"""Records of earlier shards that are copied into new ones, because their images are unchanged."""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.data.dataset import SPLITS, Record
from components.data.storage.objects import Objects
from components.ingest import ledger
from components.ingest.counts import census
from components.ingest.counts.census import Report
from components.ingest.counts.facts import Facts

_HEAD, _TAIL = 12, 4  # bytes around a record: its length and the length's checksum; the record's checksum
_OPEN = 8  # files that are open at a time; there may be more of them than a process may open


@dataclass(frozen=True)
class Files:
    """The shard files of an earlier ingest.

    Attributes:
        folder: of its shards.
        paths: SHA-256 -> path of each of them.
    """

    folder: str = ""
    paths: dict[str, str] = field(default_factory=dict)


NO_FILES = Files()


class Kept(NamedTuple):
    """The record of an image in an earlier shard, and what is counted of it.

    Attributes:
        file: name of its file, below the folder of the shards.
        start: bytes before its frame.
        digest: of the content of the image's file; see `ledger.digest`.
        entry: see `census.entry_of`.
        row: its `census.ROW`.
        facts: see `facts.line`.
        moments: float64 [5, B] of an array; b"" for a photo.
    """

    file: str
    start: int
    digest: str
    entry: bytes
    row: bytes
    facts: bytes
    moments: bytes

    def plain(self) -> list[str | int]:
        """As JSON can hold it; see `of_plain`."""
        return [one if isinstance(one, str | int) else base64.b64encode(one).decode("ascii") for one in self]


class Known(NamedTuple):
    """What an earlier ingest knows of the records of a new shard.

    Attributes:
        whole: the report of an earlier shard that holds exactly these records in their splits, as JSON; or "".
        kept: number of a record -> where an earlier shard holds it.
        claims: numbers of records that are there only if their files have not changed, which nothing proves.
    """

    whole: str = ""
    kept: Mapping[int, Kept] = {}
    claims: Sequence[int] = ()

    def plain(self) -> list[object]:
        """As JSON can hold it; see `of_plain`."""
        return [self.whole, [[number, *kept.plain()] for number, kept in self.kept.items()], list(self.claims)]

    def files(self) -> list[str]:
        """The names of the files with records to copy."""
        return sorted({kept.file for kept in self.kept.values()})


def of_plain(plain: Sequence[Any]) -> Known:
    """Reads what `Known.plain` returned."""
    whole, kept, claims = plain
    return Known(
        whole,
        {
            number: Kept(file, start, digest, *map(base64.b64decode, rest))
            for number, file, start, digest, *rest in kept
        },
        claims,
    )


NOTHING = Known()


def kept(report: Report, wanted: Mapping[int, int]) -> dict[int, Kept]:
    """Finds images that a shard kept.

    Args:
        report: of the shard.
        wanted: which of the images it kept -> number in the new shard.

    Returns:
        number in the new shard -> where the record is.

    Raises:
        ValueError, KeyError: the report is damaged.
    """
    rows, stored = np.frombuffer(bytes(report.rows), census.ROW), np.frombuffer(bytes(report.stored), census.STORED)
    facts = bytes(report.facts).splitlines(keepends=True)
    if not len(report.paths) == len(rows) == len(stored) == len(facts):
        raise ValueError("a report without its records")
    # Whatever the report says, a name leads nowhere else.
    files = {f.split: f"Split-{f.split}/{os.path.basename(f.name)}" for f in report.files if f.split in SPLITS}
    starts, moments = _starts(stored["length"], rows["split"]), len(report.bands) // max(1, len(rows))
    return {
        number: Kept(
            files[SPLITS[rows["split"][at]]],
            int(starts[at]),
            report.digests[report.paths[at]],
            stored[at].tobytes(),
            rows[at].tobytes(),
            facts[at],
            bytes(report.bands[at * moments : (at + 1) * moments]),
        )
        for at, number in wanted.items()
    }


def _starts(lengths: NDArray[np.uint32], split: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where the frame of each record starts in the file of its split."""
    frames, starts = lengths.astype(np.int64) + _HEAD + _TAIL, np.zeros(len(lengths), np.int64)
    for one in range(len(SPLITS)):
        own = split == one
        starts[own] = frames[own].cumsum() - frames[own]
    return starts


class Taken(NamedTuple):
    """A record that is copied, with all that is counted of it.

    Attributes:
        sha256: of the image, in hexadecimal; see `splits.of_image`.
        digest: of the content of its file; see `ledger.digest`.
        facts: that are counted.
        example: the record.
        entry: see `census.entry_of`.
    """

    sha256: str
    digest: str
    facts: Facts
    example: bytes
    entry: bytes


class Copies:
    """The records to copy into one new shard. To be closed, since it opens files.

    Args:
        folder: of the earlier shards.
        known: what is known of the new shard.
        root: of the data set.
        records: of the new shard; the files of those that are only claimed are read.
        most_bytes: of an image; see `ledger.digests`.
    """

    def __init__(self, folder: str, known: Known, root: str, records: Sequence[Record], most_bytes: int) -> None:
        self._folder, self._kept, self._open = folder, dict(known.kept), dict[str, BinaryIO]()
        claimed = [records[number] for number in known.claims]
        for number, (_, digest) in zip(known.claims, ledger.digests(root, claimed, most_bytes), strict=True):
            if digest != self._kept[number].digest:
                del self._kept[number]

    def __contains__(self, number: object) -> bool:
        return number in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, number: int) -> Taken | None:
        """Reads the record with this number of the new shard.

        Returns:
            None if it is not there any more as it was written; then no record of its file is here any more.
        """
        one = self._kept[number]
        try:
            file = self._file(one.file)
            file.seek(one.start)
            length = int.from_bytes(one.entry[:4], "little")
            frame = file.read(_HEAD + length)
        except OSError:
            frame = b""
        example = frame[_HEAD:]
        if not frame or frame[:8] != struct.pack("<Q", length) or census.entry_of(example) != one.entry:
            self._kept = {number: other for number, other in self._kept.items() if other.file != one.file}
            return None
        sha256, facts = census.facts_of(np.frombuffer(one.row, census.ROW)[0], one.facts, one.moments)
        return Taken(sha256, one.digest, facts, example, one.entry)

    def _file(self, name: str) -> BinaryIO:
        if name not in self._open:
            if len(self._open) == _OPEN:
                self._open.pop(next(iter(self._open))).close()  # the first that was opened
            self._open[name] = open(os.path.join(self._folder, name), "rb")  # noqa: SIM115  closed by `close`
        return self._open[name]

    def close(self) -> None:
        """Closes the files."""
        while self._open:
            self._open.popitem()[1].close()


def fetch(store: Objects, known: Known, folder: str) -> None:
    """Fetches the files of the earlier shards that hold records to copy.

    Raises:
        OSError: one is not there, or the store cannot be reached.
    """
    for name in known.files():
        store.get(name, os.path.join(folder, name))
