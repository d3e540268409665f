"""Our side: the pipeline, run on what a benchmark configures; and how figures of several seeds are printed.

Also the arguments that benchmarks of several ways to train have in common.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy.labelled import Labelled
from pipeline import stages


@dataclass(frozen=True)
class Run:
    """What became of a run.

    Attributes:
        summary: its `summary.json`.
        evaluation: folder of the answers to the test images.
        seconds: of the Trainer.
    """

    summary: dict[str, Any]
    evaluation: str
    seconds: float


def run(work: Path, config: Mapping[str, Any]) -> Run:
    """Runs the pipeline in `work`; no limit of the data gate stands in its way.

    Args:
        work: folder of the images and of all that is written.
        config: the sections that differ between benchmarks.
    """
    limits = {"min_examples": 1, "max_ratio": 1000, "max_split_drift": None, "allow_duplicates_across_splits": True}
    whole = {"name": "ours", "balance": limits, "output": "runs", "push": {"destination": "served"}, **config}
    (work / "imagegate.yaml").write_text(json.dumps(whole))
    command = [sys.executable, "-m", "pipeline", "run", str(work / "imagegate.yaml"), "--json"]
    summary = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    seconds = next(stage["seconds"] for stage in summary["stages"] if stage["name"] == stages.TRAINER.name)
    return Run(summary, str(work / "runs" / summary["artifacts"]["evaluation"]), seconds)


def arguments(about: str) -> argparse.ArgumentParser:
    """What a comparison of ways to train takes: which images, how they are split, and what all ways have in common."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="a folder with a folder for each label, or with files")
    parser.add_argument("--table", type=Path, help="CSV: file name, then a column of 0 and 1 for each label")
    parser.add_argument("--backbone", default="small", help="path of a .keras file")
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224), metavar=("H", "W"))
    parser.add_argument("--recipe", default="good", choices=("fast", "good", "best"))
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3))
    parser.add_argument("--shares", type=float, nargs=2, default=(0.1, 0.25), metavar=("EVAL", "TEST"))
    parser.add_argument("--most", type=int, help="take so many images at most")
    return parser


def figures(
    data: Labelled,
    splits: dict[str, list[int]],
    ways: Mapping[str, Mapping[str, Any]],
    options: argparse.Namespace,
    seed: int,
    unlabelled: Iterable[int] = (),
) -> dict[str, dict[str, Any]]:
    """Runs the pipeline in several ways.

    Args:
        data: the images.
        splits: split -> indices of its images.
        ways: name -> keys of `training` that differ.
        options: those of `arguments`.
        seed: of the training.
        unlabelled: indices of images that are there without their labels.

    Returns:
        name -> figures on test, the seconds of the Trainer, and what became of images without labels ("told").
    """
    found: dict[str, dict[str, Any]] = {}
    backbone = options.backbone if options.backbone == "small" else os.path.abspath(options.backbone)
    training = {"backbone": backbone, "image_size": options.size, "seed": seed, "recipe": options.recipe}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        told = {"labels": data.labels, **data.told(splits, work)}
        config = data.config(told, work)
        for index in unlabelled:
            data.copied(index, work / "unlabelled")
            config["data"]["unlabelled"] = str(work / "unlabelled")
        for name, way in ways.items():
            done = run(work, {"training": {**training, **way}, **config})
            answers = data.answers(done.evaluation, told, work)
            found[name] = dict(data.judged(answers, splits["test"], options.size))
            found[name]["seconds"] = done.seconds
            found[name]["told"] = [one["reason"] for one in (done.summary["unlabelled"] or {}).get("tried", [])]
    return found


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The figures of each way, over the seeds."""
    columns = [name for name in next(iter(found.values()))[0] if name != "told"]
    lines = [f"| | {' | '.join(columns)} |"]
    for name, of_seeds in found.items():
        lines.append(f"| {name} | {' | '.join(spread([one[column] for one in of_seeds]) for column in columns)} |")
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds."""
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) if len(values) > 1 else 0:.3f}"
