"""Runs on a schedule, on data that grow: what each takes of memory, files, disk and time stays within bounds.

`make faults FAULTS=tests/faults/test_soak.py` runs all of it. The bounds are in docs/reliability.md.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from broken import small, table
from projects import ROOT, Project

pytestmark = pytest.mark.end_to_end
COMMAND = "make faults FAULTS=tests/faults/test_soak.py"
KEPT = 3
# Beyond what follows from the images themselves, which are 1 % more each time.
MEMORY_PER_RUN = 1.0  # MiB: the slope of the peaks
DATABASE_PER_RUN = 300_000  # bytes
HISTORY_PER_RUN = 600_000  # bytes of summary, log and page
SECONDS_PER_RUN = 0.25  # the slope of the CPU times
FILES = 40  # open at the end of a run, more than at the first one's


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds of CPU, MiB at its peak, most open files, and bytes on the disk."""

    cpu: float
    memory: float
    files: int
    database: int
    artifacts: int
    history: int
    images: int


def size(path: Path) -> int:
    """Bytes of the files below a path, each once."""
    if path.is_file():
        return path.stat().st_size
    found = {(s.st_dev, s.st_ino): s.st_size for p in path.rglob("*") if p.is_file() for s in [p.stat()]}
    return sum(found.values())


def scheduled(project: Project) -> Cost:
    """Runs what cron starts, as it starts it."""
    command = [sys.executable, "-m", "pipeline.scheduled", project.config, "--set", f"output.keep={KEPT}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=project.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    files = 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        files = max(files, open_files(process.pid))
        time.sleep(0.1)
    assert process.stdout is not None
    printed = process.stdout.read()
    assert os.waitstatus_to_exitcode(status) == 0, printed + (project.output / "schedule.log").read_text()[-3000:]
    summary = project.latest_summary()
    # A new image of the test split leaves the model as it was.
    assert summary["status"] in ("pushed", "up_to_date"), summary["error"]
    return Cost(
        usage.ru_utime + usage.ru_stime,
        max(usage.ru_maxrss / 1024, *(stage["peak_memory"] / 2**20 for stage in summary["stages"])),
        files,
        size(project.output / "metadata.sqlite"),
        size(project.output / "pipeline"),
        size(project.output / "history"),
        sum(summary["data"]["counts"].values()),
    )


def open_files(pid: int) -> int:
    """How many files a process has open; 0 if it has ended."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def slope(values: list[float]) -> float:
    """Of the least-squares line through values at 0, 1, 2, ..."""
    return float(np.polyfit(range(len(values)), values, 1)[0])


def test_the_slope_is_that_of_the_line() -> None:
    assert slope([1.0, 3.0, 5.0]) == pytest.approx(2)
    assert slope([2.0, 1.0, 2.0, 1.0]) == pytest.approx(-0.2)  # sum of (x - 1.5)(y - 1.5) / 5 = -1 / 5


@pytest.mark.slow
@pytest.mark.parametrize("runs", [3, 50])
def test_runs_on_data_that_grow_stay_within_bounds(
    runs: int, undisturbed: Callable[[str], Project], tmp_path: Path
) -> None:
    original = undisturbed("single_label")
    project = Project(tmp_path / "project", original.name)
    shutil.copytree(original.folder, project.folder, ignore=shutil.ignore_patterns("runs", "models"))
    draws, costs, number = np.random.default_rng(0), list[Cost](), 0
    for i in range(runs):
        if i:
            for _ in range(max(1, round(0.01 * costs[-1].images))):
                number += 1
                grow(project, number, draws)
        costs.append(scheduled(project))
        assert small.broken_versions(project.destination) == []
        print(i, costs[-1], flush=True)
    assert small.remains(project.output, project.destination) == []
    first, last = costs[0], costs[-1]
    assert last.images > first.images
    assert last.files <= first.files + FILES
    assert last.database <= first.database + DATABASE_PER_RUN * runs
    assert last.history <= first.history + HISTORY_PER_RUN * runs
    whole = max(first.artifacts, costs[min(KEPT, runs - 1)].artifacts)
    assert last.artifacts <= 1.5 * whole * last.images / first.images
    assert len([path for path in project.destination.iterdir() if path.name.isdigit()]) <= 10
    if runs > 5:
        assert slope([cost.cpu for cost in costs[1:]]) < SECONDS_PER_RUN
        assert slope([cost.memory for cost in costs[1:]]) < MEMORY_PER_RUN
    rows = list((project.output / "history").glob("*/summary.json"))
    assert len(rows) == runs
    assert all(json.loads(path.read_text())["exit_code"] == 0 for path in rows)
    per_run = max(1, runs - 1)
    table.add(
        f"scheduled runs, each on 1 % more images: {first.images} to {last.images}",
        runs,
        f"peak memory {first.memory:.0f} to {last.memory:.0f} MiB, {slope([c.memory for c in costs]):+.2f} a run; "
        f"open files {first.files} to {last.files}; "
        f"metadata.sqlite +{(last.database - first.database) / per_run / 1e3:.0f} KB a run; "
        f"history +{(last.history - first.history) / per_run / 1e3:.0f} KB a run; "
        f"artifacts {first.artifacts / 1e6:.1f} to {last.artifacts / 1e6:.1f} MB; "
        f"CPU {first.cpu:.1f} to {last.cpu:.1f} s, {slope([c.cpu for c in costs]):+.2f} a run",
        COMMAND,
    )


def grow(project: Project, number: int, draws: np.random.Generator) -> None:
    """Adds an image: one that is there, with other values in some pixels."""
    from PIL import Image

    label = str(number % 3)
    with Image.open(project.folder / "data" / label / f"{number % 30}.png") as image:
        pixels = np.asarray(image).copy()
    pixels[draws.integers(0, 8, 20), draws.integers(0, 8, 20)] = draws.integers(0, 240, 20)
    Image.fromarray(pixels).save(project.folder / "data" / label / f"new-{number}.png")
