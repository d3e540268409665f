"""`imagegate compare`: which methods are compared, and the tables that they come to."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.base.errors import ConfigError
from components.base.files import write_atomically
from components.model.comparing.methods import BY_DEFAULT, METHODS, SYNTHETIC, WITHOUT_LABELS
from components.model.comparing.settings import Plan
from components.report.cells import head
from pipeline.config import load
from pipeline.runs import tune

if TYPE_CHECKING:
    from components.model.comparing.record import MethodComparison
    from components.report.run_summary import RunSummary
    from pipeline.config import Config

COMPARED = "compared.md"  # in the output
_LEAST = 2  # seeds: one alone tells nothing of chance


def configuration(path: str, overrides: Sequence[str], methods: str | None, seeds: int) -> tuple[Config, Plan]:
    """Loads the configuration and says what is compared.

    A method applies to the task if the configuration is valid with its keys; one that learns from images without
    labels, if there may be any.

    Args:
        path: a YAML file.
        overrides: "KEY=VALUE".
        methods: names, separated by commas; None: those for rare labels that apply to the task.
        seeds: number of trainings of each.

    Raises:
        ConfigError: the configuration or an argument is wrong.
    """
    config = load(path, overrides)
    if seeds < _LEAST:
        raise ConfigError(
            f"--seeds: expected {_LEAST} or more, because one training tells nothing of chance; got {seeds}"
        )
    if methods is None:
        own = config.training.method(config.kind)  # what a run does is what the others are compared with
        order = sorted(BY_DEFAULT, key=lambda name: name != own)
        names = [name for name in order if _problem(path, overrides, METHODS[name]) is None]
        return config, _plan(names, seeds)
    names = list(dict.fromkeys(name.strip() for name in methods.split(",")))
    for name in names:
        if name not in METHODS:
            near = difflib.get_close_matches(name, METHODS, 1)
            hint = f"did you mean {near[0]}?" if near else f"expected some of {', '.join(METHODS)}"
            raise ConfigError(f"--methods: {name!r} is no method that can be compared; {hint}")
        if problem := _problem(path, overrides, METHODS[name]) or _missing(config, name):
            raise ConfigError(f"--methods: {name} does not apply here: {problem}")
    if config.training.unlabelled == "none" and any(name in WITHOUT_LABELS for name in names):
        config = load(path, [*overrides, "training.unlabelled=auto"])  # or the images would not be read
    return config, _plan(names, seeds)


def _missing(config: Config, name: str) -> str | None:
    """Says which images a method lacks; None if it needs none, or there may be rows without a label."""
    if name == SYNTHETIC and config.training.synthetic is None:
        return "write down in training.synthetic which images are to be made"
    if name not in WITHOUT_LABELS or config.data.unlabelled is not None:
        return None
    if config.data.layout != "folders" and not config.kind.per_pixel:
        return None
    return "there are no images without labels; write down in data.unlabelled where they are"


def _plan(names: Sequence[str], seeds: int) -> Plan:
    return Plan(methods={name: dict(METHODS[name]) for name in names}, seeds=seeds)


def _problem(path: str, overrides: Sequence[str], overlay: Mapping[str, Any]) -> str | None:
    """What the configuration says against a method; None if it takes it."""
    try:
        load(path, [*overrides, *(f"training.{key}={json.dumps(value)}" for key, value in overlay.items())])
    except ConfigError as error:
        return str(error).splitlines()[0].removeprefix(f"{path}: ")
    return None


def announced(config: Config, plan: Plan) -> str:
    """What is compared, and how long it may take."""
    trainings = len(plan.methods) * plan.seeds
    expected = tune.expected(config, trainings).replace("the first trial tells", "the first training tells")
    return f"comparing {', '.join(plan.methods)}: {plan.seeds} seeds each, {trainings} trainings{expected}"


def write(config: Config, summary: RunSummary) -> str:
    """Writes the tables to a file of the output, in Markdown; returns its path.

    Raises:
        ConfigError: the run has no comparison.
        OSError: the file cannot be written.
    """
    if summary.comparison is None:
        raise ConfigError("compare: this run has no comparison")
    path = os.path.join(config.output_folder, COMPARED)
    about = f"Methods for `{summary.name}`, compared by `imagegate compare`, run {summary.run_id}."
    write_atomically(path, f"{about}\n\n{markdown(summary.comparison)}")
    return path


def markdown(found: MethodComparison) -> str:
    """The figures of each method and, below, by how much they differ from those of the first."""
    figures = list(map(head, found.figures))
    rows = [["method", *figures, "seconds"]]
    for method in found.methods:
        cells = [method.figures[name].text() if name in method.figures else "–" for name in found.figures]
        rows.append([f"`{method.name}`", *cells, "–" if method.seconds is None else f"{method.seconds:.1f}"])
    parts = [_grid(rows)]
    others = [method for method in found.methods if method.differences]
    if others:
        rows = [[f"minus `{found.methods[0].name}`", *figures]]
        for method in others:
            apart = [method.differences[name] for name in found.figures]
            rows.append([f"`{method.name}`", *(one.text() + (" *" if one.beyond_chance else "") for one in apart)])
        parts.append(_grid(rows))
    return "\n\n".join([*parts, "\n".join(found.remarks()).replace("*", "\\*")]) + "\n"


def _grid(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])
