"""Records of earlier shards that are copied into new ones, because their images are unchanged."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
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


class Place(NamedTuple):
    """Where the record of an image is: in which of several shards, and which of the images kept there it is."""

    part: int
    number: int


class Known(NamedTuple):
    """What an earlier ingest knows of the records of a new shard.

    Attributes:
        whole: the report of an earlier shard that holds exactly these records in their splits, as JSON; or "".
        parts: the reports of earlier shards that hold some of these records, as JSON.
        places: number of a record -> where it is in `parts`.
        claims: numbers of records that are there only if their files have not changed, which nothing proves.
    """

    whole: str = ""
    parts: Sequence[str] = ()
    places: Mapping[int, Place] = {}
    claims: Sequence[int] = ()

    def plain(self) -> list[object]:
        """As JSON can hold it; see `of_plain`."""
        places = [[number, *place] for number, place in self.places.items()]
        return [self.whole, list(self.parts), places, list(self.claims)]


def of_plain(plain: Sequence[Any]) -> Known:
    """Reads what `Known.plain` returned."""
    whole, parts, places, claims = plain
    return Known(whole, parts, {number: Place(part, at) for number, part, at in places}, claims)


NOTHING = Known()


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


class _Part:
    """The images that an earlier shard kept."""

    def __init__(self, report: Report) -> None:
        self.paths, self.digests, self.known = report.paths, report.digests, report.known()
        self.stored = np.frombuffer(bytes(report.stored), census.STORED)
        self.split = np.frombuffer(bytes(report.rows), census.ROW)["split"]
        self.files = _files(report)
        if len(self.stored) != len(self.paths):
            raise ValueError("a report without its records")
        self.ends = _ends(self.stored["length"], self.split)


def _ends(lengths: NDArray[np.uint32], split: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where each record ends in the file of its split, with its frame."""
    ends = np.zeros(len(lengths), np.int64)
    for one in range(len(SPLITS)):
        own = split == one
        ends[own] = (lengths[own].astype(np.int64) + _HEAD + _TAIL).cumsum()
    return ends


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
        self._folder, self._open, self._files = folder, ExitStack(), dict[str, BinaryIO]()
        self._parts: list[_Part] = []
        self._places = dict(known.places)
        try:
            self._parts = [_Part(Report.from_json(part)) for part in known.parts]
        except (ValueError, KeyError, TypeError):
            self._places = {}  # damaged
            return
        claimed = [records[number] for number in known.claims]
        for number, (_, digest) in zip(known.claims, ledger.digests(root, claimed, most_bytes), strict=True):
            part, at = self._places[number]
            if digest != self._parts[part].digests[self._parts[part].paths[at]]:
                del self._places[number]

    def __contains__(self, number: object) -> bool:
        return number in self._places

    def __len__(self) -> int:
        return len(self._places)

    def take(self, number: int) -> Taken | None:
        """Reads the record with this number of the new shard; None if it is not there any more as it was written."""
        place = self._places[number]
        part = self._parts[place.part]
        stored = part.stored[place.number]
        entry, length = stored.tobytes(), int(stored["length"])
        try:
            file = self._file(part.files[SPLITS[part.split[place.number]]])
            file.seek(int(part.ends[place.number]) - length - _TAIL - _HEAD)
            frame = file.read(_HEAD + length)
        except (OSError, KeyError):
            return None
        example = frame[_HEAD:]
        if frame[:8] != struct.pack("<Q", length) or census.entry_of(example) != entry:
            return None
        sha256, facts = part.known[place.number]
        return Taken(sha256, part.digests[part.paths[place.number]], facts, example, entry)

    def _file(self, name: str) -> BinaryIO:
        if name not in self._files:
            path = os.path.join(self._folder, name)
            self._files[name] = self._open.enter_context(open(path, "rb"))  # noqa: SIM115  closed by `close`
        return self._files[name]

    def close(self) -> None:
        """Closes the files."""
        self._open.close()


def fetch(store: Objects, known: Known, folder: str) -> None:
    """Fetches the files of the earlier shards that hold records to copy.

    Raises:
        OSError: one is not there, or the store cannot be reached.
    """
    for part in known.parts:
        for name in _files(Report.from_json(part)).values():
            store.get(name, os.path.join(folder, name))


def _files(report: Report) -> dict[str, str]:
    """The file of each split; whatever the report says, its name leads nowhere else."""
    return {f.split: f"Split-{f.split}/{os.path.basename(f.name)}" for f in report.files if f.split in SPLITS}
