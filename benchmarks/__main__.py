"""Measures the pipeline and stock TFX side by side on the same photos, and prints a table of medians and ratios."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib import metadata
from statistics import median
from typing import Any

from benchmarks import photos
from benchmarks.side_by_side import load
from benchmarks.side_by_side.worker import RESULT, Job

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_SIDES = {"stock": "stock TFX", "lean": "stock TFX without the image in statistics and Transform"}
_FOR_TARGETS = 3000
_FEW = 60
_CLOCKS = ("seconds", "cpu_seconds")
_PACKAGES = ("tfx", "tensorflow", "keras", "apache-beam", "pillow", "numpy")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: the measured quantity.
        ours, other: medians, in `unit`.
        against: a description of the other side.
        ratio: other / ours if more is better, ours / other if less is better.
        cpu_ratio: the same ratio of processor times, which other work on the machine hardly affects; None if the row
            is not a duration.
        target: limit for the ratio; None if the row is only for information.
        more_is_better: whether the target is a lower limit.
    """

    name: str
    ours: float
    other: float
    unit: str
    against: str
    ratio: float
    more_is_better: bool
    cpu_ratio: float | None = None
    target: float | None = None

    @property
    def met(self) -> bool | None:
        """True if the target is reached, False if not, and None if there is no target."""
        if self.target is None:
            return None
        return self.ratio >= self.target if self.more_is_better else self.ratio <= self.target


@dataclass
class Bench:
    """Runs measurements, each in a new process, and keeps the results."""

    cache: str
    work: str
    runs: list[dict[str, Any]] = field(default_factory=list)

    def measure(self, side: str, stage: str, count: int) -> dict[str, Any]:
        """Measures one run of `side` up to `stage` on `count` photos.

        Raises:
            SystemExit: the run failed, left out photos or did not push a model.
        """
        source = photos.folder(self.cache, count)
        # Writes of earlier runs must reach the disk before this measurement starts.
        os.sync()
        before = load.now()
        with tempfile.TemporaryDirectory(dir=self.work) as work:
            job = Job(side=side, stage=stage, photos=source, work=work, backbone=self._backbone())
            _python("benchmarks.side_by_side.worker", json.dumps(asdict(job)), work)
            with open(os.path.join(work, RESULT), encoding="utf-8") as f:
                result: dict[str, Any] = json.load(f)
        result["others"] = load.others(before, load.now())
        if stage != "import" and result["examples"] != count:
            raise SystemExit(f"{side} {stage}: {result['examples']} of {count} photos were ingested")
        if stage == "push" and not result["pushed"]:
            raise SystemExit(f"{side}: no model was pushed")
        self.runs.append({"side": side, "stage": stage, "photos": count, **result})
        seconds = f", {result['seconds']:.2f} s of work" if "seconds" in result else ""
        print(f"  {side} {stage} {count}: {result['import_seconds']:.1f} s of imports{seconds}", flush=True)
        return result

    def rounds(self, stage: str, runs: Sequence[tuple[str, int]], rounds: int) -> None:
        """Measures every (side, photos) in turn, `rounds` times, so that other load affects all alike."""
        for _ in range(rounds):
            for side, count in runs:
                self.measure(side, stage, count)

    def median(self, side: str, stage: str, count: int, key: str = "seconds") -> float:
        """Returns the median of `key` over all runs of this kind so far."""
        wanted = (side, stage, count)
        return median(r[key] for r in self.runs if (r["side"], r["stage"], r["photos"]) == wanted)

    def compare(self, name: str, stage: str, other: str, count: int, *, target: float | None) -> Row:
        """Compares the durations of both sides; the ratio says how many times faster ours is."""
        seconds, cpu = ([self.median(side, stage, count, key) for side in ("ours", other)] for key in _CLOCKS)
        return Row(
            name=name,
            ours=seconds[0],
            other=seconds[1],
            unit="s",
            against=_SIDES[other],
            ratio=seconds[1] / seconds[0],
            cpu_ratio=cpu[1] / cpu[0],
            target=target,
            more_is_better=True,
        )

    def _backbone(self) -> str:
        path = os.path.join(self.work, "backbone.keras")
        if not os.path.exists(path):
            _python("benchmarks.side_by_side.network", path, self.work)
        return path


