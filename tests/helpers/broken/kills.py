"""Processes that are killed with all that they started, at moments that are given by the progress of a run."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects import ROOT, Project

from broken.forks import Forked, Forks

LOADING = "loading TFX"  # the first stage
_LATEST = 3600.0  # seconds after which a command that neither ends nor gets on fails the test


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
    stages = {LOADING: 5.0} | {stage["name"]: stage["seconds"] for stage in summary["stages"]} | {"Report": 0.5}
    order, draws = list(stages), random.Random(seed)
    for stage in sorted(draws.choices(order, k=count), key=order.index):
        yield Moment(stage, draws.uniform(0, stages[stage]))


class Killed:
    """Commands of a project, each in a process group of its own.

    Args:
        project: the project.
        environment: variables, besides those of this process.
        forks: what has loaded the libraries; a command that is killed while it loads them is started anew.
    """

    def __init__(self, project: Project, environment: Mapping[str, str], forks: Forks) -> None:
        self._project, self._environment, self._forks = project, environment, forks

    def kill(self, moment: Moment, order: Sequence[str], *arguments: str) -> bool:
        """Runs a command and kills it at a moment, by SIGKILL to its group. Returns whether it was still running.

        Where the stage comes from the cache, the first later one counts: it takes no time.
        """
        history = self._project.output / "history"
        known = set(history.glob("*")) if history.is_dir() else set()
        later = order[order.index(moment.stage) :]
        process = self._start(arguments) if moment.stage == LOADING else self._fork(arguments)
        return _killed(process, lambda: _is_in(later, history, known), moment.seconds)

    def kill_when(self, reached: Callable[[], bool], *arguments: str) -> bool:
        """The same, as soon as something is reached."""
        return _killed(self._fork(arguments), reached, pause=0.001)

    def run(self, *arguments: str) -> str:
        """Runs a command to its end, which must be a good one; returns what was printed."""
        process = self._fork(arguments)
        out = process.communicate(timeout=_LATEST)[0]
        assert process.returncode == 0, out
        return out

    def _fork(self, arguments: Sequence[str]) -> Forked:
        return self._forks.begin(arguments, self._project.folder, self._environment)

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", *arguments],
            cwd=self._project.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self._environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def _killed(
    process: Forked | subprocess.Popen[str], reached: Callable[[], bool], seconds: float = 0, pause: float = 0.02
) -> bool:
    """Kills a process with its group, so many seconds after something is reached; returns whether that ended it.

    It looks again after each pause. A process that ended before must have done its work.
    """
    late, kill = time.monotonic() + _LATEST, math.inf
    while process.poll() is None and (now := time.monotonic()) < min(late, kill):
        if kill == math.inf and reached():
            kill = now + seconds
        else:
            time.sleep(pause)
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    out = process.communicate()[0]
    assert process.returncode in (0, -signal.SIGKILL), out
    assert process.returncode == 0 or kill < math.inf, f"it came to nothing in {_LATEST:g} seconds"
    return process.returncode != 0


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
