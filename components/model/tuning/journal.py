"""The trials of a search on disk: what was tried is not tried again, even after a kill."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, JsonValue, ValidationError

from components.base.files import write_atomically
from components.base.text import number
from components.base.values import Sparse

Status = Literal["finished", "pruned", "failed", "out_of_time"]


class Trial(Sparse):
    """One trial, and what it came to."""

    number: int = Field(description="counted from 1")
    overlay: dict[str, JsonValue] = Field(description="keys of `training` -> value, where it differs")
    status: Status = Field(
        description='"finished"; "pruned": worse than half of the others, and stopped; "failed"; "out_of_time"'
    )
    measure: float | None = Field(description="on the eval split; smaller is better; null if the trial failed")
    metrics: dict[str, float] = Field({}, description="metric of training -> value on the eval split")
    curve: tuple[float, ...] = Field((), description="measure after each epoch")
    seconds: float = Field(description="duration")
    reason: str = Field("", description="why it failed")

    def settings(self) -> str:
        """Its settings for people.

        >>> Trial(number=2, overlay={"loss": "focal"}, status="finished", measure=0.5, seconds=1).settings()
        'loss focal'
        """
        texts = [f"{key} {number(v) if isinstance(v, float) else _flat(v)}" for key, v in self.overlay.items()]
        return ", ".join(texts) or "as configured"

    def told(self) -> str:
        """How it ended, "" for a finished one."""
        words = {"finished": "", "pruned": "stopped early", "out_of_time": "out of time"}
        return words.get(self.status, self.reason)


class Trials(Sparse):
    """All trials of a search, and what it found."""

    measure: str = Field(description="what is measured on the eval split")
    trials: tuple[Trial, ...]
    best: int = Field(description="number of the best trial")
    values: dict[str, JsonValue] = Field(description="keys of `training` that were tried -> the best value")

    def ranked(self) -> list[Trial]:
        """The finished trials, best first, and then those that ended early."""

        def rank(trial: Trial) -> tuple[bool, float, int]:
            return trial.status != "finished", math.inf if trial.measure is None else trial.measure, trial.number

        return sorted(self.trials, key=rank)

    def of(self, number: int) -> Trial:
        """The trial of this number."""
        return self.trials[number - 1]


class Journal:
    """The trials of one search, in a file that is complete after each of them.

    Args:
        path: of the file; its folder is made.

    Attributes:
        trials: so far, in order.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.trials: list[Trial] = _read(path)

    def add(self, trial: Trial) -> None:
        """Appends a trial.

        Raises:
            OSError: the file cannot be written.
        """
        trials = [*self.trials, trial]
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        write_atomically(self._path, "".join(one.to_json() + "\n" for one in trials))
        self.trials = trials


def best(trials: Sequence[Trial]) -> Trial | None:
    """The finished trial with the smallest measure, of equal ones the first; None if no trial finished."""
    finished = [trial for trial in trials if trial.status == "finished" and trial.measure is not None]
    return min(finished, key=lambda trial: trial.measure or 0.0, default=None)


def _flat(value: JsonValue) -> str:
    """A value on one line, without quotes."""
    if isinstance(value, list):
        return f"[{', '.join(map(_flat, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flat(one)}" for key, one in value.items()) + "}"
    return str(value)


def _read(path: str) -> list[Trial]:
    """The trials that an earlier process wrote; none from the first damaged line on."""
    trials: list[Trial] = []
    try:
        with open(path, encoding="utf-8") as f:
            for line in f:
                trial = Trial.from_json(line)
                if trial.number != len(trials) + 1:
                    break
                trials.append(trial)
    except (OSError, ValueError, ValidationError):
        pass
    return trials
