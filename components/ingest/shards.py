"""Shards: `plan` distributes the records, `write` examines and writes one shard, and `census` counts.

Nothing depends on the number of workers or the order in which they finish: the same data set gives the same bytes.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import hashlib
import itertools
import json
import os
import posixpath
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

import numpy as np
from numpy.typing import NDArray

from components.base import machine
from components.base.compact.packed import Packed
from components.data import images, mask_rules, masks, storage
from components.data.arrays import check as arrays
from components.data.arrays import tiles
from components.data.arrays.check import Expected
from components.data.arrays.spec import Bands
from components.data.arrays.stored import Array
from components.data.dataset import SPLITS, Dataset, Record, in_order
from components.data.formats import proof
from components.data.formats.proof import Pixels, Undecoded
from components.data.manifest import DatasetManifest, Shard
from components.data.mask_rules import Rule
from components.data.storage import bundles
from components.ingest import examples, ledger, splits
from components.ingest.counts import facts
from components.ingest.counts.census import Report, entry_of
from components.ingest.counts.facts import Facts
from components.ingest.earlier import Earlier
from components.ingest.shard_files import ShardFile
from components.ingest.stored.copies import NO_FILES, NOTHING, Copies, Files, Known, Taken
from components.ingest.workers import processes, threads

_SHARD_BYTES = 64 << 20  # of image files
_MIN_SHARDS = 4  # so that readers can interleave
# From this mean size on, threads pay: most of the time is then spent in the decoder, which releases the lock.
_THREADED_FILE_BYTES = 16 << 10
_SCENES = 2  # that are kept while their tiles are cut
_NO_PIXEL, _NO_LABEL = (f"no {what} pixel, tiles of larger ones; they are left out" for what in ("valid", "labelled"))
_NOT_USED = "no part in the data, more tiles of scenes that are in quarantine"
_SAMPLES = 32  # arrays that say what most have in common
_ALL = 0  # threads: one for each core
# What an image takes on one core, measured on photos of 40 KB; from so many seconds on, processes pay.
_SECONDS_PER_IMAGE, _SECONDS_PER_BYTE, _LONG = 0.7e-3, 1.2e-8, 20.0
_PROCESS_MEMORY = 400 << 20  # that one of them takes, measured on photos of 400 x 533 pixels
_CRASHED = "reading or decoding it crashed, or took more than ten minutes; convert or remove it"
_TOLD = 16  # images after which progress is told


@dataclass(frozen=True, slots=True)
class Examined:
    """One record after its file was read: with `image` and `sha256`, or the `problem` that quarantines it.

    `digest` is that of the content, whether it can be used or not; see `ledger.digest`. `left_out` says what a tile
    lacks that is no part of the data set, though nothing is wrong with it. Where it was asked for, `example` is the
    record to write, `entry` what the report keeps of it, see `census.entry_of`, and `facts` what is counted; `image` is
    then without content, or None for an image that was known.
    """

    record: Record
    split: str = ""
    sha256: str = ""
    image: images.Checked | None = None
    mask: masks.Mask | None = None
    rule: Rule | None = None
    problem: str = ""
    digest: str = ledger.UNREAD
    left_out: str = ""
    example: bytes = b""
    entry: bytes = b""
    facts: Facts | None = None

    @property
    def kept(self) -> bool:
        """Whether it is part of the data set."""
        return self.image is not None or self.facts is not None


@dataclass(frozen=True)
class Job:
    """Settings that all shards of one ingest share, as plain values that can be sent to any worker.

    Attributes:
        root: folder or URL of the data set.
        fractions: see `Dataset.fractions`.
        moved: see `splits.rare_label_splits`.
        max_pixels: largest width * height of an image.
        bits: see `images.check`.
        threads: threads that read and decode; 0: as many as there are cores where that is done.
        processes: whether these are processes, see `workers.processes`; they take seconds to start.
        careful: whether even a few images are read in processes; see `workers.crash_mark`.
        rule: meaning of mask values, for segmentation.
        earlier: the splits of earlier runs.
        splits: that get a file in each shard.
        expected: what all arrays have in common; None for photos.
    """

    root: str
    fractions: dict[str, float]
    moved: dict[str, str]
    max_pixels: int
    threads: int
    rule: Rule | None = None
    bits: int | None = None
    earlier: Earlier = field(default_factory=Earlier, compare=False)
    splits: tuple[str, ...] = SPLITS
    expected: Expected | None = None
    processes: bool = False
    careful: bool = False

    def examined(self, path: str, data: bytes) -> proof.Steps[images.Checked]:
        """Reads one file: a photo, of which it asks for the pixels, or with `expected` an array.

        Raises:
            BadImage: it cannot be used.
        """
        if self.expected is None:
            return (yield from images.steps(data, self.max_pixels, self.bits))
        return arrays.examined(bundles.unpacked(path, data), self.expected, self.max_pixels)


def job(
    dataset: Dataset,
    max_pixels: int,
    rule: Rule | None = None,
    bits: int | None = None,
    earlier: Earlier | None = None,
    bands: Bands | None = None,
    *,
    careful: bool = False,
) -> Job:
    """Prepares the ingest of a data set. Reads the images of rare labels; see `splits.rare_label_splits`.

    Of arrays, it reads some, to know what most of them have in common. With `careful`, everything is read in processes,
    whatever it costs, but for scenes that are cut into tiles; see `workers.crash_mark`.
    """

    def content(record: Record) -> bytes | None:
        if record.size > images.max_file_bytes(max_pixels):
            return None
        try:
            return storage.read(dataset.root, record.file, record.moments)
        except OSError:
            return None

    def usable(record: Record) -> bool:
        one = replace(found, rule=None)  # a mask says nothing of the image
        apart = one.processes and processes.can_start()
        return (
            next(_in_processes(_examined, iter([record]), one)) if apart else _examined(one, record)
        ).image is not None

    count, total = len(dataset.records), sum(r.size for r in dataset.records)
    apart = (_apart(dataset, bands) and _pays(count, total)) or (careful and (bands is None or bands.tile is None))
    threaded = apart or total >= _THREADED_FILE_BYTES * max(1, count) or storage.is_url(dataset.root)
    threads = _ALL if threaded else 1
    earlier = earlier or Earlier()
    expected = None if bands is None else _expected(dataset.root, dataset.records, content, bands, max_pixels)
    found = Job(
        dataset.root,
        dict(dataset.fractions),
        {},
        max_pixels,
        threads,
        rule,
        bits,
        earlier,
        expected=expected,
        processes=apart,
        careful=careful and apart,
    )
    return replace(found, moved=splits.rare_label_splits(dataset, content, usable, earlier))


def _pays(count: int, total: int) -> bool:
    """Whether processes pay for so many images of so many bytes."""
    return count * _SECONDS_PER_IMAGE + total * _SECONDS_PER_BYTE >= _LONG


def _apart(dataset: Dataset, bands: Bands | None) -> bool:
    """Whether each image can be read for itself: not from an archive or a group of rows, nor as a tile of a scene."""
    count = len(dataset.records)
    some = [dataset.records[i] for i in {0, count // 2, count - 1}] if count else []
    are_files = all(storage.unit(record.file) == record.file for record in some)
    return are_files and not storage.in_archive(dataset.root) and (bands is None or bands.tile is None)


def _expected(
    root: str, records: Sequence[Record], content: Callable[[Record], bytes | None], bands: Bands, max_pixels: int
) -> Expected:
    """What most arrays have in common, from some of them."""

    def readable(some: Iterable[Record]) -> Iterator[Array]:
        for record in {record.file: record for record in some}.values():
            with contextlib.suppress(images.BadImage):
                files = bundles.unpacked(record.file, content(record) or b"")
                yield arrays.assemble(files, bands, max_pixels)[0]

    samples = list(readable(records[:: max(1, len(records) // _SAMPLES)]))
    expected = arrays.expect(samples or list(itertools.islice(readable(records), 1)), bands)
    told = [arrays.moment(path) if time is None else time for record in records for path, time in record.moments]
    folders = {folder for record in records if not record.moments and (folder := bundles.find(record.file)) is not None}
    if folders:
        inside = (file.path for file in storage.files(root) if posixpath.dirname(file.path) in folders)
        told += map(arrays.moment, filter(bundles.is_moment, inside))
    return replace(expected, calendar=arrays.calendar(told, bands.frames))


class Parts(Sequence[list[Record]]):
    """The records of each shard, in the order of their paths.

    Args:
        records: of all shards, one behind the other.
        sizes: how many each shard has.
    """

    def __init__(self, records: Sequence[Record], sizes: NDArray[np.int64]) -> None:
        self._records, self._ends = records, np.cumsum(sizes).tolist()

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> list[Record]: ...

    @overload
    def __getitem__(self, place: slice) -> list[list[Record]]: ...

    def __getitem__(self, place: int | slice) -> list[Record] | list[list[Record]]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        i = range(len(self))[place]
        return list(self._records[self._ends[i - 1] if i else 0 : self._ends[i]])


def plan(records: Sequence[Record]) -> Parts:
    """Distributes records over shards by the hash of their path: four, or more so that each has about 64 MiB.

    Images that have to be read together, as those of a Parquet file's row group, are in one shard. A new image changes
    only its own shard, and one more shard only the shard that it takes half of (linear hashing; Litwin, VLDB 1980).

    The order of `records` does not matter.

    >>> records = [Record(f"{i}.jpg", ("cat",), None, 1000, "") for i in range(100)]
    >>> [len(shard) for shard in plan(records)]
    [26, 27, 27, 20]
    """
    total = sum(r.size for r in records)
    count = max(_MIN_SHARDS, -(-total // _SHARD_BYTES))

    def shard(record: Record) -> int:
        return number_of(record, count)

    ordered = Packed.ordered(Record, in_order(records), key=shard)
    return Parts(ordered, np.bincount(np.fromiter(map(shard, ordered), np.int64, len(ordered)), minlength=count))


def number_of(record: Record, count: int) -> int:
    """The number of the shard that holds a record, of so many; see `plan`."""
    path = storage.unit(record.file).encode("utf-8", "surrogateescape")
    return _place(int.from_bytes(hashlib.blake2b(path, digest_size=8).digest(), "big"), count)


def _place(number: int, count: int) -> int:
    """Distributes numbers over `count` places so that of `count + 1` places, only one has taken from another.

    >>> [_place(n, 4) for n in range(8)], [_place(n, 5) for n in range(8)]
    ([0, 1, 2, 3, 0, 1, 2, 3], [0, 1, 2, 3, 4, 1, 2, 3])
    """
    half = 1 << (count - 1).bit_length() >> 1  # the largest power of 2 below `count`
    place = number % (2 * half)
    return place if place < count else place - half


def name(index: int, count: int) -> str:
    """Name of the files of shard `index` of `count` in the folders of the splits."""
    return f"data-{index:05d}-of-{count:05d}.tfrecord"


def examine(
    records: Iterable[Record],
    job: Job,
    decoded: Callable[[Undecoded], Pixels] | None = None,
    *,
    serialised: bool = False,
) -> Iterator[Examined]:
    """Reads, digests and fully decodes each record's file; yields in the order of `records`.

    No content of a file raises an error: an unusable file is yielded with its `problem`. `decoded` decodes a photo, in
    place of TensorFlow. `serialised` asks for the records to write, which are made where the files are read.
    """
    scenes = _Scenes(job)

    def steps(record: Record) -> proof.Steps[Examined]:
        item = scenes.tile(record) if record.tile else (yield from _steps(job, record))
        return _serialised(item) if serialised else item

    work = _examined_and_serialised if serialised else _examined
    count = job.threads or machine.cores()
    if job.processes and decoded is None and processes.can_start():
        found = _in_processes(work, iter(records), job)
    elif decoded is not None or storage.is_url(job.root) or job.rule is not None or job.expected is not None:
        # Stores are waited for, and to decode masks and arrays takes most of their time and no lock of Python.
        found = threads.ordered(
            lambda record: proof.alone(steps(record), decoded or proof.decode), iter(records), count
        )
    else:
        found = _in_threads(steps, iter(records), count)
    for item in found:
        if item.image is None or item.split:
            yield item
        else:  # here, since the splits of earlier runs are much to send to a process
            yield replace(item, split=splits.assign(item.record, item.sha256, job.fractions, job.moved, job.earlier))


def _in_threads(
    steps: Callable[[Record], proof.Steps[Examined]], records: Iterator[Record], count: int
) -> Iterator[Examined]:
    """Goes through `steps` of each record; yields in order.

    Photos are decoded ahead. Where the first files are waited for, as on a disk in a network, or have to be stored
    anew, which needs no lock of Python either, each thread does all the work of a file.
    """
    first, waits = [], []
    for record in itertools.islice(records, ledger.SAMPLE):
        started = time.perf_counter()

        def decoded(file: Undecoded, started: float = started) -> Pixels:
            waits.append(time.perf_counter() - started)  # nearly all of which is reading, where that is slow
            return proof.decode(file)

        first.append(proof.alone(steps(record), decoded))
        yield first[-1]
    anew = sum(bool(item.image and item.image.changed) for item in first)
    if (waits and statistics.median(waits) > ledger.WAIT) or 2 * anew > len(first):
        yield from threads.ordered(lambda record: proof.alone(steps(record)), records, count)
    else:
        yield from threads.decoded_ahead(steps, records, count)


def _in_processes(work: processes.Work, records: Iterator[Record], job: Job) -> Iterator[Examined]:
    """Applies `work` to the records in processes; yields in order."""
    workers, memory = job.threads or machine.cores(), machine.available_memory()
    fit = workers if memory is None else max(1, min(workers, memory // _PROCESS_MEMORY))
    sent = replace(job, earlier=Earlier(), moved={})
    yield from processes.ordered(work, sent, threads.chunks(records), fit, functools.partial(_crashed, job))


def _steps(job: Job, record: Record) -> proof.Steps[Examined]:
    """What `examine` yields for a record, but for the split."""
    if record.size > images.max_file_bytes(job.max_pixels):
        problem = f"{record.size:,} bytes are more than data.max_pixels allows for"
        return Examined(record, problem=problem, digest=ledger.too_large(record))
    digest = ledger.UNREAD
    try:
        data = storage.read(job.root, record.path, record.moments)
        sha256, drawn = splits.digest(data), _mask_file(record, job)
        digest = ledger.UNREAD if isinstance(drawn, OSError) else ledger.digest(sha256, drawn)
        image = yield from job.examined(record.path, data)
        mask = _mask(record, drawn, image, job)
        if mask is not None and image.unseen is not None and job.rule is not None:
            mask = masks.without(mask, image.unseen, job.rule)
    except images.BadImage as error:
        return Examined(record, problem=str(error), digest=digest)
    except OSError as error:
        return Examined(record, problem=f"cannot be read: {error.strerror or error}")
    return Examined(record, "", sha256, image, mask, job.rule, digest=digest)


def _examined(job: Job, record: Record) -> Examined:
    return proof.alone(_steps(job, record))


def _serialised(item: Examined) -> Examined:
    if item.image is None:
        return item
    example = examples.to_example(item.record, item.sha256, item.image, item.mask)
    counted, image = facts.of(item.image, item.mask), replace(item.image, encoded=b"", moments=None, unseen=None)
    return replace(item, image=image, mask=None, example=example, entry=entry_of(example), facts=counted)


def _examined_and_serialised(job: Job, record: Record) -> Examined:
    return _serialised(_examined(job, record))


def _crashed(job: Job, record: Record) -> Examined:
    """What `examine` yields for a record on which a process died. It can be read, as the next run will find."""
    try:
        sha256, drawn = splits.digest(storage.read(job.root, record.path, record.moments)), _mask_file(record, job)
    except OSError:
        return Examined(record, problem=_CRASHED)
    digest = ledger.UNREAD if isinstance(drawn, OSError) else ledger.digest(sha256, drawn)
    return Examined(record, problem=_CRASHED, digest=digest)


def crashed(manifest: DatasetManifest) -> bool:
    """Whether an image crashed the process that read it."""
    return any(one.reason == _CRASHED for one in manifest.quarantined)


@dataclass(frozen=True, slots=True)
class _Scene:
    """A scene that was read, of which records are tiles; with `problem`, it cannot be used."""

    digest: str
    sha256: str = ""
    array: Array | None = None
    remarks: tuple[str, ...] = ()
    ids: masks.Ids | None = None
    mask_remarks: tuple[str, ...] = ()
    problem: str = ""


class _Scenes:
    """Reads each scene once for all its tiles, which follow one another; the last few are kept."""

    def __init__(self, job: Job) -> None:
        self._job, self._lock = job, threading.Lock()
        self._kept: collections.OrderedDict[str, _Scene] = collections.OrderedDict()

    def tile(self, record: Record) -> Examined:
        """Cuts a tile out of its scene."""
        job, scene = self._job, self._scene(record)
        if scene.array is None or job.expected is None or (size := job.expected.bands.tile) is None:
            # Once for all of its tiles: people know the file, and exclude or repair it.
            first = not any(record.tile)
            left_out = "" if first else _NOT_USED
            return Examined(record, problem=scene.problem, digest=scene.digest, left_out=left_out)
        top, left = record.tile
        array = tiles.cut(scene.array, (top, left), size)
        if not array.valid.any():
            return Examined(record, digest=scene.digest, left_out=_NO_PIXEL)
        image = arrays.checked(array, job.expected, scene.remarks)
        mask = None
        if scene.ids is not None and job.rule is not None:
            mask = masks.tile(scene.ids, (top, left), size, job.rule, scene.mask_remarks)
            mask = mask if image.unseen is None else masks.without(mask, image.unseen, job.rule)
            if not any(mask.pixels):
                return Examined(record, digest=scene.digest, left_out=_NO_LABEL)
        # By the content of the whole file, so that all tiles of a scene are in one split.
        split = splits.assign(record, scene.sha256, job.fractions, job.moved, job.earlier)
        return Examined(
            record, split, splits.of_image(record, scene.sha256), image, mask, job.rule, digest=scene.digest
        )

    def _scene(self, record: Record) -> _Scene:
        with self._lock:
            found = self._kept.pop(record.file, None) or self._read(record)
            self._kept[record.file] = found
            if len(self._kept) > _SCENES:
                self._kept.popitem(last=False)
            return found

    def _read(self, record: Record) -> _Scene:
        job, digest = self._job, ledger.UNREAD
        assert job.expected is not None
        try:
            data = storage.read(job.root, record.file, record.moments)
            sha256, drawn = splits.digest(data), _mask_file(record, job)
            digest = ledger.UNREAD if isinstance(drawn, OSError) else ledger.digest(sha256, drawn)
            array, remarks = arrays.prepared(bundles.unpacked(record.file, data), job.expected, job.max_pixels)
            _, height, width, _ = array.pixels.shape
            mask = _mask(record, drawn, images.Checked(b"", array.dtype, width, height), job)
        except images.BadImage as error:
            return _Scene(digest, problem=str(error))
        except OSError as error:
            return _Scene(digest, problem=f"cannot be read: {error.strerror or error}")
        if mask is None:
            return _Scene(digest, sha256, array, remarks)
        return _Scene(digest, sha256, array, remarks, masks.ids_of(mask), mask.remarks)


def enter(item: Examined, report: Report) -> None:
    """Adds one examined record to the report."""
    report.digests[item.record.path] = item.digest
    if item.left_out:
        report.leave_out(item.record.path, item.left_out)
        return
    counted = item.facts if item.image is None else item.facts or facts.of(item.image, item.mask)
    if counted is None:
        report.reject(item.record.file, item.problem)
    else:
        report.add(item.record, item.split, item.sha256, counted, item.rule)


def _mask_file(record: Record, job: Job) -> bytes | OSError | None:
    """Reads the record's mask, if it is a file; returns the reason why it cannot be read."""
    if job.rule is None or not record.mask:
        return None
    try:
        return storage.read(job.root, record.mask)
    except OSError as error:
        return error