def _python(module: str, argument: str, work: str) -> None:
    # Bytecode is enabled even if the environment disables it: the first process writes it, and the others use it.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    command = [sys.executable, "-m", module, argument]
    log = os.path.join(work, "log.txt")
    with open(log, "w", encoding="utf-8") as f:
        status = subprocess.run(command, cwd=_ROOT, env=environment, stdout=f, stderr=f, check=False).returncode
    if status:
        with open(log, encoding="utf-8", errors="replace") as f:
            raise SystemExit("".join(f.readlines()[-30:]) + f"{' '.join(command)}: exit status {status}")


def _ingest(bench: Bench, options: argparse.Namespace) -> list[Row]:
    """Measures the first stage alone, and the cost of each additional image without the pipeline's startup."""
    n, more = options.photos, options.more
    runs = [("ours", n), ("stock", n)]
    bench.rounds("ingest", runs + ([("ours", more), ("loop", n), ("loop", more)] if more else []), options.rounds)
    rows = [bench.compare("ingest", "ingest", "stock", n, target=2.0)]
    if more:
        (ours, loop), cpu = (
            [
                1000 * (bench.median(side, "ingest", more, key) - bench.median(side, "ingest", n, key)) / (more - n)
                for side in ("ours", "loop")
            ]
            for key in _CLOCKS
        )
        rows.append(
            Row(
                name="ingest, each additional image",
                ours=ours,
                other=loop,
                unit="ms",
                against="a plain Python loop",
                ratio=ours / loop,
                cpu_ratio=cpu[0] / cpu[1],
                target=1.3,
                more_is_better=False,
            )
        )
    return rows


def _transform(bench: Bench, options: argparse.Namespace) -> list[Row]:
    """Measures everything before training."""
    n = options.photos
    bench.rounds("transform", [(side, n) for side in ("ours", "stock", "lean")], options.long_rounds)
    return [
        bench.compare("ingest to Transform", "transform", "stock", n, target=3.0),
        bench.compare("ingest to Transform", "transform", "lean", n, target=None),
    ]


def _push(bench: Bench, options: argparse.Namespace) -> list[Row]:
    """Measures the whole pipeline, and whether its peak memory grows with the data set."""
    n, more = options.photos, options.more
    bench.rounds("push", [("ours", n), ("stock", n)], options.long_rounds)
    rows = [bench.compare("end to end, one epoch", "push", "stock", n, target=2.0)]
    ours, stock = (bench.median(side, "push", n, "peak_mib") for side in ("ours", "stock"))
    memory = partial(Row, unit="MiB", more_is_better=False)
    rows.append(memory(name="peak memory", ours=ours, other=stock, against="stock TFX", ratio=ours / stock))
    if more:
        large = bench.measure("ours", "push", more)["peak_mib"]
        rows.append(
            memory(
                name=f"peak memory, {more:,} photos",
                ours=large,
                other=ours,
                against=f"ours, {n:,} photos",
                ratio=large / ours,
                target=1.1,
            )
        )
    return rows


