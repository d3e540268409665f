"""The ledger beside the shards: which content ingest read under each path, and what proves that it is still there.

A later run finds by it that nothing changed. Where the proof of a file differs, as in a copy of the data set, or where
there is none, the file is read; equal content is then no change.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from components.base import proof
from components.base.artifact_files import LEDGER
from components.base.files import write_atomically
from components.data import storage
from components.data.dataset import Dataset, Record
from components.ingest import splits

ANEW = "anew-"  # with this begins the key of an ingest that takes nothing from earlier ones
UNREAD = ""  # digest of a file that could not be read
_READERS = 16  # threads, for a store
_MOST = 10  # ledgers that are looked at


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

    def proofs(self) -> dict[str, tuple[str, str]]:
        """Path of a record -> (version, digest); a version of "" proves nothing."""
        with open(os.path.join(self.folder, LEDGER), encoding="ascii") as f:
            f.readline()
            body = json.loads(f.readline())
        return dict(zip(body["paths"], zip(body["versions"], body["digests"], strict=True), strict=True))


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


def write(folder: str, key: str, listed: Dataset, again: Mapping[str, str], digests: Mapping[str, str]) -> None:
    """Writes the ledger of an ingest.

    Args:
        folder: of the shards.
        key: see `Ledger.key`.
        listed: the listing before the files were read.
        again: path -> version, from a listing after they were read. Only a file whose version is the same in both was
            read as the version says.
        digests: path -> `digest`, or `UNREAD`.
    """
    proven = {r.path: r.version for r in listed.records if again.get(r.path) == r.version}
    content = listed.fingerprint(digests)
    _write(Ledger(folder, key, listed.fingerprint({}), content), [r.path for r in listed.records], proven, digests)


def _write(ledger: Ledger, paths: Sequence[str], versions: Mapping[str, str], digests: Mapping[str, str]) -> None:
    head = {"key": ledger.key, "outline": ledger.outline, "content": ledger.content}
    proofs = [v if digests.get(p) and proof.proves(v := versions.get(p, "")) else "" for p in paths]
    body = {"paths": list(paths), "versions": proofs, "digests": [digests.get(p, UNREAD) for p in paths]}
    write_atomically(os.path.join(ledger.folder, LEDGER), f"{json.dumps(head)}\n{json.dumps(body)}\n")


def read(folders: Iterable[str]) -> list[Ledger]:
    """Reads the ledgers in these folders of shards, in their order; skips those that are missing or damaged.

    Of several with one key, the last counts: the others are of ingests that were killed.
    """
    found: dict[str, Ledger] = {}
    for folder in folders:
        try:
            with open(os.path.join(folder, LEDGER), encoding="ascii") as f:
                head = json.loads(f.readline())
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
    outline, found = dataset.fingerprint({}), dict[str, str]()
    for ledger in [] if anew else [one for one in reversed(ledgers) if one.outline == outline][:_MOST]:
        if _holds(ledger, dataset, found, most_bytes):
            return Recognised(ledger.key, ledger.content)
    key, used = ANEW * anew + dataset.fingerprint(), {ledger.key for ledger in ledgers}
    while key in used:
        key = ANEW * anew + splits.digest(key.encode())
    return Recognised(key)


def _holds(ledger: Ledger, dataset: Dataset, found: dict[str, str], most_bytes: int) -> bool:
    """Whether every content is that of the ledger; adds the digests of what had to be read to `found`."""
    try:
        proofs = ledger.proofs()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    unproven = [r for r in dataset.records if not r.version or proofs.get(r.path, ("",))[0] != r.version]
    known = [r for r in unproven if r.path in found]
    if any(proofs.get(r.path, ("", None))[1] != found[r.path] for r in known):
        return False
    for record, content in digests(dataset.root, [r for r in unproven if r.path not in found], most_bytes):
        found[record.path] = content
        if proofs.get(record.path, ("", None))[1] != content:
            return False
    if unproven:
        versions = {r.path: r.version for r in dataset.records}
        _write(ledger, list(proofs), versions, {path: content for path, (_, content) in proofs.items()})
    return True


def digests(root: str, records: Sequence[Record], most_bytes: int) -> Iterator[tuple[Record, str]]:
    """Reads the records' files, and yields each with its `digest`, or `UNREAD`.

    Args:
        root: of the data set.
        records: their `size` decides whether they are read.
        most_bytes: see `recognise`.
    """

    @functools.lru_cache(maxsize=_READERS)  # tiles of a scene follow one another
    def content(path: str, moments: tuple[tuple[str, float | None], ...]) -> str:
        return splits.digest(storage.read(root, path, moments))

    drawn = functools.lru_cache(maxsize=_READERS)(functools.partial(storage.read, root))

    def one(record: Record) -> tuple[Record, str]:
        if record.size > most_bytes:
            return record, too_large(record)
        try:
            mask = drawn(record.mask) if record.mask else None
            return record, digest(content(record.file, record.moments), mask)
        except OSError:
            return record, UNREAD

    if not storage.is_url(root):
        yield from map(one, records)
        return
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(records), 4 * _READERS):  # so that a difference ends the reading soon
            yield from pool.map(one, records[start : start + 4 * _READERS])


def too_large(record: Record) -> str:
    """Takes the place of the digest of an image that is too large to be read."""
    return f"{record.size} bytes"


def proven(dataset: Dataset, most_bytes: int) -> Dataset:
    """The data set with digests in the place of versions that prove nothing; for places that keep no ledger."""
    doubtful = [r for r in dataset.records if not proof.proves(r.version)]
    found = {record.path: content for record, content in digests(dataset.root, doubtful, most_bytes)}
    records = (replace(r, version=found[r.path]) if r.path in found else r for r in dataset.records)
    return replace(dataset, records=tuple(records))
