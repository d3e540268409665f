"""The index beside the shards: file, place and digest of each record, in the order of the shards.

Whoever wants some records reads these alone. Each is compared with its digest, and the index with that in the manifest,
so that a damaged record is noticed as surely as by the digest of its whole shard.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from components.base import digests
from components.base.artifact_files import RECORD_INDEX
from components.base.errors import ImagegateError
from components.base.files import replacing
from components.data.manifest import DatasetManifest, Shard
from components.ingest import manifest
from components.ingest.counts import census
from components.ingest.counts.census import Report

# image: the first 64 bits of the image's digest. file: number in `DatasetManifest.files`. start, length: of the record
# in the file, without TFRecord's frame. digest: the first 128 bits of the record's SHA-256.
ROW = np.dtype([("image", "<u8"), ("file", "<u4"), ("start", "<u8"), ("length", "<u4"), ("digest", "<u8", 2)])
_HEAD, _TAIL = 12, 4  # bytes around a record: its length and the length's checksum; the record's checksum
_CHUNK = 1 << 16  # rows that are looked at together
_AGAIN = "run again with --force"


def write(folder: str, files: Sequence[Shard], reports: Iterable[Report]) -> str:
    """Writes the index; returns its digest.

    Args:
        folder: of the shards.
        files: of all shards, as in the manifest.
        reports: of the shards in their order, with their final splits and files.
    """
    number = {file.name: i for i, file in enumerate(files)}
    path = os.path.join(folder, RECORD_INDEX)
    with replacing(path) as temporary, open(temporary, "wb") as f:
        for report in reports:
            f.write(_of_shard(report, number).tobytes())
    return digests.of_file(path)


def _of_shard(report: Report, number: dict[str, int]) -> NDArray[np.void]:
    """The rows of a shard's records, one split after the other."""
    rows = np.frombuffer(bytes(report.rows), census.ROW)
    stored = np.frombuffer(bytes(report.stored), census.STORED)
    split_of = np.array(list(report.splits().values()))
    parts = []
    for file in sorted(report.files, key=lambda file: number[file.name]):
        own = split_of == file.split
        found = np.zeros(own.sum(), ROW)
        found["image"], found["file"] = rows["sha256"][own][:, 0], number[file.name]
        found["length"], found["digest"] = stored["length"][own], stored["digest"][own]
        ends = (stored["length"][own].astype(np.uint64) + np.uint64(_HEAD + _TAIL)).cumsum()
        found["start"] = ends - found["length"] - np.uint64(_TAIL)
        parts.append(found)
    return np.concatenate(parts)


def of_images(folder: str, split: str, images: Iterable[str]) -> Iterator[bytes]:
    """Yields the records of a split whose images may be these, in the order of the shards.

    Args:
        folder: of the shards.
        split: whose records are read.
        images: digests of images, in hexadecimal. Records of others with the same first 64 bits come, too.

    Raises:
        ImagegateError: the index or a record is not as ingest wrote it.
    """
    wanted = np.array(sorted({int.from_bytes(bytes.fromhex(one[:16]), "little") for one in images}), "<u8")
    return _read(folder, split, lambda rows, _: np.isin(rows["image"], wanted)) if len(wanted) else iter(())


def numbered(folder: str, split: str, numbers: Iterable[int]) -> Iterator[bytes]:
    """Yields the records of a split with these numbers, from 0 in the order of the shards.

    Raises:
        ImagegateError: the index or a record is not as ingest wrote it.
    """
    wanted = np.array(sorted(set(numbers)), np.int64)
    return _read(folder, split, lambda rows, first: np.isin(np.arange(first, first + len(rows)), wanted))


def _read(folder: str, split: str, choose: Callable[[NDArray[np.void], int], NDArray[np.bool_]]) -> Iterator[bytes]:
    told = manifest.read(folder)
    of_split = np.array([file.split == split for file in told.files], bool)
    seen = 0
    for every in _chunks(folder, told):
        rows = every[of_split[every["file"]]]
        chosen = rows[choose(rows, seen)]
        seen += len(rows)
        for number, group in itertools.groupby(chosen, key=lambda row: int(row["file"])):
            yield from _records(folder, told.files[number], group)


def _chunks(folder: str, told: DatasetManifest) -> Iterator[NDArray[np.void]]:
    path = os.path.join(folder, RECORD_INDEX)
    try:
        sha256 = digests.of_file(path)
        if sha256 != told.records:
            raise ImagegateError(
                f"{path} changed after it was written: expected SHA-256 {told.records}, found {sha256}; {_AGAIN}"
            )
        with open(path, "rb") as f:
            while content := f.read(_CHUNK * ROW.itemsize):
                yield np.frombuffer(content, ROW)
    except OSError as error:
        raise ImagegateError(f"{path} cannot be read: {error.strerror or error}; {_AGAIN}") from None


def _records(folder: str, file: Shard, rows: Iterable[np.void]) -> Iterator[bytes]:
    try:
        with open(os.path.join(folder, file.name), "rb") as f:
            for row in rows:
                f.seek(int(row["start"]) - _HEAD)
                frame = f.read(_HEAD + int(row["length"]))
                record = frame[_HEAD:]
                whole = frame[:8] == struct.pack("<Q", int(row["length"]))
                if not whole or hashlib.sha256(record).digest()[:16] != row["digest"].tobytes():
                    raise ImagegateError(
                        f"{folder}: the record at byte {int(row['start'])} of shard {file.name} changed after it was "
                        f"written: its SHA-256 is not that of the index; {_AGAIN}"
                    )
                yield record
    except OSError as error:
        raise ImagegateError(
            f"{folder}: shard {file.name} cannot be read: {error.strerror or error}; {_AGAIN}"
        ) from None
