"""`imagegate report`: the page of a run, from its summary and its artifacts alone."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping
from typing import Any

from components.base.artifact_files import REPORT, SUMMARY
from components.base.errors import ConfigError
from components.base.files import write_atomically
from components.drawing import charts
from components.report import evidence, page
from components.report.run_summary import RunSummary
from pipeline import config, derived
from pipeline.runs import history, summary

_EARLIER = 60  # runs in the chart


def write(folder: str, told: RunSummary, found: Mapping[str, Any]) -> str:
    """Writes the page of the run in `folder` beside its summary, in one step, and returns its path.

    Args:
        folder: `history/RUN_ID` of the output.
        told: of the run.
        found: see `evidence.collect`.
    """
    output = os.path.dirname(os.path.dirname(folder))
    earlier = {run.run_id: run for run in itertools.islice(history.read(output), _EARLIER)} | {told.run_id: told}
    points = [
        (run.started, history.main_metric(run), run.status)
        for run in sorted(earlier.values(), key=lambda run: run.run_id)
        if run.started and run.task == told.task and run.run_id <= told.run_id
    ]
    path = os.path.join(folder, REPORT)
    write_atomically(path, page.render(json.loads(told.to_json()), found, charts.runs(points)))
    return path


def collect(told: RunSummary, artifacts: Mapping[str, str]) -> dict[str, Any]:
    """The evidence of a run from what is left of its artifacts."""
    there = {key: path for key, path in artifacts.items() if os.path.isdir(path)}
    return evidence.collect(json.loads(told.to_json()), there, **derived.pictured(told.configuration))


def again(path: str) -> str:
    """Writes the page of a run anew.

    Args:
        path: a configuration file, whose newest run is meant, or the folder of a run.

    Raises:
        ConfigError: there is no such run.
    """
    if os.path.isfile(path) and os.path.basename(path) != SUMMARY:
        folder = os.path.join(config.load(path).output_folder, "latest")
    else:
        folder = os.path.dirname(path) if os.path.isfile(path) else path
    folder = os.path.realpath(folder)
    told = history.read_summary(folder)
    if told is None:
        raise ConfigError(f"{path}: no run here; expected an imagegate.yaml that has run, or a folder with {SUMMARY}")
    output = os.path.dirname(os.path.dirname(folder))
    written = write(folder, told, collect(told, summary.located(told, output)))
    summary_path = os.path.join(folder, SUMMARY)
    write_atomically(summary_path, told.model_copy(update={"report": written}).to_json(indent=1))
    return written
