"""Processes that are killed with all that they started, at moments that are given by the progress of a run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects import ROOT, Project

_LATEST = 600.0  # seconds after which a command that neither ends nor gets on fails the test


@dataclass(frozen=True)
class Moment:
    """So many seconds after a stage has begun."""

    stage: str
    seconds: float


def moments(summary: Mapping[str, Any], count: int, seed: int) -> Iterator[Moment]:
    """Random moments of a run: a stage, the loading of libraries or the report, and a time within it, in their order.

    Args:
        summary: of a run without faults, which tells how long each stage takes.
        count: how many moments.
        seed: of the random numbers.
    """
    stages = {"loading TFX": 5.0} | {stage["name"]: stage["seconds"] for stage in summary["stages"]} | {"Report": 0.5}
    order, draws = list(stages), random.Random(seed)
    for stage in sorted(draws.choices(order, k=count), key=order.index):
        yield Moment(stage, draws.uniform(0, stages[stage]))


class Killed:
    """Commands of a project, each in a process group of its own.

    Args:
        project: the project.
        environment: variables, besides those of this process.
    """

    def __init__(self, project: Project, environment: Mapping[str, str]) -> None:
        self._project, self._environment = project, {**os.environ, "PYTHONPATH": str(ROOT), **environment}

    def begin(self, arguments: Sequence[str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pipeline", *arguments]
        return subprocess.Popen(
            command,
            cwd=self._project.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def kill(self, moment: Moment, order: Sequence[str], *arguments: str) -> bool:
        """Runs a command and kills it at a moment, by SIGKILL to its group. Returns whether it was still running.

        Where the stage comes from the cache, the first later one counts: it takes no time.
        """
        history = self._project.output / "history"
        known = set(history.glob("*")) if history.is_dir() else set()
        later = order[order.index(moment.stage) :]
        process, began = self.begin(arguments), time.monotonic()
        while process.poll() is None and not _is_in(later, history, known):
            assert time.monotonic() - began < _LATEST
            time.sleep(0.01)
        time.sleep(moment.seconds if process.poll() is None else 0)
        return end(process)

    def kill_after(self, seconds: float, *arguments: str) -> bool:
        """The same, so many seconds after the command began."""
        process = self.begin(arguments)
        time.sleep(seconds)
        return end(process)

    def run(self, *arguments: str) -> tuple[int, str]:
        """Runs a command to its end; returns the exit code and what was printed."""
        process = self.begin(arguments)
        out = process.communicate(timeout=_LATEST)[0]
        return process.returncode, out


def end(process: subprocess.Popen[str]) -> bool:
    """Kills a process with its group; returns whether it was running."""
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not running or process.returncode == -signal.SIGKILL
    return running


def _is_in(stages: Sequence[str], history: Path, known: set[Path]) -> bool:
    """Whether a run that was not known is in one of the stages."""
    for path in history.glob("*/running.json"):
        if path.parent in known:
            continue
        try:
            told = json.loads(path.read_text())["error"]
        except (OSError, ValueError):
            continue
        if any(f"in the stage {name};" in told for name in stages):
            return True
    return False
