"""The ledger beside the shards: which content ingest read under each path, and what proves that it is still there.

A later run finds by it that nothing changed. Where the proof of a file differs, as in a copy of the data set, or where
there is none, the file is read; equal content is then no change.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import os
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from components.base import proof
from components.base.artifact_files import LEDGER
from components.base.compact.packed import Packed
from components.base.compact.places import Places
from components.base.files import replacing
from components.base.values import parsed_json
from components.data import storage
from components.data.dataset import Dataset, Paths, Record, packed
from components.ingest import splits

ANEW = "anew-"  # with this begins the key of an ingest that takes nothing from earlier ones
_UNKNOWN = "0" * 64  # as long as a fingerprint
UNREAD = ""  # digest of a file that could not be read
_READERS = 16  # threads, where files are waited for
SAMPLE = 16  # files that say how the others are read
WAIT = 0.002  # seconds to read a file, from which threads wait side by side; chosen by hand; not measured
_MOST = 10  # ledgers that are looked at


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a record: a version of "" proves nothing, a digest of `UNREAD` says that it was not read."""

    path: str
    version: str
    digest: str


def _entry(line: str | bytes) -> Entry:
    match parsed_json(line):
        case [str(path), str(version), str(digest)]:
            return Entry(path, version, digest)
    raise ValueError("not an entry of a ledger")


class Proofs:
    """The entries of a ledger, looked up in the file."""

    def __init__(self, file: str) -> None:
        self._file = file
        starts = array("Q")

        def paths() -> Iterator[str]:
            del starts[:]
            with open(file, "rb") as f:
                start = len(f.readline())
                for line in f:
                    starts.append(start)
                    start += len(line)
                    yield _entry(line).path

        count = sum(1 for _ in paths())
        self._places, self._starts = Places(paths(), count), starts

    def find(self, paths: Sequence[str]) -> list[Entry | None]:
        """What is known of these paths."""
        found: list[Entry | None] = []
        with open(self._file, "rb") as f:
            for path, place in zip(paths, self._places.find(paths).tolist(), strict=True):
                entry = None
                if place >= 0:
                    f.seek(self._starts[place])
                    entry = _entry(f.readline())
                found.append(entry if entry is not None and entry.path == path else None)
        return found


@dataclass(frozen=True)
class Ledger:
    """What one ingest read.

    Attributes:
        folder: of the shards.
        key: the fingerprint of the data under which its results are cached.
        outline: fingerprint of the listing without versions.
        content: fingerprint of the listing with digests in the place of versions.
    """

    folder: str
    key: str
    outline: str
    content: str

    def entries(self) -> Iterator[Entry]:
        """Yields what is known of each record, in the order of their paths.

        Raises:
            ValueError: the file is damaged.
        """
        with open(os.path.join(self.folder, LEDGER), encoding="ascii") as f:
            f.readline()
            yield from map(_entry, f)

    def proofs(self) -> Proofs:
        """What is known of each record, by path.

        Raises:
            ValueError: the file is damaged.
        """
        return Proofs(os.path.join(self.folder, LEDGER))


@dataclass(frozen=True)
class Recognised:
    """What is known of a data set before it is ingested.

    Attributes:
        key: the fingerprint under which its shards are cached, or will be.
        content: see `Ledger.content`; "" if no ledger holds these contents.
    """

    key: str
    content: str = ""


def digest(sha256: str, mask: bytes | None) -> str:
    """The digest of a record's content: that of the image, and if there is a mask, behind it that of the mask."""
    return sha256 if mask is None else f"{sha256} {splits.digest(mask)}"


