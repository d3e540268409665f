"""What the last ingest of the same output left and this one can use: shards whose images, labels and splits are equal.

Only files that a proof shows unchanged count as equal, so nothing has to be read to find out. The result is the same,
to the byte, as without.
"""

from __future__ import annotations

import dataclasses
import hashlib
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from components.base.artifact_files import SHARD_REPORTS
from components.base.errors import ImagegateError
from components.data.dataset import SPLITS, Record
from components.data.storage.objects import Objects
from components.ingest import ledger, manifest, shard_files, shards, splits
from components.ingest.census import Report

_BUT_VERSION = operator.attrgetter(*(f.name for f in dataclasses.fields(Record) if f.name != "version"))
_DIGEST = 64  # hexadecimal digits of the image's digest, with which a `ledger.digest` begins


@dataclass(frozen=True)
class Files:
    """The shard files of an earlier ingest.

    Attributes:
        folder: of its shards.
        paths: SHA-256 -> path of each of them.
    """

    folder: str = ""
    paths: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Previous:
    """What an earlier ingest left.

    Attributes:
        files: its shard files.
        proofs: what is known of its images; None: nothing.
        reports: key of a shard -> where the line begins that has its report, with the final splits and files.
    """

    files: Files = field(default_factory=Files)
    proofs: ledger.Proofs | None = None
    reports: Mapping[str, int] = field(default_factory=dict)

    def report(self, key: str) -> str | None:
        """The report of the shard with this key, as JSON; None if there is none, or it was damaged.

        Shards have digests in the manifest, and images in the key. The counts of a report have only its own.
        """
        if key not in self.reports:
            return None
        try:
            with open(os.path.join(self.files.folder, SHARD_REPORTS), "rb") as f:
                f.seek(self.reports[key])
                there, digest, content = f.readline().decode("ascii").rstrip("\n").split(" ", 2)
        except (OSError, ValueError):
            return None
        return content if there == key and splits.digest(content.encode()) == digest else None


def find(folder: str) -> Previous:
    """Finds the last complete ingest beside the folder of a new one; both are named by a number that rises."""
    base, own = os.path.split(os.path.normpath(folder))
    names = [name for name in os.listdir(base) if name.isdecimal()] if own.isdecimal() and os.path.isdir(base) else []
    for name in sorted((name for name in names if int(name) < int(own)), key=int, reverse=True):
        found = _read(os.path.join(base, name))
        if found is not None:
            return found
    return Previous()


def _read(folder: str) -> Previous | None:
    try:
        [known] = ledger.read([folder])
        reports, start = dict[str, int](), 0
        with open(os.path.join(folder, SHARD_REPORTS), "rb") as f:
            for line in f:
                reports[line.partition(b" ")[0].decode("ascii")] = start
                start += len(line)
        paths = {file.sha256: os.path.join(folder, file.name) for file in manifest.read(folder).files}
        return Previous(Files(folder, paths), known.proofs(), reports)
    except (OSError, ValueError, KeyError, TypeError, ImagegateError):
        return None


def report(previous: Previous, records: Sequence[Record], job: shards.Job, code: str) -> str | None:
    """Returns the report of the earlier shard that holds exactly these records in their splits, as JSON; or None.

    Args:
        previous: see `find`.
        records: of the new shard.
        job: settings of the ingest.
        code: fingerprint of the code of ingest.
    """
    if not records or previous.proofs is None:
        return None
    digests = {}
    for record, entry in zip(records, previous.proofs.find([record.path for record in records]), strict=True):
        if entry is None or not entry.version or entry.version != record.version:
            return None
        digests[record.path] = entry.digest
    try:
        found = previous.report(key(records, digests, job, code))
        if found is None:
            return None
        before = Report.from_json(found).splits()  # of the images that are not quarantined
    except (OSError, ValueError, KeyError, TypeError):
        return None  # damaged
    now = {
        record.path: splits.assign(record, digests[record.path][:_DIGEST], job.fractions, job.moved, job.earlier)
        for record in records
        if record.path in before
    }
    return found if now == before else None


def key(records: Sequence[Record], digests: Mapping[str, str], job: shards.Job, code: str) -> str:
    """Digest of everything that the content of a shard follows from, but the splits."""
    told = repr((code, job.max_pixels, job.bits, job.rule, job.expected))
    told += "".join(repr((_BUT_VERSION(record), digests[record.path])) for record in records)
    return hashlib.sha256(told.encode()).hexdigest()


def link(source: str, known: str, folder: str, index: int, count: int, tick: Callable[[int], None]) -> Report | None:
    """Puts the files of an earlier shard into the folder of the new ones; None if they changed since.

    Args:
        source: folder of the earlier shards.
        known: what `report` returned.
        folder, index, count, tick: as in `shards.write`.
    """
    found, name = Report.from_json(known), shards.name(index, count)
    files = [shard_files.link(source, folder, name, entry) for entry in found.files]
    linked = [file for file in files if file is not None]
    if len(linked) < len(SPLITS):
        return None
    found.files = linked
    tick(len(found.paths) + len(found.quarantined))
    return found


def copy(source: str, known: str, store: Objects, index: int, count: int, tick: Callable[[int], None]) -> Report | None:
    """Copies the files of an earlier shard within a store; None if one is not there, or has another size.

    Args:
        source: URL of the earlier shards.
        known: what `report` returned.
        store: that of the new ones.
        index, count, tick: as in `shards.write`.
    """
    found, name, earlier = Report.from_json(known), shards.name(index, count), Objects(source, "output.artifacts")
    files = []
    for entry in found.files:
        new = entry.model_copy(update={"name": f"Split-{entry.split}/{name}"})
        try:
            if earlier.calls.info(earlier.path(entry.name)).get("size") != entry.bytes:
                return None
            store.copy_from(earlier, entry.name, new.name)
        except FileNotFoundError:
            return None
        files.append(new)
    found.files = files
    tick(len(found.paths) + len(found.quarantined))
    return found


def write(folder: str, plan: Iterable[Sequence[Record]], reports: Iterable[Report], job: shards.Job, code: str) -> None:
    """Writes the reports beside the shards, for the next ingest: a line for each with its key, digest and JSON.

    Args:
        folder: of the shards.
        plan: the records of each shard.
        reports: of the same shards in their order, with their final splits and files.
        job, code: as in `report`.
    """
    with open(os.path.join(folder, SHARD_REPORTS), "w", encoding="ascii") as f:
        for records, one in zip(plan, reports, strict=True):
            content = one.to_json()
            f.write(f"{key(records, one.digests, job, code)} {splits.digest(content.encode())} {content}\n")
