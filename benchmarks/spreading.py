"""Measures how much faster two workers ingest than one, each held to one core, on a Flink cluster of two task managers.

python -m benchmarks.spreading --counts 1000 4000

Needs Java 17 and Maven, as `make engines`. The photos are distinct files of about 600 KB, linked under many names, so
that reading them costs little and decoding them nearly everything. A job of few photos says what it costs to start one,
which grows with the workers and not with the photos; what further photos take is the difference to a job of many. All
jobs must write the same bytes for the same photos.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image

from components.data.dataset import Dataset, Record
from components.ingest import shards
from components.ingest.stored.copies import NO_FILES, NOTHING
from components.stages.ingest import write_shards
from pipeline.config import beam as arguments

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # where the engines are started

_DISTINCT = 64
_WIDTH, _HEIGHT = 1600, 1200
# Started as "python" by the worker pool: each worker takes a core that no other has.
_PINNED = """#!/bin/sh
for core in {cores}; do
    if mkdir "{folder}/core-$core" 2>/dev/null; then exec taskset -c $core "{python}" "$@"; fi
done
exec taskset -c 0 "{python}" "$@"
"""


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs=2, default=(1000, 4000), help="few images, and many")
    few, many = parser.parse_args().counts
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "photos")
        records = _photos(root, many)
        seconds = {}
        for workers in (1, 2):
            for count in (few, many):
                to = Path(folder, f"{workers}-{count}")
                seconds[workers, count] = _seconds(root, records[:count], to, workers)
                print(f"{count:,} images, workers: {workers}; {seconds[workers, count]:.1f} s", flush=True)
        for count in (few, many):
            assert _digest(Path(folder, f"1-{count}")) == _digest(Path(folder, f"2-{count}")), "the shards differ"
        one, two = (seconds[workers, many] - seconds[workers, few] for workers in (1, 2))
        print(
            f"{many - few:,} further images: {one:.1f} s with one worker, {two:.1f} s with two, which are "
            f"{one / two:.2f} times as fast; whole job of {many:,}: {seconds[1, many] / seconds[2, many]:.2f} times"
        )


def _seconds(root: Path, records: Sequence[Record], to: Path, workers: int) -> float:
    """Seconds of the Beam job that ingests `records` to the folder `to`."""
    dataset = Dataset(str(root), ("photo",), tuple(records), {"train": 0.8, "eval": 0.1, "test": 0.1})
    plan, job = shards.plan(records), shards.job(dataset, 10_000_000)
    with _engine(to, workers) as given:
        options = PipelineOptions(arguments.passed(given))
        started = time.perf_counter()
        write_shards(
            lambda: beam.Pipeline(options=options),
            str(to / "shards"),
            plan,
            job,
            [NOTHING] * len(plan),
            NO_FILES,
        )
        return time.perf_counter() - started


def _photos(root: Path, count: int) -> tuple[Record, ...]:
    root.mkdir()
    rng = np.random.default_rng(0)
    content = []
    for _ in range(_DISTINCT):
        coarse = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).resize((_WIDTH, _HEIGHT))
        grain = rng.normal(0, 9, (_HEIGHT, _WIDTH, 3))
        out = io.BytesIO()
        Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=86)
        content.append(out.getvalue())
    for i in range(count):
        if i < _DISTINCT:
            (root / f"{i}.jpg").write_bytes(content[i])
        else:
            os.link(root / f"{i % _DISTINCT}.jpg", root / f"{i}.jpg")
    return tuple(Record(f"{i}.jpg", ("photo",), None, len(content[i % _DISTINCT]), "") for i in range(count))


@contextmanager
def _engine(folder: Path, workers: int) -> Iterator[Sequence[str]]:
    """A Flink cluster whose workers are held to one core each; yields the options for Beam."""
    from engines import flink

    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    cores = sorted(os.sched_getaffinity(0))[:2]
    python.write_text(_PINNED.format(cores=" ".join(map(str, cores)), folder=folder, python=sys.executable))
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    with flink.cluster(folder, python.parent) as given:
        yield [*given[:-1], f"--parallelism={workers}"]


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.glob("shards/Split-*/*")):
        found.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


if __name__ == "__main__":
    main()