def _mask(record: Record, data: bytes | OSError | None, image: images.Checked, job: Job) -> masks.Mask | None:
    """Decodes the record's mask, or draws its regions.

    Raises:
        images.BadImage: the mask cannot be read, or contradicts the rule.
    """
    if job.rule is None:
        return None
    if record.regions and record.mask:
        return _panoptic(record, data, image, job, job.rule)
    if record.regions:
        return masks.draw(record.regions, image.width, image.height, job.rule, image.sideways)
    try:
        return masks.check(_content(data), image.width, image.height, job.rule, job.max_pixels, image.sideways)
    except (images.BadImage, OSError) as error:
        raise images.BadImage(f"mask {record.mask}: {error}") from None


def _content(data: bytes | OSError | None) -> bytes:
    if isinstance(data, OSError):
        raise data
    return data or b""


def _panoptic(record: Record, data: bytes | OSError | None, image: images.Checked, job: Job, rule: Rule) -> masks.Mask:
    """Reads a mask whose colours are the numbers of segments; `Record.regions` says what they are."""
    try:
        meaning = mask_rules.of_segments(rule, json.loads(record.regions))
        return masks.check(_content(data), image.width, image.height, meaning, job.max_pixels)
    except (ValueError, OSError) as error:  # BadImage is a ValueError
        reason = str(error).replace("is not in labels.colors", "is the number of no segment in the annotation file")
        raise images.BadImage(f"mask {record.mask}: {reason}") from None