def write(
    folder: str, key: str, listed: Dataset, again: Iterable[tuple[str, str]], digests: Iterable[tuple[str, str]]
) -> None:
    """Writes the ledger of an ingest.

    Args:
        folder: of the shards.
        key: see `Ledger.key`.
        listed: the listing before the files were read.
        again: (path, version), by path, from a listing after they were read. Only a file whose version is the same in
            both was read as the version says.
        digests: (path, `digest`), or `UNREAD` in its place, in any order.
    """
    read = Packed.ordered(_Read, itertools.starmap(_Read, digests), key=lambda one: one.path)

    records = packed(listed.records)

    def entries() -> Iterator[Entry]:
        later = _beside(Paths(records), again)
        contents = _beside(Paths(records), read.values("path", "digest"))
        for (path, version), one, digest in zip(records.values("path", "version"), later, contents, strict=True):
            proven = bool(digest) and one == version and proof.proves(version)
            yield Entry(path, version if proven else "", digest or UNREAD)

    def written(file: TextIO) -> Iterator[str]:
        for entry in entries():
            file.write(_line(entry))
            yield entry.digest

    ledger = Ledger(folder, key, listed.outline(), _UNKNOWN)
    with _replacing(ledger) as f:
        content = listed.fingerprint(written(f))  # known when the last entry is written
        f.seek(0)
        f.write(_head(replace(ledger, content=content)))


@dataclass(frozen=True, slots=True)
class _Read:
    """The digest of a record that was read."""

    path: str
    digest: str


def _beside(paths: Iterable[str], pairs: Iterable[tuple[Any, ...]]) -> Iterator[str | None]:
    """For each path the value of the pair with this path, or None; both are in the order of the paths."""
    rest = iter(pairs)
    key, value = next(rest, (None, None))
    for path in paths:
        while key is not None and key < path:
            key, value = next(rest, (None, None))
        yield value if key == path else None


@contextlib.contextmanager
def _replacing(ledger: Ledger) -> Iterator[TextIO]:
    """Yields the file that takes the place of the ledger's; its head is written already."""
    path = os.path.join(ledger.folder, LEDGER)
    with replacing(path) as temporary, open(temporary, "w", encoding="ascii") as f:
        f.write(_head(ledger))
        yield f


def _head(ledger: Ledger) -> str:
    return json.dumps({"key": ledger.key, "outline": ledger.outline, "content": ledger.content}) + "\n"


def _line(entry: Entry) -> str:
    return json.dumps([entry.path, entry.version, entry.digest]) + "\n"


