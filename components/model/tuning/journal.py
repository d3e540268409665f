"""The trials of a search on disk: what was tried is not tried again, even after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError

from components.base.files import write_atomically
from components.base.values import Value

Status = Literal["finished", "pruned", "failed", "out_of_time"]


class Trial(Value):
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


def dumps(trials: Sequence[Trial], about: dict[str, Any]) -> str:
    """The trials and what is known about their search, as JSON."""
    return json.dumps({**about, "trials": [trial.model_dump() for trial in trials]}, allow_nan=False)


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
