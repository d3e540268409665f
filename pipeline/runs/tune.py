"""`imagegate tune`: what is searched for, and the values that it found."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.base.errors import ConfigError
from components.base.files import write_atomically
from components.base.text import number
from components.model.tuning.settings import Range, Tuning
from components.model.tuning.space import BY_DEFAULT
from pipeline.config import load, tuned
from pipeline.runs import history
from pipeline.stages import TRAINER

if TYPE_CHECKING:
    from components.report.run_summary import RunSummary
    from pipeline.config import Config

TUNED = "tuned.yaml"  # in the output


def configuration(
    path: str, overrides: Sequence[str], trials: int | None, minutes: float | None, over: str | None
) -> Config:
    """Loads the configuration of a search, which begins without the values of an earlier one.

    Args:
        path: a YAML file.
        overrides: "KEY=VALUE".
        trials, minutes: limits in place of those of the section `tuning`; None: those of the section.
        over: keys of `training`, separated by commas, in place of those of the section; None: those of the section.

    Raises:
        ConfigError: the configuration or an argument is wrong.
    """
    given = [*overrides]
    given += [] if trials is None else [f"tuning.trials={trials}"]
    given += [] if minutes is None else [f"tuning.minutes={minutes}"]
    config = load(path, given, use_tuned=False)
    if over is not None:
        listed = (config.tuning or Tuning()).model_dump(mode="json")["over"]
        names = [name.strip() for name in over.split(",")]
        chosen = {name: listed.get(name) for name in names}
        config = load(path, [*given, f"tuning.over={json.dumps(chosen)}"], use_tuned=False)
    return config


def announced(config: Config) -> str:
    """What the search tries, and for how long at most."""
    tuning = config.tuning or Tuning()
    limits = [] if tuning.most_trials is None else [f"{tuning.most_trials} trial{'s' * (tuning.most_trials != 1)}"]
    limits += [] if tuning.most_seconds is None else [f"{number(tuning.most_seconds / 60)} minutes"]
    over = tuning.over or dict.fromkeys(BY_DEFAULT)
    parts = []
    for name, values in over.items():
        if isinstance(values, Range):
            parts.append(f"{name} from {number(values.min)} to {number(values.max)}")
        else:
            parts.append(f"{name} ({len(values)} values)" if values else name)
    return f"tuning {', '.join(parts)}: at most {' and '.join(limits)}{expected(config, tuning.most_trials)}"


def expected(config: Config, trainings: int | None) -> str:
    """How long so many trainings may take, from the newest run that trained; "" where only the time is limited."""
    if trainings is None:
        return ""
    seconds = next(
        (
            stage.seconds
            for run in history.read(config.output_folder)
            for stage in run.stages
            if stage.name == TRAINER.name and not stage.cached
        ),
        None,
    )
    if seconds is None:
        return "; the first trial tells how long they take"
    whole = seconds * trainings / 60
    return f"; about {number(whole, 2)} minutes if each takes as long as the last training, {number(seconds, 2)} s"


def pin(config: Config, summary: RunSummary) -> str:
    """Writes the values that the search found to a file for `training.tuned`; returns its path.

    Raises:
        ConfigError: the run has no search.
        OSError: the file cannot be written.
    """
    found = summary.tuning
    if found is None:
        raise ConfigError("tuning: this run has no trials")
    best, first = found.of(found.best), found.of(1)
    about = (
        f"Found by `imagegate tune`, run {summary.run_id}: trial {best.number} of {len(found.trials)}.\n"
        f"{found.measure} on eval: {number(best.measure)}; with the configuration as it was: {number(first.measure)}.\n"
        "The configuration takes these values with training.tuned, the path of this file."
    )
    path = os.path.join(config.output_folder, TUNED)
    write_atomically(path, tuned.pinned(found.values, about))
    return path
