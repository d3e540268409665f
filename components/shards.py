"""The unit of ingest: a shard. `plan` deals the records out, `write` makes one shard's files, `merge` the manifest.

Nothing depends on how many workers there are or in which order they finish: the same data set gives the same bytes.
"""

from __future__ import annotations

import collections
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from components import features, images, masks, splits, storage
from components.errors import ImagegateError
from components.layouts import SPLITS, Dataset, Record
from components.mask_rules import Rule

MANIFEST = "manifest.json"
_SHARD_BYTES = 64 << 20
_MIN_SHARDS = 4
# Decoding threads pay once files are large enough for the decoder, which releases the interpreter lock, to dominate.
_THREADED_FILE_BYTES = 16 << 10
_CHUNK = 16  # files per task: handing over a tiny file costs more than decoding it


@dataclass(frozen=True, slots=True)
class Examined:
    """One record after a look at its file: `image` and `sha256`, or the `problem` that sends it to quarantine."""

    record: Record
    split: str = ""
    sha256: str = ""
    image: images.Checked | None = None
    mask: masks.Mask | None = None
    rule: Rule | None = None
    problem: str = ""


@dataclass(frozen=True)
class Job:
    """What every shard of one ingest shares; plain values, so that it travels to any worker."""

    root: str
    fractions: dict[str, float]
    moved: dict[str, str]
    max_pixels: int
    threads: int
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the manifest needs to know of one image that was kept; `mask` is the digest of its mask, or ""."""

    sha256: str
    split: str
    path: str
    labels: tuple[str, ...]
    unknown: tuple[str, ...]
    weight: float
    slices: tuple[tuple[str, str], ...]
    mask: str

    def unlabelled(self, labels: Sequence[str]) -> bool:
        """Whether nothing is known of it: neither of any label, nor of any pixel."""
        return not self.labels if self.mask else len(self.unknown) == len(labels)

    def text(self) -> str:
        """Everything but the path: what a training can see of it."""
        return repr((self.sha256, self.split, self.labels, self.unknown, self.weight, self.slices, self.mask))


@dataclass
class Report:
    """What became of a shard's records.

    Attributes:
        seen: the images kept.
        quarantined: (path, reason).
        changed: reason -> images re-encoded for it.
        pixels: split -> [label's pixels, pixels of the images it is in] for each label, then of the ignored.
        files: one entry per file written: name, split, records, bytes, sha256.
    """

    seen: list[Seen] = field(default_factory=list)
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)
    pixels: dict[str, list[list[int]]] = field(default_factory=dict)
    files: list[dict[str, Any]] = field(default_factory=list)

    def add(self, item: Examined) -> None:
        """Counts one examined record."""
        if item.image is None:
            self.quarantined.append((item.record.path, item.problem))
            return
        record, labels, mask = item.record, item.record.labels, ""
        if item.mask is not None and item.rule is not None:
            labels = tuple(name for name, n in zip(item.rule.labels, item.mask.pixels, strict=True) if n)
            mask = splits.digest(item.mask.encoded)
            self._add_pixels(item.split, [*item.mask.pixels, item.mask.ignored])
        self.seen.append(
            Seen(item.sha256, item.split, record.path, labels, record.unknown, record.weight, record.slices, mask)
        )
        if item.image.changed:
            self.changed[item.image.changed] = self.changed.get(item.image.changed, 0) + 1

    def _add_pixels(self, split: str, pixels: list[int]) -> None:
        known, total = sum(pixels[:-1]), sum(pixels)
        sums = self.pixels.setdefault(split, [[0, 0, 0] for _ in pixels])
        for cell, own in zip(sums, pixels, strict=True):
            if own:
                cell[0] += own
                cell[1] += known
                cell[2] += total

    def to_json(self) -> str:
        """One line; see `from_json`."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(line: str) -> Report:
        """What `to_json` wrote."""
        report = Report(**json.loads(line))
        report.seen = [Seen(**{k: tupled(v) for k, v in seen.items()}) for seen in report.seen]  # type: ignore[attr-defined]
        return report


def job(dataset: Dataset, max_pixels: int, rule: Rule | None = None) -> Job:
    """The common part of a data set's ingest. Reads the images of rare labels; see `splits.rare_label_splits`."""

    def content(record: Record) -> bytes | None:
        if record.size > images.max_file_bytes(max_pixels):
            return None
        try:
            return storage.read(dataset.root, record.path)
        except OSError:
            return None

    def usable(record: Record) -> bool:
        try:
            images.check(content(record) or b"", max_pixels)
        except images.BadImage:
            return False
        return True

    mean = sum(r.size for r in dataset.records) / max(1, len(dataset.records))
    threads = (os.cpu_count() or 1) if mean >= _THREADED_FILE_BYTES or storage.is_url(dataset.root) else 1
    moved = splits.rare_label_splits(dataset, content, usable)
    return Job(dataset.root, dict(dataset.fractions), moved, max_pixels, max(1, threads), rule)


def plan(records: Sequence[Record]) -> list[list[Record]]:
    """Deals records to shards by hash of their path, about 64 MiB each; at least four, so that readers interleave.

    The order of `records` does not matter.
    """
    total = sum(r.size for r in records)
    count = max(_MIN_SHARDS, -(-total // _SHARD_BYTES))
    shards: list[list[Record]] = [[] for _ in range(count)]
    for record in sorted(records, key=lambda r: r.path):
        path = record.path.encode("utf-8", "surrogateescape")
        shards[int.from_bytes(hashlib.blake2b(path, digest_size=8).digest(), "big") % count].append(record)
    return shards


def examine(records: Iterable[Record], job: Job) -> Iterator[Examined]:
    """Reads, digests and fully decodes each record's file; yields in the order of `records`.

    Nothing here raises for what a file holds: an unusable one comes out with its `problem`.
    """

    def one(record: Record) -> Examined:
        if record.size > images.max_file_bytes(job.max_pixels):
            return Examined(record, problem=f"{record.size:,} bytes are more than data.max_pixels allows for")
        try:
            data = storage.read(job.root, record.path)
            image = images.check(data, job.max_pixels)
            mask = _mask(record, image, job)
        except images.BadImage as error:
            return Examined(record, problem=str(error))
        except OSError as error:
            return Examined(record, problem=f"cannot be read: {error.strerror or error}")
        sha256 = splits.digest(data)
        unit = splits.unit(record, sha256)
        split = record.split or job.moved.get(unit) or splits.by_hash(unit, job.fractions)
        return Examined(record, split, sha256, image, mask, job.rule)

    if job.threads == 1:
        yield from map(one, records)
        return
    iterator = iter(records)
    chunks = iter(lambda: list(itertools.islice(iterator, _CHUNK)), [])
    with ThreadPoolExecutor(job.threads) as pool:
        # A bounded look-ahead: memory holds 2 chunks a thread, and results come in order.
        ahead = collections.deque(
            pool.submit(lambda c: [one(r) for r in c], c) for c in itertools.islice(chunks, 2 * job.threads)
        )
        while ahead:
            done = ahead.popleft().result()
            for chunk in itertools.islice(chunks, 1):
                ahead.append(pool.submit(lambda c: [one(r) for r in c], chunk))
            yield from done


def _mask(record: Record, image: images.Checked, job: Job) -> masks.Mask | None:
    """The record's mask, from its file or its regions.

    Raises:
        images.BadImage: it is not what the rule says.
    """
    if job.rule is None:
        return None
    if record.regions:
        return masks.draw(record.regions, image.width, image.height, job.rule)
    try:
        data = storage.read(job.root, record.mask)
        return masks.check(data, image.width, image.height, job.rule, job.max_pixels)
    except (images.BadImage, OSError) as error:
        raise images.BadImage(f"mask {record.mask}: {error}") from None


def write(
    folder: str, index: int, count: int, records: Sequence[Record], job: Job, tick: Callable[[int], None]
) -> Report:
    """Writes shard `index` of `count`: one uncompressed TFRecord file per split below `folder/Split-NAME/`.

    Files are written under another name, synced and renamed when complete, so that a reader never sees half of one.
    Every split gets its file, an empty one if need be: readers stop at a split without any.

    Args:
        tick: called now and then with the number of records done since the last call.

    Returns:
        what was written and what went to quarantine.
    """
    report = Report()
    name = f"data-{index:05d}-of-{count:05d}.tfrecord"
    files = {split: _ShardFile(folder, split, name) for split in SPLITS}
    try:
        for number, item in enumerate(examine(records, job), 1):
            report.add(item)
            if item.image:
                example = features.to_example(item.record, item.sha256, item.image, item.mask)
                files[item.split].write(example)
            if number % _CHUNK == 0:
                tick(_CHUNK)
        tick(len(records) % _CHUNK)
        report.files = [file.commit() for file in files.values()]
    finally:
        for file in files.values():
            file.discard()
    return report


class _ShardFile:
    """One TFRecord file that appears under its name only when it is complete and on disk."""

    def __init__(self, folder: str, split: str, name: str) -> None:
        import tensorflow as tf

        os.makedirs(os.path.join(folder, f"Split-{split}"), exist_ok=True)
        self.split, self.name, self.records = split, f"Split-{split}/{name}", 0
        self._path = os.path.join(folder, self.name)
        # Beside the split folders, not in them: whatever lies inside is read as data.
        self._temporary = os.path.join(folder, f".{split}-{name}.{os.getpid()}")
        self._writer = tf.io.TFRecordWriter(self._temporary)

    def write(self, example: bytes) -> None:
        self._writer.write(example)
        self.records += 1

    def commit(self) -> dict[str, Any]:
        self._writer.close()  # raises where the disk is full
        with open(self._temporary, "rb") as f:
            os.fsync(f.fileno())
            sha256 = hashlib.file_digest(f, "sha256").hexdigest()
            size = f.tell()
        os.rename(self._temporary, self._path)
        return {
            "name": self.name,
            "split": self.split,
            "records": self.records,
            "bytes": size,
            "sha256": sha256,
        }

    def discard(self) -> None:
        """Removes what an interrupted write left; after `commit` there is nothing."""
        if os.path.exists(self._temporary):
            self._writer.close()
            os.unlink(self._temporary)


def merge(dataset: Dataset, reports: Iterable[Report]) -> dict[str, Any]:
    """The manifest: what the shards of a data set hold, as one JSON object, the same for any order of `reports`.

    Keys: `labels` [K]; `counts` {split: records}; `label_counts` {label: {split: images it applies to}}; `unknown`
    {label: {split: images of which nobody said}}; `unlabelled` {split: images of which nothing at all is known};
    `pixels` {split: [K + 1][3]}, masks only, see `Report.pixels`; `quarantined` [{path, reason}]; `ignored` [path];
    `changed` {reason: images}; `conflicts` [{paths, labels}] equal files under different labels or masks; `leaks`
    [{paths, splits}] equal files in different splits; `files` [{name, split, records, bytes, sha256}]; `content`
    SHA-256 over all that a training can see of the images.
    """
    # In shard order, so that of several equal files always the same one is named first.
    reports = sorted(reports, key=lambda r: [f["name"] for f in r.files])
    seen = [s for report in reports for s in report.seen]
    changed: collections.Counter[str] = collections.Counter()
    for report in reports:
        changed.update(report.changed)
    quarantined = [*dataset.rejected, *(tuple(q) for report in reports for q in report.quarantined)]
    conflicts, leaks = _equal_files(seen)
    return {
        "version": 1,
        "labels": list(dataset.labels),
        "counts": {split: sum(s.split == split for s in seen) for split in SPLITS},
        "label_counts": _count(dataset.labels, ((s.split, s.labels) for s in seen)),
        "unknown": _count(dataset.labels, ((s.split, s.unknown) for s in seen)),
        "unlabelled": {split: sum(s.split == split and s.unlabelled(dataset.labels) for s in seen) for split in SPLITS},
        "pixels": _sum_pixels(reports),
        "quarantined": [{"path": p, "reason": r} for p, r in sorted(quarantined)],
        "ignored": list(dataset.ignored),
        "changed": dict(sorted(changed.items())),
        "conflicts": conflicts,
        "leaks": leaks,
        "files": sorted((f for report in reports for f in report.files), key=lambda f: f["name"]),
        "content": hashlib.sha256("\n".join(sorted(s.text() for s in seen)).encode()).hexdigest(),
    }


def _count(labels: Sequence[str], seen: Iterable[tuple[str, Sequence[str]]]) -> dict[str, dict[str, int]]:
    counts = {label: dict.fromkeys(SPLITS, 0) for label in labels}
    for split, names in seen:
        for name in names:
            counts[name][split] += 1
    return counts


def _sum_pixels(reports: Sequence[Report]) -> dict[str, list[list[int]]]:
    sums: dict[str, list[list[int]]] = {}
    for report in reports:
        for split, cells in report.pixels.items():
            before = sums.get(split, [[0, 0, 0] for _ in cells])
            sums[split] = [[a + b for a, b in zip(*pair, strict=True)] for pair in zip(before, cells, strict=True)]
    return sums


def _equal_files(seen: Iterable[Seen]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(conflicts, leaks) of the manifest."""
    first: dict[bytes, Seen] = {}
    conflicts, leaks = [], []
    for one in seen:
        other = first.setdefault(bytes.fromhex(one.sha256), one)
        paths = sorted((other.path, one.path))
        if (other.labels, other.unknown, other.mask) != (one.labels, one.unknown, one.mask):
            conflicts.append({"paths": paths, "labels": sorted({*other.labels, *one.labels})})
        if other.split != one.split:
            leaks.append({"paths": paths, "splits": sorted({other.split, one.split})})
    return sorted(conflicts, key=lambda c: c["paths"]), sorted(leaks, key=lambda c: c["paths"])


def tupled(value: Any) -> Any:
    """JSON turns tuples into lists; back again, at any depth."""
    return tuple(map(tupled, value)) if isinstance(value, list) else value


def write_manifest(folder: str, manifest: dict[str, Any]) -> None:
    """Puts the manifest beside the shards, in one step."""
    temporary = os.path.join(folder, f".{MANIFEST}.{os.getpid()}")
    with open(temporary, "w", encoding="utf-8") as f:
        json.dump(manifest, f, ensure_ascii=True, indent=1)
        f.flush()
        os.fsync(f.fileno())
    os.rename(temporary, os.path.join(folder, MANIFEST))


def read_manifest(folder: str) -> dict[str, Any]:
    """The manifest of the shards in `folder`, unchecked; see `verify`."""
    with open(os.path.join(folder, MANIFEST), encoding="utf-8") as f:
        manifest: dict[str, Any] = json.load(f)
    return manifest


def verify(folder: str, split: str) -> list[str]:
    """The shard files of one split, after comparing each with the manifest.

    A shard cut at a record boundary reads without any error; only size and digest tell.

    Returns:
        paths, sorted.

    Raises:
        ImagegateError: a file is missing, changed, or one too many.
    """
    wanted = {f["name"]: f for f in read_manifest(folder)["files"] if f["split"] == split}
    split_folder = os.path.join(folder, f"Split-{split}")
    there = {f"Split-{split}/{name}" for name in (os.listdir(split_folder) if os.path.isdir(split_folder) else ())}
    again = "run again with --force"
    for name in sorted(there ^ set(wanted)):
        what = "is missing" if name in wanted else "is not in the manifest"
        raise ImagegateError(f"{folder}: shard {name} {what}; {again}")
    for name, entry in sorted(wanted.items()):
        with open(os.path.join(folder, name), "rb") as f:
            sha256 = hashlib.file_digest(f, "sha256").hexdigest()
        if sha256 != entry["sha256"]:
            raise ImagegateError(
                f"{folder}: shard {name} changed after it was written: expected SHA-256 {entry['sha256']}, "
                f"found {sha256}; {again}"
            )
    return [os.path.join(folder, name) for name in sorted(wanted)]
