"""Compares one thread, photos decoded ahead, and processes, on the images of a folder with a folder per label.

python -m benchmarks.cores clothing_large --rounds 5

They read, check and write the images. Each round does all three, one after the other, and writes one shard to a disk in
memory; the ratios are of the same round. Starting the processes takes seconds, which are printed by themselves. Prints
medians, and the digests of the shard, which must be equal.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

from components.base import machine
from components.data.dataset import SPLITS, Record
from components.data.formats import proof
from components.ingest import shards
from components.ingest.counts import census
from components.ingest.layouts import folders
from components.ingest.shard_files import ShardFile
from components.ingest.workers import processes

_ONE, _AHEAD, _APART = "one thread", "decoded ahead", "processes"
_IN_MEMORY = "/dev/shm"  # noqa: S108  in it, tempfile makes a folder of its own


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cores", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="with a folder of images for each label")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--most", type=int, default=3000, help="number of images at most (default: %(default)s)")
    options = parser.parse_args()
    dataset = folders.read(options.folder, {"train": 0.8, "eval": 0.1, "test": 0.1})
    dataset = dataclasses.replace(dataset, records=tuple(dataset.records)[: options.most])
    job = shards.job(dataset, 100_000_000)
    list(shards.examine(dataset.records[:20], dataclasses.replace(job, threads=1)))  # loads the libraries
    started = time.perf_counter()
    list(shards.examine(dataset.records[:1], dataclasses.replace(job, threads=0, processes=True)))
    start = time.perf_counter() - started
    ways = {
        _ONE: functools.partial(_in_one_thread, dataset.records, dataclasses.replace(job, threads=1)),
        _AHEAD: functools.partial(
            shards.examine, dataset.records, dataclasses.replace(job, threads=0), serialised=True
        ),
        _APART: functools.partial(
            shards.examine, dataset.records, dataclasses.replace(job, threads=0, processes=True), serialised=True
        ),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    own: dict[str, list[float]] = {way: [] for way in ways}
    digests = set()
    for _ in range(options.rounds):
        for way, examined in ways.items():
            before = time.process_time()
            taken, digest = _written(examined)
            own[way].append(time.process_time() - before)
            seconds[way].append(taken)
            digests.add(digest)
    processes.release()
    print(f"{len(dataset.records):,} images, {machine.cores()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"the processes start in {start:.1f} s")
    for way, taken in seconds.items():
        ratios = [one / other for one, other in zip(taken, seconds[_ONE], strict=True)]
        each = 1000 * statistics.median(taken) / len(dataset.records)
        here = 1000 * statistics.median(own[way]) / len(dataset.records)
        print(
            f"{way:13}  {each:6.3f} ms an image, {statistics.median(ratios):.2f} of one thread; "
            f"processor time of the collecting process {here:.3f} ms"
        )
    print(f"{len(digests)} digest of the shards: {', '.join(sorted(digests))}")


def _in_one_thread(records: Sequence[Record], job: shards.Job) -> Iterator[shards.Examined]:
    """One after the other, decoded where they are examined."""
    return shards.examine(records, job, proof.decode, serialised=True)


def _written(examined: Callable[[], Iterator[shards.Examined]]) -> tuple[float, str]:
    """Seconds to write a shard, and the digest of its file and counts."""
    with tempfile.TemporaryDirectory(dir=_IN_MEMORY if os.path.isdir(_IN_MEMORY) else None) as folder:
        started = time.perf_counter()
        report, file = census.Report(), ShardFile(folder, SPLITS[0], shards.name(0, 1), {})
        for item in examined():
            shards.enter(item, report)
            if item.image is not None:
                file.write(item.example)
                report.store(item.entry)
        report.files = [file.commit()]
        return time.perf_counter() - started, hashlib.sha256(report.to_json().encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