def write(
    folder: str,
    index: int,
    count: int,
    records: Sequence[Record],
    job: Job,
    tick: Callable[[int], None],
    there: Files = NO_FILES,
    known: Known = NOTHING,
) -> Report:
    """Writes shard `index` of `count`: one uncompressed TFRecord file per split below `folder/Split-NAME/`.

    Files are written under another name, synced, and renamed when complete, so that readers never see partial files.
    Every split gets a file, even an empty one, because readers fail on a split without files.

    Args:
        folder: folder of all shards.
        index: number of this shard, from 0.
        count: number of shards.
        records: this shard's records, as `plan` distributed them.
        job: settings that all shards share.
        tick: called repeatedly with the number of records done since the last call.
        there: the files of an earlier ingest, to be linked instead of kept twice.
        known: the records that are copied from there.

    Returns:
        counts of the images written and quarantined.
    """
    report = Report()
    copies = Copies(there.folder, known, job.root, records, images.max_file_bytes(job.max_pixels))
    files = {split: ShardFile(folder, split, name(index, count), there.paths) for split in job.splits}
    try:
        for number, item in enumerate(_copied_or_examined(records, job, copies, count), 1):
            enter(item, report)
            if item.kept:
                report.reused += item.image is None
                files[item.split].write(item.example)
                report.store(item.entry)
            if number % _TOLD == 0:
                tick(_TOLD)
        tick(len(records) % _TOLD)
        report.files = [file.commit() for file in files.values()]
    finally:
        copies.close()
        for file in files.values():
            file.discard()
    return report


