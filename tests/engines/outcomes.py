"""What a run came to, for the comparison of engines: the same project on each, in folders of its own."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects import Project, Run, command, write_tiny

from engines.workers import ROOT
from scripts import compare_runs

TASKS = ("single_label", "multi_label", "segmentation")
# Stages that run on the engine.
ON_ENGINE = ("ImageExampleGen", "StatisticsGen", "Transform", "Evaluator")
# One epoch on small images, weights that follow from counts, and a threshold that any model meets.
QUICK = [
    *("training.epochs=1", "training.image_size=[16, 16]", "training.imbalance=weights", "training.augment=false"),
    *("evaluation.thresholds=[{metric: ece, max: 1}]", "balance.min_examples=5"),
]


@dataclass(frozen=True)
class Outcome:
    """A run that went through: its results, and the seconds of each stage."""

    results: dict[str, Any]
    seconds: dict[str, float]


def project(folder: Path, task: str) -> Project:
    """Writes a small project of a task: pictures of digits, or a demo."""
    if task == "single_label":
        return write_tiny(folder)
    from pipeline.init import demo

    demo.write(str(folder), task)
    return Project(folder, {"multi_label": "shapes", "segmentation": "regions"}[task])


def run(made: Project, name: str, beam: Sequence[str] = ()) -> Outcome:
    """Runs a project in a process of its own, as a user would.

    Args:
        made: the project.
        name: of the engine, unique for the project.
        beam: the options of the engine; none for the default runner.
    """
    done = attempt(made, name, beam)
    assert done.code == 0, f"{name}: {done.out[-3000:]}{done.err[-3000:]}"
    summary = summary_of(made, name)
    assert not any(stage["cached"] for stage in summary["stages"])
    return read(made, name)


def attempt(made: Project, name: str, beam: Sequence[str] = (), **variables: str) -> Run:
    """Like `run`, but may fail; with variables for the environment."""
    places = [f"output.folder={made.folder / name}", f"push.destination={made.folder / 'models' / name}"]
    changes = [part for key in (*QUICK, *places, f"beam={json.dumps(list(beam))}") for part in ("--set", key)]
    return command(ROOT, made.folder, 1800)("run", made.config, *changes, **variables)


def summary_of(made: Project, name: str) -> dict[str, Any]:
    """The summary of the newest run of a project below the output folder `name`."""
    found: dict[str, Any] = json.loads((made.folder / name / "latest" / "summary.json").read_text())
    return found


def read(made: Project, name: str) -> Outcome:
    """What the newest run of a project came to below the output folder `name`."""
    summary = summary_of(made, name)
    seconds = {stage["name"]: stage["seconds"] for stage in summary["stages"]} | {"all": summary["seconds"]}
    return Outcome(compare_runs.results(str(made.folder / name)), seconds)


def differences(one: Outcome, other: Outcome) -> list[str]:
    """A line for each place where two runs differ: numbers of metrics by more than 1e-9, anything else at all."""
    return list(compare_runs.differences(_settled(one.results, other.results), other.results))


def table(rows: Mapping[str, Outcome]) -> str:
    """The seconds of the stages that run on the engine, and of the run, a line for each engine."""
    columns = (*ON_ENGINE, "all")
    lines = [" " * 20 + "".join(f"{name:>17}" for name in columns)]
    for name, outcome in rows.items():
        lines.append(f"{name:20}" + "".join(f"{outcome.seconds[column]:17.1f}" for column in columns))
    return "\n".join(lines)


def _settled(one: Any, other: Any) -> Any:
    """`one`, with the fractions of `other` where the two are within 1e-9."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: _settled(value, other.get(key)) for key, value in one.items()}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [_settled(*pair) for pair in zip(one, other, strict=True)]
    near = isinstance(one, float) and isinstance(other, float) and math.isclose(one, other, rel_tol=0, abs_tol=1e-9)
    return other if near else one
