"""Our side: the pipeline, run on what a benchmark configures; and how figures of several seeds are printed."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds."""
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) if len(values) > 1 else 0:.3f}"
