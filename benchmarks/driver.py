"""What the driver of an ingest holds: `python -m benchmarks.driver [IMAGES]` (100,000 and 1,000,000).

Runs the stage ImageExampleGen and the data gate on a listing that is made up, and so on no image: the workers, a
process of their own, write reports as those of photos are. Prints for each step its seconds, the largest resident
memory of the driver's process meanwhile, and how much of that the system cannot take back, because it is no file's
cache (looked at a hundred times a second): in bytes per image above what the process had before its first listing. Two
nights are measured: the second finds the shards and the splits of the first. Linux only.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from components.data import properties, storage
from components.data.dataset import SPLITS
from components.data.manifest import Shard
from components.data.storage import File
from components.ingest import splits
from components.ingest.counts import census, facts
from components.ingest.counts.facts import Facts

_LABELS, _BYTES, _DISTANCE = 20, 200_000, 32
_SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}
_TIME = 1_700_000_000_000_000_000  # ns


def _files(count: int) -> Iterator[File]:
    """A folder for each label; names and versions are as long as those of a folder on this machine."""
    random = np.random.default_rng(0)
    for start in range(0, count, 1 << 16):
        some = range(start, min(count, start + (1 << 16)))
        sizes = random.integers(_BYTES // 2, _BYTES * 3 // 2, len(some)).tolist()
        times = random.integers(_TIME, _TIME + 10**17, len(some)).tolist()
        for i, size, stamp in zip(some, sizes, times, strict=True):
            path = f"label-{i % _LABELS:02d}/IMG_{i * 7919 % count:09d}.jpg"
            yield File(path, size, f"{stamp} {stamp + 1_000_000} {i + 10_000_000}")


@contextlib.contextmanager
def _made_up(count: int, table: Path | None) -> Iterator[None]:
    """Within it, every root has these files; a table is one more of them."""
    real_files, real_folders, real_read = storage.files, storage.folders, storage.read

    def files(*_: Any) -> Iterator[File]:
        yield from _files(count)
        if table is not None:
            yield File(table.name, table.stat().st_size, "1 1 1")

    storage.files = files
    storage.folders = lambda _: [f"label-{i:02d}" for i in range(_LABELS)]
    storage.read = lambda root, path, moments=(): (Path(root) / path).read_bytes()
    try:
        yield
    finally:
        storage.files, storage.folders, storage.read = real_files, real_folders, real_read


def _write_table(path: Path, count: int) -> None:
    with path.open("w") as f:
        f.write("file_name,label\n")
        f.writelines(f"{file.path},{file.path[:8]}\n" for file in _files(count))


class _Meter:
    """Measures steps by the high-water mark of the process's resident memory."""

    def __init__(self, images: int) -> None:
        self._images, self._base, self._anonymous = images, self._resident("VmRSS"), self._resident("RssAnon")
        self._peak = self._held = 0  # of what was done since the step around began
        print(f"{images:,} images; the process before: {self._base / 1e6:.0f} MB", flush=True)
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self._held = max(self._held, self._resident("RssAnon"))
            time.sleep(0.01)

    @staticmethod
    def _resident(key: str) -> int:
        with open("/proc/self/status", encoding="ascii") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith(key + ":"))

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measures what is done within it, also between the steps within it."""
        around, held = max(self._peak, self._resident("VmHWM")), self._held
        self._peak = self._held = 0
        with open("/proc/self/clear_refs", "w", encoding="ascii") as f:
            f.write("5")  # resets the mark
        start = time.process_time()
        yield
        seconds = time.process_time() - start
        highest = max(self._peak, self._resident("VmHWM"))
        self._peak = max(around, highest)
        peak, after = highest - self._base, self._resident("VmRSS") - self._base
        own = max(self._held, self._resident("RssAnon"))
        self._held = max(held, own)
        each = (
            f"{peak / self._images:7.0f} B/image at most, {(own - self._anonymous) / self._images:5.0f} its own, "
            f"{after / self._images:5.0f} after"
        )
        print(f"  {name:<34}{seconds:7.1f} s {each}", flush=True)

    def watch(self, place: Any, name: str) -> None:
        """Makes each call of a function of a module or class a step."""
        function, title = getattr(place, name), f"{place.__name__.rpartition('.')[2]}.{name}"

        @functools.wraps(function)
        def watched(*arguments: Any, **named: Any) -> Any:
            with self.step(title):
                return function(*arguments, **named)

        static = isinstance(place, type) and isinstance(vars(place)[name], staticmethod)
        setattr(place, name, staticmethod(watched) if static else watched)


def listing(count: int) -> None:
    """Measures the listings of both layouts."""
    from components.ingest.layouts import folders, manifest

    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "labels.csv"
        _write_table(table, count)
        meter = _Meter(count)
        with _made_up(count, None), meter.step("listing of folders"):
            dataset = folders.read(folder, _SHARES)
        with meter.step("fingerprint"):
            print("   ", dataset.fingerprint()[:16], end="")
        del dataset
        with _made_up(count, table), meter.step("listing of a table"):
            dataset = manifest.read(folder, _SHARES, manifest=table.name, single=True)
        with meter.step("fingerprint"):
            print("   ", dataset.fingerprint()[:16], end="")


class _Workers:
    """Takes the place of a Beam pipeline: another process writes the reports."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __enter__(self) -> _Workers:
        return self

    def __or__(self, _: object) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([sys.executable, "-m", "benchmarks.driver", "work", self._folder], check=True)