def read(folders: Iterable[str]) -> list[Ledger]:
    """Reads the ledgers in these folders of shards, in their order; skips those that are missing or damaged.

    Of several with one key, the last counts: the others are of ingests that were killed.
    """
    found: dict[str, Ledger] = {}
    for folder in folders:
        try:
            with open(os.path.join(folder, LEDGER), encoding="ascii") as f:
                head = parsed_json(f.readline())
            ledger = Ledger(folder, str(head["key"]), str(head["outline"]), str(head["content"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found.pop(ledger.key, None)
        found[ledger.key] = ledger
    return list(found.values())


def recognise(dataset: Dataset, ledgers: Sequence[Ledger], *, most_bytes: int, anew: bool = False) -> Recognised:
    """Finds the ingest that read exactly this data set, or else a key that no ingest has had.

    Only where all paths, sizes and labels are those of a ledger are files read, and only those without proof. A ledger
    whose proofs were refreshed by reading is written anew, so that the next time proves them.

    Args:
        dataset: the listing.
        ledgers: of earlier ingests, the newest last.
        most_bytes: of an image; larger ones are not read, in ingest neither.
        anew: find a key that no ingest has had in any case, and that begins with `ANEW`.
    """
    outline, found = dataset.outline(), _Found(len(dataset.records))
    for ledger in [] if anew else [one for one in reversed(ledgers) if one.outline == outline][:_MOST]:
        if _holds(ledger, dataset, found, most_bytes):
            return Recognised(ledger.key, ledger.content)
    key, used = ANEW * anew + dataset.fingerprint(), {ledger.key for ledger in ledgers}
    while key in used:
        key = ANEW * anew + splits.digest(key.encode())
    return Recognised(key)


class _Found:
    """Digests of digests of what had to be read, by the number of the record; those of few take little room."""

    def __init__(self, records: int) -> None:
        self._records = records
        self._digests: NDArray[np.uint8] | None = None

    def enter(self, number: int, digest: str) -> None:
        if self._digests is None:
            self._digests = np.zeros((self._records, 32), np.uint8)
        self._digests[number] = np.frombuffer(hashlib.sha256(digest.encode()).digest(), np.uint8)

    def has(self, number: int) -> bool:
        return self._digests is not None and bool(self._digests[number].any())

    def is_other(self, number: int, digest: str) -> bool:
        """Whether something else was read."""
        told = hashlib.sha256(digest.encode()).digest()
        return self._digests is not None and self.has(number) and self._digests[number].tobytes() != told


def _holds(ledger: Ledger, dataset: Dataset, found: _Found, most_bytes: int) -> bool:
    """Whether every content is that of the ledger; adds what had to be read to `found`."""

    def unproven() -> Iterator[tuple[int, Record, Entry]]:
        # Their outlines are equal, so they have the same paths.
        for number, (record, entry) in enumerate(zip(dataset.records, ledger.entries(), strict=True)):
            if not record.version or entry.version != record.version:
                yield number, record, entry

    try:
        doubtful = False
        for number, _, entry in unproven():
            doubtful = True
            if found.is_other(number, entry.digest):
                return False
        # Two at a time: one tells what to read, the other what to compare it with.
        asked = (record for number, record, _ in unproven() if not found.has(number))
        unread = ((number, entry) for number, _, entry in unproven() if not found.has(number))
        for (_, content), (number, entry) in zip(digests(dataset.root, asked, most_bytes), unread, strict=True):
            found.enter(number, content)
            if entry.digest != content:
                return False
        if doubtful:
            with _replacing(ledger) as f:
                f.writelines(map(_line, map(_refreshed, dataset.records, ledger.entries())))
    except (OSError, ValueError):
        return False
    return True


def _refreshed(record: Record, entry: Entry) -> Entry:
    return replace(entry, version=record.version if entry.digest and proof.proves(record.version) else "")


def digests(root: str, records: Iterable[Record], most_bytes: int) -> Iterator[tuple[Record, str]]:
    """Reads the records' files, and yields each with its `digest`, or `UNREAD`.

    Args:
        root: of the data set.
        records: their `size` decides whether they are read. Those of one file, as the tiles of a scene, follow one
            another: it is read once.
        most_bytes: see `recognise`.
    """
    drawn = functools.lru_cache(maxsize=_READERS)(functools.partial(storage.read, root))

    def of_one(group: Sequence[Record]) -> list[tuple[Record, str]]:
        """Reads a file, and the masks that belong to it."""
        found, content = [], ""
        for record in group:
            told = too_large(record)
            if record.size <= most_bytes:
                try:
                    content = content or splits.digest(storage.read(root, record.file, record.moments))
                    told = digest(content, drawn(record.mask) if record.mask else None)
                except OSError:
                    told = UNREAD
            found.append((record, told))
        return found

    groups = (list(group) for _, group in itertools.groupby(records, attrgetter("file", "moments")))
    if not storage.is_url(root):
        number, seconds = 0, 0.0
        # In threads, files that are not waited for take three times as long.
        while number < SAMPLE or seconds < number * WAIT:
            if (group := next(groups, None)) is None:
                return
            started = time.perf_counter()
            found = of_one(group)
            seconds += time.perf_counter() - started
            number += 1
            yield from found
    with ThreadPoolExecutor(_READERS) as pool:
        while some := list(itertools.islice(groups, 4 * _READERS)):  # so that a difference ends the reading soon
            for found in pool.map(of_one, some):
                yield from found


def too_large(record: Record) -> str:
    """Takes the place of the digest of an image that is too large to be read."""
    return f"{record.size} bytes"


def proven(dataset: Dataset, most_bytes: int) -> Dataset:
    """The data set with digests in the place of versions that prove nothing; for places that keep no ledger."""
    found = digests(dataset.root, (r for r in dataset.records if not proof.proves(r.version)), most_bytes)
    records = (r if proof.proves(r.version) else replace(r, version=next(found)[1]) for r in dataset.records)
    return replace(dataset, records=packed(records))
