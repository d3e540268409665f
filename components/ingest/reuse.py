"""What the last ingest of the same output left and this one can use: whole shards, and single records of others.

A shard whose images, labels and splits are equal is linked; of other shards, the records of images that are unchanged
are copied. Only files that a proof shows unchanged count so without being read; others that were there are read, and
count so if their content is the same. The result is the same, to the byte, as without.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import operator
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from components.base.artifact_files import SHARD_REPORTS
from components.base.errors import ImagegateError
from components.data.dataset import SPLITS, Record
from components.data.storage.objects import Objects
from components.ingest import ledger, manifest, shard_files, shards, splits
from components.ingest.counts.census import Report
from components.ingest.stored import copies
from components.ingest.stored.copies import NO_FILES, NOTHING, Files, Kept, Known

_BUT_VERSION = operator.attrgetter(*(f.name for f in dataclasses.fields(Record) if f.name != "version"))
_DIGEST = 64  # hexadecimal digits of the image's digest, with which a `ledger.digest` begins
_KEY = 16  # bytes of the key of a record


class _Line(NamedTuple):
    """What an earlier ingest tells of a shard: the keys of its images, one behind the other, and its report as JSON."""

    keys: bytes
    report: str


@dataclass(frozen=True)
class Previous:
    """What an earlier ingest left.

    Attributes:
        files: its shard files.
        proofs: what is known of its images; None: nothing.
        starts: where the line of each shard begins that has its report, with the final splits and files.
        numbers: key of a shard -> its number.
    """

    files: Files = NO_FILES
    proofs: ledger.Proofs | None = None
    starts: Sequence[int] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)

    def line(self, number: int) -> _Line | None:
        """What is told of the shard with this number; None if it was damaged."""
        try:
            with open(os.path.join(self.files.folder, SHARD_REPORTS), "rb") as f:
                f.seek(self.starts[number])
                return _parsed(f.readline())
        except (OSError, ValueError):
            return None


def _parsed(line: bytes) -> _Line:
    """Reads a line of `write`.

    Shards have digests in the manifest, and images in the key. The counts of a report have only that of their line.

    Raises:
        ValueError: it was damaged.
    """
    _, digest, content = line.decode("ascii").rstrip("\n").split(" ", 2)
    if splits.digest(content.encode()) != digest:
        raise ValueError("a line is not as it was written")
    keys, report = content.split(" ", 1)
    return _Line(base64.b64decode(keys), report)


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
        numbers, starts, start = dict[str, int](), array("Q"), 0
        with open(os.path.join(folder, SHARD_REPORTS), "rb") as f:
            for line in f:
                numbers[line.partition(b" ")[0].decode("ascii")] = len(starts)
                starts.append(start)
                start += len(line)
        files = manifest.read(folder).files
        if len(starts) * len(SPLITS) != len(files):
            return None  # cut off
        paths = {file.sha256: os.path.join(folder, file.name) for file in files}
        return Previous(Files(folder, paths), known.proofs(), starts, numbers)
    except (OSError, ValueError, KeyError, TypeError, ImagegateError):
        return None


def changed(folder: str) -> Iterator[str]:
    """Yields the paths of the images that are not stored as the bytes of their files; see `images.Checked.changed`.

    Raises:
        ImagegateError: what ingest found out about the images cannot be read.
    """
    path = os.path.join(folder, SHARD_REPORTS)
    try:
        with open(path, "rb") as f:
            for line in f:
                report = Report.from_json(_parsed(line).report)
                yield from (path for path, (_, told) in zip(report.paths, report.known(), strict=True) if told.changed)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImagegateError(f"{path} cannot be read: {error}; run again with --force") from None


def known(previous: Previous, records: Sequence[Record], job: shards.Job, code: str) -> Known:
    """Finds what an earlier ingest knows of the records of a new shard.

    Args:
        previous: see `find`.
        records: of the new shard.
        job: settings of the ingest.
        code: fingerprint of the code of ingest.
    """
    if not records or previous.proofs is None:
        return NOTHING
    try:
        entries = previous.proofs.find([record.path for record in records])
    except (OSError, ValueError):
        return NOTHING  # damaged
    settings = _settings(job, code)
    keys, proven = dict[int, bytes](), set[int]()
    for number, (record, entry) in enumerate(zip(records, entries, strict=True)):
        if entry is not None and entry.digest:
            keys[number] = _record_key(settings, record, entry.digest)
            if entry.version and entry.version == record.version:
                proven.add(number)
    if len(proven) == len(records):
        digests = [entry.digest for entry in entries if entry is not None]
        if whole := _whole(previous, records, digests, _shard_key(settings, keys.values()), job):
            return Known(whole)
    return _kept(previous, records, keys, proven)


def _whole(previous: Previous, records: Sequence[Record], digests: Sequence[str], key: str, job: shards.Job) -> str:
    line = previous.line(previous.numbers[key]) if key in previous.numbers else None
    if line is None:
        return ""
    try:
        before = Report.from_json(line.report).splits()  # of the images that are not quarantined
    except (ValueError, KeyError, TypeError):
        return ""  # damaged
    now = {
        record.path: splits.assign(record, digest[:_DIGEST], job.fractions, job.moved, job.earlier)
        for record, digest in zip(records, digests, strict=True)
        if record.path in before
    }
    return line.report if now == before else ""


def _kept(previous: Previous, records: Sequence[Record], keys: Mapping[int, bytes], proven: set[int]) -> Known:
    """Looks in the shards that had the images of these paths, if the number of shards is another now."""
    wanted, found = {key: number for number, key in keys.items()}, dict[int, Kept]()
    for shard in sorted({shards.number_of(records[number], len(previous.starts)) for number in keys}):
        line = previous.line(shard)
        if line is None:
            continue
        there = {
            at: wanted[key]
            for at, start in enumerate(range(0, len(line.keys), _KEY))
            if (key := line.keys[start : start + _KEY]) in wanted
        }
        if there:
            with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):  # damaged
                found |= copies.kept(Report.from_json(line.report), there)
    return Known("", found, sorted(found.keys() - proven)) if found else NOTHING


def key(records: Sequence[Record], digests: Mapping[str, str], job: shards.Job, code: str) -> str:
    """Digest of everything that the content of a shard follows from, but the splits."""
    settings = _settings(job, code)
    return _shard_key(settings, (_record_key(settings, record, digests[record.path]) for record in records))


def _settings(job: shards.Job, code: str) -> bytes:
    """Digest of what the content of all records follows from."""
    return hashlib.sha256(repr((code, job.max_pixels, job.bits, job.rule, job.expected)).encode()).digest()


def _record_key(settings: bytes, record: Record, digest: str) -> bytes:
    """Digest of everything that a record in a shard follows from, but for the split."""
    told = repr((_BUT_VERSION(record), digest)).encode()
    return hashlib.sha256(settings + told).digest()[:_KEY]


def _shard_key(settings: bytes, keys: Iterable[bytes]) -> str:
    return hashlib.sha256(settings + b"".join(keys)).hexdigest()


def link(source: str, known: str, folder: str, index: int, count: int, tick: Callable[[int], None]) -> Report | None:
    """Puts the files of an earlier shard into the folder of the new ones; None if they changed since.

    Args:
        source: folder of the earlier shards.
        known: see `Known.whole`.
        folder, index, count, tick: as in `shards.write`.
    """
    found, name = Report.from_json(known), shards.name(index, count)
    files = [shard_files.link(source, folder, name, entry) for entry in found.files]
    linked = [file for file in files if file is not None]
    if len(linked) < len(SPLITS):
        return None
    found.files = linked
    found.reused = len(found.paths)
    tick(found.reused + len(found.quarantined))
    return found


def copy(source: str, known: str, store: Objects, index: int, count: int, tick: Callable[[int], None]) -> Report | None:
    """Copies the files of an earlier shard within a store; None if one is not there, or has another size.

    Args:
        source: URL of the earlier shards.
        known: see `Known.whole`.
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
    found.reused = len(found.paths)
    tick(found.reused + len(found.quarantined))
    return found


def write(folder: str, plan: Iterable[Sequence[Record]], reports: Iterable[Report], job: shards.Job, code: str) -> None:
    """Writes the reports beside the shards, for the next ingest: a line for each, with keys, a digest and JSON.

    Args:
        folder: of the shards.
        plan: the records of each shard.
        reports: of the same shards in their order, with their final splits and files.
        job, code: as in `known`.
    """
    settings = _settings(job, code)
    with open(os.path.join(folder, SHARD_REPORTS), "w", encoding="ascii") as f:
        for records, one in zip(plan, reports, strict=True):
            keys = [_record_key(settings, record, one.digests[record.path]) for record in records]
            kept = set(one.paths)
            own = b"".join(key for record, key in zip(records, keys, strict=True) if record.path in kept)
            one.reused = 0  # so that the same data give the same bytes
            content = f"{base64.b64encode(own).decode('ascii')} {one.to_json()}"
            f.write(f"{_shard_key(settings, keys)} {splits.digest(content.encode())} {content}\n")