def work(folder: str) -> None:
    """Writes the reports of all shards, without images, or searches all bands."""
    from components.data import perceptual
    from components.ingest.spread import search

    if (hashes := Path(folder, ".search", "hashes.npy")).exists():
        count = len(perceptual.bands(len(np.load(hashes, mmap_mode="r"))))
        task = search.Task(folder, count, _DISTANCE, hashes.with_name("groups.npy").exists())
        for band in range(count):
            search.work(task, band)
        return
    plans = sorted(Path(folder, ".plan").glob("*.json"))
    for split in SPLITS:
        os.makedirs(os.path.join(folder, f"Split-{split}"), exist_ok=True)
    for index, plan in enumerate(plans):
        rows, known = json.loads(plan.read_text())
        text = known[0] or _report(folder, index, len(plans), rows).to_json()
        for file in json.loads(text)["files"]:
            Path(folder, file["name"]).touch()
        Path(folder, ".reports", plan.name).write_text(text)


def _report(folder: str, index: int, count: int, records: list[list[Any]]) -> census.Report:
    from components.ingest import shards

    report, random = census.Report(), np.random.default_rng(index)
    told = facts.line(Facts("jpeg", 500, 400, "", 0, (), (32,) * len(properties.NAMES), "", (), b"", b"", b""))
    rows = np.zeros(len(records), census.ROW)
    words = [hashlib.sha256(record[0].encode()).digest() for record in records]
    rows["sha256"] = np.frombuffer(b"".join(words), "<u8").reshape(-1, 4)
    rows["perceptual"] = random.integers(0, 1 << 63, (len(records), 4), np.uint64) * np.uint64(2) + np.uint64(1)
    rows["comparable"] = True
    chosen = [splits.by_hash(word.hex(), _SHARES) for word in words]
    rows["split"] = [SPLITS.index(split) for split in chosen]
    for record, row, split, word in zip(records, rows, chosen, words, strict=True):
        labels = tuple(record[1])
        row["truth"] = census.truth(labels, ())
        report.label_sets[split, labels, ()] += 1
        report.formats["JPEG", split] += 1
        report.digests[record[0]] = word.hex()
        report.facts += told
        for label in ("", *(labels if split == "train" else ())):
            empty = np.zeros((len(properties.NAMES), properties.BINS), np.int64)
            report.properties.setdefault((split, label), empty)[:, random.integers(properties.BINS)] += 1
    report.rows, report.paths = bytearray(rows.tobytes()), [record[0] for record in records]
    for word in words:
        report.store(word)
    report.sizes = [[400, 600], [300, 500]]
    report.content = int.from_bytes(words[0], "big") if words else 0
    name = shards.name(index, count)
    for split in SPLITS:
        sha256 = hashlib.sha256(f"{folder} {name} {split}".encode()).hexdigest()
        report.files.append(
            Shard(name=f"Split-{split}/{name}", split=split, records=chosen.count(split), bytes=0, sha256=sha256)
        )
    return report