_MEASUREMENTS: dict[str, Callable[[Bench, argparse.Namespace], list[Row]]] = {
    "ingest": _ingest,
    "transform": _transform,
    "push": _push,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    options = _parser().parse_args(arguments)
    if options.quick:
        options.photos, options.more, options.rounds, options.long_rounds = _FEW, 0, 1, 1
    if 0 < options.more <= options.photos:
        raise SystemExit(f"--more must be 0 or above --photos ({options.photos}), got {options.more}")
    rows: list[Row] = []
    with _folder(options.folder) as cache, tempfile.TemporaryDirectory(dir=cache) as work:
        bench = Bench(cache, work)
        if max(options.rounds, options.long_rounds) > 1:  # a single round is a trial, not a measurement
            print("bytecode", flush=True)
            for side in ("ours", "stock"):
                bench.measure(side, "import", options.photos)
        for name in options.only or _MEASUREMENTS:
            print(name, flush=True)
            rows += _MEASUREMENTS[name](bench, options)
        if options.quick:
            rows = [replace(row, target=None) for row in rows]
        _print(rows, bench)
        if not options.quick and options.photos < _FOR_TARGETS:
            print(f"The targets are for {_FOR_TARGETS:,} photos; with fewer, startup dominates the durations.")
        if options.json:
            _write(options.json, options, rows, bench)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--photos", type=int, default=_FOR_TARGETS, help="number of photos (default: 3000); 60 for a trial"
    )
    parser.add_argument(
        "--more", type=int, default=12000, help="number of photos to measure growth with, or 0 (default: 12000)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds for ingest (default: 3)")
    parser.add_argument("--long-rounds", type=int, default=3, help="number of rounds for later stages (default: 3)")
    parser.add_argument(
        "--quick", action="store_true", help=f"one round of {_FEW} photos, to see that all of it works; judges nothing"
    )
    parser.add_argument("--only", nargs="+", choices=list(_MEASUREMENTS), help="default: all")
    parser.add_argument("--folder", help="where to keep the photos for the next time (default: a temporary folder)")
    parser.add_argument("--json", help="also write every number to this file")
    return parser


@contextlib.contextmanager
def _folder(given: str | None) -> Iterator[str]:
    if given:
        os.makedirs(given, exist_ok=True)
        yield os.path.abspath(given)
        return
    with tempfile.TemporaryDirectory(prefix="imagegate-bench-") as folder:
        yield folder


def _print(rows: Sequence[Row], bench: Bench) -> None:
    print("\nBy wall clock; the last ratio is that of processor time.")
    print(f"{'':<28}{'ours':>13}{'other':>13}{'ratio':>8}{'CPU':>8}  {'target':<16}other side")
    for row in rows:
        target = "" if row.target is None else f"{'>=' if row.more_is_better else '<='} {row.target:g}"
        verdict = {None: "", True: ", met", False: ", missed"}[row.met]
        ours, other = (f"{value:,.2f} {row.unit}" for value in (row.ours, row.other))
        cpu = "" if row.cpu_ratio is None else f"{row.cpu_ratio:.2f}"
        print(f"{row.name:<28}{ours:>13}{other:>13}{row.ratio:>8.2f}{cpu:>8}  {target + verdict:<16}{row.against}")
    for side in ("ours", "stock"):
        seconds = [r["import_seconds"] for r in bench.runs if r["side"] == side]
        print(f"imports before each run, not included above: {side} {median(seconds):.1f} s")
    print(_noise([r["others"] for r in bench.runs]))


def _noise(others: Sequence[float | None]) -> str:
    """A sentence on what other work took during each run, in cores."""
    known = [cores for cores in others if cores is not None]
    if not known:
        return "This system does not tell how busy it was with other work."
    told = (
        f"Other work took {median(known):.2f} of {os.cpu_count()} cores in half of the runs, at most {max(known):.2f}"
    )
    return f"{told}{': this is noisy, and the times say little.' if max(known) > load.NOISY else '.'}"


def _write(path: str, options: argparse.Namespace, rows: Sequence[Row], bench: Bench) -> None:
    data = {
        "noise": _noise([r["others"] for r in bench.runs]),
        "machine": {"cpus": os.cpu_count(), "platform": sys.platform, "python": sys.version.split()[0]},
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "options": {k: getattr(options, k) for k in ("photos", "more", "rounds", "long_rounds")},
        "rows": [asdict(row) | {"met": row.met} for row in rows],
        "runs": bench.runs,
    }
    with open(path, "w", encoding="utf-8") as f:
        json.dump(data, f, indent=1)


if __name__ == "__main__":
    main()
