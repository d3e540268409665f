"""Measures what each further image costs in each stage of a run: bytes read and written, seconds of processor, memory.

python -m benchmarks.stages --backbone FILE --counts 1000 4000 --new 0.01 --plot stages.svg

Runs photos of about 40 KB through the whole pipeline, for each count once, with the head alone on stored features. The
difference between the runs of the fewest and the most, divided by that of the images, is free of what each run needs
anyway: imports, the graph, the serving check's process. Bytes are those that the process asked the system for, from its
cache or its disk (`rchar` and `wchar` in /proc/PID/io; so Linux only); files that are mapped into memory are not among
them. Memory is the most that the process had of it during the stage of the largest run, with all that it had loaded
until then.

With --new, that share of new photos is added to the most, and the same process runs again: a night, without imports.
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
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import photos
from pipeline import cli, stages


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
    parser.add_argument("--counts", type=int, nargs="+", default=(1000, 4000), help="numbers of images, two at least")
    parser.add_argument("--new", type=float, default=0, help="the share of new photos of a further run (default: none)")
    parser.add_argument("--plot", help="the file of a plot over the numbers of images")
    options = parser.parse_args()
    counts = sorted(options.counts)
    if len(counts) < 2:
        parser.error("--counts needs two numbers at least")
    found: dict[int, dict[str, Used]] = {}
    night: dict[str, Used] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            root = photos.folder(folder, count)
            size = sum(path.stat().st_size for path in Path(root).rglob("*.jpg")) / count
            new = round(options.new * count) if count == counts[-1] else 0
            found[count], night = _run(Path(folder, f"run-{count}"), root, options.backbone, count, new)
    _print_further(found, size)
    _print_counts(found)
    if night:
        _print_night(found[counts[-1]], night)
    if options.plot:
        _draw(found, options.plot)


def _print_further(found: Mapping[int, Mapping[str, Used]], size: float) -> None:
    """Prints what a further image costs in each stage."""
    few, many = min(found), max(found)
    low, high = found[few], found[many]
    print(f"for each image of {size / 1000:.1f} KB, from runs of {few:,} and {many:,}:")
    print(f"{'stage':18}{'read':>10}{'written':>10}{'processor':>12}{'memory':>10}")
    for name in high:
        read, written, seconds, _ = (np.subtract(high[name], low[name]) / (many - few)).tolist()
        used = f"{read / 1000:7.1f} KB{written / 1000:7.1f} KB{1000 * seconds:9.2f} ms"
        print(f"{name:18}{used}{high[name].memory / 2**30:6.1f} GiB")


def _print_counts(found: Mapping[int, Mapping[str, Used]]) -> None:
    """Prints seconds of processor and memory of each stage, for each number of images."""
    print("\nseconds of processor, and GiB at most, of the runs of:")
    print(f"{'stage':18}" + "".join(f"{count:>18,}" for count in found))
    for name in found[max(found)]:
        cells = (f"{used[name].seconds:10.1f} s{used[name].memory / 2**30:4.1f} G" for used in found.values())
        print(f"{name:18}" + "".join(f"{cell:>18}" for cell in cells))


def _print_night(full: Mapping[str, Used], night: Mapping[str, Used]) -> None:
    """Prints what a run with few new images takes of a full one's processor time."""
    print("\nseconds of processor, full run and a run with new images:")
    for name, used in full.items():
        again = f"{night[name].seconds:10.1f}" if name in night else f"{'cached':>10}"
        print(f"{name:18}{used.seconds:10.1f}{again}")
    before = list(full)[: list(full).index(stages.TRAINER.name)]
    whole, part = (sum(run[name].seconds for name in before if name in run) for run in (full, night))
    print(f"before training{whole:13.1f}{part:10.1f}: a share of {part / whole:.2f}")


def _draw(found: Mapping[int, Mapping[str, Used]], path: str) -> None:
    """Draws milliseconds of processor for each image, and memory, over the number of images, for the dearest stages."""
    from matplotlib.figure import Figure

    largest = found[max(found)]
    names = sorted(largest, key=lambda name: -largest[name].seconds)[:6]
    figure = Figure(figsize=(10, 4), layout="constrained")
    times, memory = figure.subplots(1, 2)
    for name in names:
        times.plot(list(found), [1000 * used[name].seconds / count for count, used in found.items()], "o-", label=name)
        memory.plot(list(found), [used[name].memory / 2**30 for used in found.values()], "o-", label=name)
    times.set(xscale="log", yscale="log", xlabel="images", ylabel="processor time for each image, ms")
    memory.set(xscale="log", ylim=(0, None), xlabel="images", ylabel="most memory, GiB")
    for axes in (times, memory):
        axes.set_xticks(list(found), [f"{count:,}" for count in found])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.legend(*times.get_legend_handles_labels(), loc="outside lower center", ncols=len(names), fontsize="small")
    figure.savefig(path, metadata={"Date": None})


def _run(folder: Path, root: str, backbone: str, count: int, new: int) -> tuple[dict[str, Used], dict[str, Used]]:
    """What each stage of a run of `count` photos used, in the order in which they ended, and of one with `new` more."""
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
        found = pool.submit(_measured, str(path)).result()
        if not new:
            return found, {}
        for index in range(count, count + new):
            photos.write(root, index)
        return found, pool.submit(_measured, str(path)).result()


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