def night(count: int, folder: str, number: int) -> None:
    """Measures the stage; from the second night on, it finds the shards of the one before."""
    from tfx.types import standard_artifacts

    from components.ingest import earlier, ledger, manifest, reuse, settling, shards
    from components.ingest.layouts import reading
    from components.ingest.settings import Data, Labels, NearLimits, Source
    from components.ingest.spread import plan as spread
    from components.ingest.spread import search
    from components.ingest.stored import index
    from components.stages import ingest

    search.ALONE = 0  # as for millions of images, of which a part tells what each takes
    near = NearLimits(distance=_DISTANCE, max_share=0.2)
    source = Source(exclusive=True, per_pixel=False, data=Data(root=folder), labels=Labels(), near=near)
    examples, before = standard_artifacts.Examples(), os.path.join(folder, "examples", str(number - 1))
    examples.uri = os.path.join(folder, "examples", str(number))
    os.makedirs(examples.uri)
    executor = ingest.Executor()
    executor._make_beam_pipeline = functools.partial(_Workers, examples.uri)
    with _made_up(count, None):
        print(f"night {number}", flush=True)
        meter = _Meter(count)
        meter.watch(reading, "read")
        meter.watch(ledger, "recognise")
        dataset = reading.read(source)[0]
        found = ledger.recognise(dataset, ledger.read([before]), most_bytes=1 << 30)
        del dataset
        for place, name in (
            *((reuse, "find"), (shards, "job"), (shards, "plan"), (spread, "write"), (spread, "reports")),
            *((settling, "merge"), (manifest, "write"), (reuse, "write"), (ledger, "write"), (index, "write")),
            *((earlier.Earlier, "after"), (earlier.Seen, "write"), (earlier.Seen, "read")),
            *((census.Images, "write"), (census.Images, "write_near_pairs")),
        ):
            meter.watch(place, name)
        with meter.step("the whole stage"):
            properties = {
                "source": source.to_json(),
                "data_fingerprint": f"{found.key}{number}",
                "earlier_splits": "",
                "destination": os.path.join(folder, "none"),
                "remembered": os.path.join(before, "splits.npy") if number > 1 else "",
                "task": "single_label",
                "code_fingerprint": "code",
            }
            executor.Do({}, {"examples": [examples]}, properties)


def gate(count: int, folder: str) -> None:
    """Measures the rules of the data gate on the counts of the first night."""
    from components.gates import data_gate
    from components.gates.data_rules.base import GateInput
    from components.gates.settings import DataGateLimits
    from components.ingest import manifest

    limits = DataGateLimits(max_bad_fraction=0.05, contradictions=True, min_labels=2, near_duplicate_distance=_DISTANCE)
    meter, uri = _Meter(count), os.path.join(folder, "examples", "1")
    with meter.step("data gate"):
        verdicts = data_gate.check(GateInput(manifest.read(uri), census.Images.read(uri)), limits)
    if refused := [verdict.reason for verdict in verdicts if not verdict.passed]:
        raise SystemExit(f"the made-up data were refused: {refused}")


def _alone(*arguments: object) -> None:
    """Runs a part in a process of its own."""
    subprocess.run([sys.executable, "-m", "benchmarks.driver", *map(str, arguments)], check=True)


def main(counts: list[int]) -> None:
    """Measures each number of images."""
    for count in counts:
        _alone("listing", count)
        with tempfile.TemporaryDirectory() as folder:
            _alone("night", count, folder, 1)
            _alone("night", count, folder, 2)
            _alone("gate", count, folder)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["work", place]:
            work(place)
        case ["listing", images]:
            listing(int(images))
        case ["night", images, place, number]:
            night(int(images), place, int(number))
        case ["gate", images, place]:
            gate(int(images), place)
        case given:
            main([int(float(images)) for images in given] or [100_000, 1_000_000])
