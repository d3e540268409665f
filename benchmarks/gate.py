"""Measures the data gate: `imagegate check` against a plain loop, and how the search for near-duplicates scales.

python -m benchmarks.gate --folder DIR --json FILE
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks import photos
from components.data import perceptual

_PHOTOS = 20_000
_HASHES = (10_000, 100_000, 1_000_000)
_PLANTED = 100  # one in this many hashes has a near-duplicate in the other group
_CERTAIN = 23  # bits; all pairs within this distance are found


def _files(folder: str) -> Iterator[str]:
    for label in sorted(os.listdir(folder)):
        for name in sorted(os.listdir(os.path.join(folder, label))):
            yield os.path.join(folder, label, name)


def _loop(folder: str, library: str) -> None:
    """Reads and decodes each file once in a single thread."""
    if library == "tensorflow":
        import tensorflow as tf

        def decode(data: bytes) -> None:
            tf.io.decode_jpeg(data, channels=3)
    else:
        from PIL import Image

        def decode(data: bytes) -> None:
            with Image.open(io.BytesIO(data)) as image:
                image.load()

    count, started, cpu = 0, time.perf_counter(), 0.0
    for path in _files(folder):
        with open(path, "rb") as f:
            decode(f.read())
        count += 1
        if count == 1:  # excludes the library's initialisation
            started, cpu = time.perf_counter(), time.process_time()
    _print_numbers(seconds=time.perf_counter() - started, cpu_seconds=time.process_time() - cpu, images=count)


def _check(folder: str, work: str) -> None:
    """Measures `imagegate check` in this process, and separately the part that its rules take."""
    import tensorflow as tf

    from components.gates import data_gate
    from pipeline import config
    from pipeline.runs import check
    from pipeline.terminal import Terminal

    settings = {"name": "photos", "task": "single_label", "data": {"root": folder}, "push": {"destination": "models"}}
    path = os.path.join(work, "imagegate.yaml")
    with open(path, "w", encoding="utf-8") as f:
        yaml.safe_dump(settings, f)
    tf.io.decode_jpeg(_first(folder), channels=3)  # excludes the library's initialisation
    rules, seconds = data_gate.check, 0.0

    def timed(*arguments: Any) -> Any:
        nonlocal seconds
        began = time.perf_counter()
        result = rules(*arguments)
        seconds = time.perf_counter() - began
        return result

    data_gate.check = timed
    started, cpu = time.perf_counter(), time.process_time()
    with Terminal() as terminal:
        code = check.run(config.load(path), terminal)
    _print_numbers(
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu,
        rules_seconds=seconds,
        images=sum(1 for _ in _files(folder)),
        code=code,
    )


def _first(folder: str) -> bytes:
    with open(next(_files(folder)), "rb") as f:
        return f.read()


def _near(count: int, skewed: bool) -> None:
    hashes, groups, planted = _hashes(count, skewed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    pairs = perceptual.near_pairs(hashes, groups, perceptual.DEFAULT_DISTANCE)
    seconds = time.perf_counter() - started
    near = {tuple(pair) for pair in pairs.tolist()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    _print_numbers(seconds=seconds, peak_bytes_per_hash=1024 * peak / count, recall=len(near & planted) / len(planted))


def _hashes(count: int, skewed: bool) -> tuple[NDArray[np.uint64], NDArray[np.int64], set[tuple[int, int]]]:
    """Returns random hashes, their groups, and the pairs planted within `_CERTAIN` bits of each other in two groups.

    Skewed hashes imitate photos that resemble one another: each is one of 1,000 common hashes with a quarter of its
    bits drawn again.
    """
    random = np.random.default_rng(count)
    hashes = random.integers(0, 2**64, (count, 4), dtype=np.uint64)
    if skewed:
        kept = random.integers(0, 2**64, (count, 4), dtype=np.uint64) | random.integers(
            0, 2**64, (count, 4), dtype=np.uint64
        )
        common = random.integers(0, 2**64, (1000, 4), dtype=np.uint64)[random.integers(0, 1000, count)]
        hashes = (common & kept) | (hashes & ~kept)
    chosen = random.choice(count, 2 * (count // _PLANTED), replace=False).reshape(2, -1)
    for one, other in chosen.T:
        copy = hashes[one].copy()
        for bit in random.choice(256, _CERTAIN, replace=False).tolist():
            copy[bit // 64] ^= np.uint64(1 << bit % 64)
        hashes[other] = copy
    groups = np.zeros(count, np.int64)
    groups[chosen[1]] = 1
    return hashes, groups, {(min(pair), max(pair)) for pair in chosen.T.tolist()}


def _print_numbers(**numbers: float) -> None:
    print(json.dumps(numbers))


_JOBS: dict[str, Callable[..., None]] = {"loop": _loop, "check": _check, "near": _near}


def _measure(job: str, *arguments: Any) -> dict[str, Any]:
    """Runs a job in a new process and returns its numbers."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "benchmarks.gate", "--job", json.dumps([job, *arguments])]
    out = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
    numbers: dict[str, Any] = json.loads(out.splitlines()[-1])
    return numbers


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--photos", type=int, default=_PHOTOS, help="number of photos to check, or 0 (default: %(default)s)"
    )
    parser.add_argument(
        "--hashes", type=int, nargs="*", default=_HASHES, help="numbers of hashes (default: 10k, 100k, 1M)"
    )
    parser.add_argument("--rounds", type=int, default=2, help="number of rounds for the check (default: %(default)s)")
    parser.add_argument("--folder", help="where to keep the photos (default: a temporary folder)")
    parser.add_argument("--json", help="also write every number to this file")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        job, *arguments = json.loads(options.job)
        _JOBS[job](*arguments)
        return
    numbers: dict[str, Any] = {"check": [], "near": []}
    with tempfile.TemporaryDirectory(prefix="imagegate-bench-") as work:
        if options.photos:
            numbers["check"] = _measure_check(
                photos.folder(options.folder or work, options.photos), work, options.rounds
            )
    for skewed in (False, True):
        last: tuple[int, float] | None = None
        for count in options.hashes:
            row = {"hashes": count, "skewed": skewed} | _measure("near", count, skewed)
            growth = math.log(row["seconds"] / last[1]) / math.log(count / last[0]) if last else math.nan
            last = count, row["seconds"]
            numbers["near"].append(row)
            print(
                f"near-duplicates{', skewed' if skewed else ''}, {count:,} hashes: {row['seconds']:.2f} s"
                + ("" if math.isnan(growth) else f", grows with exponent {growth:.2f}")
                + f", found {row['recall']:.1%}, peak {row['peak_bytes_per_hash']:,.0f} bytes a hash",
                flush=True,
            )
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(numbers, f, indent=1)


def _measure_check(folder: str, work: str, rounds: int) -> list[dict[str, Any]]:
    rows = []
    for _ in range(rounds):
        one = {"check": _measure("check", folder, work)}
        one |= {library: _measure("loop", folder, library) for library in ("tensorflow", "pillow")}
        rows.append(one)
        for library in ("tensorflow", "pillow"):
            ratios = [one["check"][clock] / one[library][clock] for clock in ("seconds", "cpu_seconds")]
            print(
                f"check / plain loop with {library}: {ratios[0]:.2f} by the clock, {ratios[1]:.2f} of CPU", flush=True
            )
        share = one["check"]["rules_seconds"] / one["check"]["seconds"]
        print(f"  of the check, the rules take {share:.1%} ({one['check']['images']:,} images)", flush=True)
    return rows


if __name__ == "__main__":
    main()
