"""Measures what each further image costs in each stage of a run: bytes read and written, seconds of processor, memory.

python -m benchmarks.stages --backbone FILE --counts 1000 4000

Runs photos of about 40 KB through the whole pipeline twice, few and many, with the head alone on stored features. The
difference between the two runs, divided by that of the images, is free of what each run needs anyway: imports, the
graph, the serving check's process. Bytes are those that the process asked the system for, from its cache or its disk
(`rchar` and `wchar` in /proc/PID/io; so Linux only); files that are mapped into memory are not among them. Memory is
the most that the process had of it during the stage of the larger run, with all that it had loaded until then.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import photos
from pipeline import cli


class Used(NamedTuple):
    """What a process and its ended children have used so far."""

    read: float
    written: float
    seconds: float
    memory: float


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", required=True, help="file of a Keras model")
    parser.add_argument("--counts", type=int, nargs=2, default=(1000, 4000), help="few images, and many")
    options = parser.parse_args()
    few, many = options.counts
    with tempfile.TemporaryDirectory() as folder:
        roots = [photos.folder(folder, count) for count in (few, many)]
        size = sum(path.stat().st_size for path in Path(roots[1]).rglob("*.jpg")) / many
        low, high = (_run(Path(folder, f"run-{i}"), root, options.backbone) for i, root in enumerate(roots))
    print(f"for each image of {size / 1000:.1f} KB, from runs of {few:,} and {many:,}:")
    print(f"{'stage':18}{'read':>10}{'written':>10}{'processor':>12}{'memory':>10}")
    for name in high:
        read, written, seconds, _ = (np.subtract(high[name], low[name]) / (many - few)).tolist()
        used = f"{read / 1000:7.1f} KB{written / 1000:7.1f} KB{1000 * seconds:9.2f} ms"
        print(f"{name:18}{used}{high[name].memory / 2**30:6.1f} GiB")


def _run(folder: Path, root: str, backbone: str) -> dict[str, Used]:
    """What each stage of a run used, in the order in which they ended."""
    folder.mkdir()
    config = {
        "name": "photos",
        "task": "single_label",
        "data": {"root": root},
        "output": str(folder / "out"),
        "push": {"destination": str(folder / "models")},
        "training": {"recipe": "fast", "image_size": [64, 64], "backbone": os.path.abspath(backbone)},
        "evaluation": {"thresholds": [{"metric": "ece", "max": 1}]},
    }
    path = folder / "imagegate.yaml"
    path.write_text(json.dumps(config))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, str(path)).result()


def _measured(path: str) -> dict[str, Used]:
    """Runs `imagegate run` in this process, and reads its counters each time that it prints the end of a stage."""
    found: dict[str, Used] = {}
    before = _used()
    out = sys.stdout

    class Lines(io.StringIO):
        """Passes everything on, and looks at the lines."""

        def write(self, text: str) -> int:
            nonlocal before
            name, *rest = text.split() or [""]
            if rest[:1] == ["ok"]:
                now = _used()
                found[name] = Used(*np.subtract(now, before))._replace(memory=now.memory)
                Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins anew
                before = now
            return out.write(text)

    sys.stdout = Lines()
    try:
        code = cli.main(["run", path])
    finally:
        sys.stdout = out
    assert code == 0, f"imagegate run ended with {code}"
    return found


def _used() -> Used:
    told = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    ticks = sum(map(int, fields[11:15]))  # in user and system mode, of the process and of its ended children
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak
    return Used(int(told["rchar"]), int(told["wchar"]), ticks / os.sysconf("SC_CLK_TCK"), 1024 * int(peak[1]))


if __name__ == "__main__":
    main()