def _copied_or_examined(records: Sequence[Record], job: Job, copies: Copies, count: int) -> Iterator[Examined]:
    """Yields each record as an earlier shard holds it, or else examines it."""
    new = [record for number, record in enumerate(records) if number not in copies]
    if copies and not _pays(count * len(new), count * sum(record.size for record in new)):
        job = replace(job, threads=1 if job.processes else job.threads)  # more processes would take longer to start
    number = 0
    while number < len(records):
        # Once for all, and again for the rest where a file of an earlier shard turns out to be damaged.
        rest = [record for n, record in enumerate(records[number:], number) if n not in copies]
        others = examine(rest, job, serialised=True)
        while number < len(records):
            if number not in copies:
                yield next(others)
            elif (taken := copies.take(number)) is None:
                break
            else:
                yield _as_taken(records[number], taken, job)
            number += 1


def _as_taken(record: Record, taken: Taken, job: Job) -> Examined:
    file = taken.digest[: len(taken.sha256)]  # of all tiles of a scene
    return Examined(
        record,
        splits.assign(record, file, job.fractions, job.moved, job.earlier),
        taken.sha256,
        rule=job.rule,
        digest=taken.digest,
        example=taken.example,
        entry=taken.entry,
        facts=taken.facts,
    )


def move(folder: str, report: Report, moves: Mapping[str, str | None], there: Files = NO_FILES) -> list[Shard]:
    """Rewrites the files of one shard after images changed their split or were left out; the order is kept.

    Args:
        folder: folder of all shards.
        report: what `write` returned for this shard.
        moves: path of an image -> its new split, or None to leave it out; images of other shards are ignored.
        there: as in `write`.

    Returns:
        entries of the shard's files.
    """
    import tensorflow as tf

    old = list(report.splits().values())
    affected = {
        split
        for path, was in zip(report.paths, old, strict=True)
        if path in moves
        for split in (was, moves[path])
        if split
    }
    kept = [file for file in report.files if file.split not in affected]
    readers, writers = {}, {}
    try:
        for file in (file for file in report.files if file.split in affected):
            readers[file.split] = iter(tf.data.TFRecordDataset(os.path.join(folder, file.name)))
            writers[file.split] = ShardFile(folder, file.split, os.path.basename(file.name), there.paths)
        for path, was in zip(report.paths, old, strict=True):
            if was in affected:
                example, new = next(readers[was]).numpy(), moves.get(path, was)
                if new:
                    writers[new].write(example)
        return sorted(kept + [writer.commit() for writer in writers.values()], key=lambda file: file.name)
    finally:
        for writer in writers.values():
            writer.discard()
