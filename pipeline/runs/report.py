"""The report of a run, written from its summary and artifacts alone."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping

from components.base.artifact_files import REPORT, SUMMARY
from components.base.errors import ConfigError, ImagegateError
from components.base.files import write_atomically
from components.drawing import charts
from components.report import evidence, page
from components.report.records import Evidence
from components.report.run_summary import RunSummary
from pipeline import config, derived
from pipeline.artifacts import store
from pipeline.runs import history, summary

_EARLIER = 60  # earlier runs in the chart


def write(folder: str, run: RunSummary, collected: Evidence) -> str:
    """Writes the page of a run atomically and returns its path.

    Args:
        folder: of the run: `history/RUN_ID` in the output folder.
        run: the summary.
        collected: see `evidence.collect`.
    """
    output = os.path.dirname(os.path.dirname(folder))
    newest = {summary.run_id: summary for summary in itertools.islice(history.read(output), _EARLIER)}
    points = [
        (summary.started, history.main_metric(summary), summary.status)
        for run_id, summary in sorted((newest | {run.run_id: run}).items())
        if summary.started
        and summary.task == run.task
        and run_id <= run.run_id
        and summary.status not in ("tuned", "compared")
    ]
    path = os.path.join(folder, REPORT)
    write_atomically(path, page.render(run, collected, charts.runs(points)))
    return path


def collect(run: RunSummary, artifacts: Mapping[str, str]) -> Evidence:
    """The evidence of a run, from those of its artifacts that still exist."""
    existing = {key: path for key, path in artifacts.items() if os.path.isdir(path)}
    return evidence.collect(run, existing, **derived.picture_settings(run.configuration))


def again(path: str) -> str:
    """Writes the page of a run again.

    Args:
        path: the folder of a run, or a configuration file, which means its newest run.

    Raises:
        ConfigError: there is no such run.
        ImagegateError: what the page shows was removed; the page of that time stays.
    """
    if os.path.isfile(path) and os.path.basename(path) != SUMMARY:
        folder = os.path.join(config.load(path).output_folder, "latest")
    else:
        folder = os.path.dirname(path) if os.path.isfile(path) else path
    folder = os.path.realpath(folder)
    run = history.read_summary(folder)
    if run is None:
        raise ConfigError(f"{path}: no run here; expected an imagegate.yaml that has run, or a folder with {SUMMARY}")
    output = os.path.dirname(os.path.dirname(folder))
    page_path, artifacts = os.path.join(folder, REPORT), summary.located(run, output)
    _fetch(run, output)
    if os.path.exists(page_path) and not all(map(os.path.isdir, artifacts.values())):
        raise ImagegateError(
            f"what this run wrote was removed (output.keep), so its page cannot be written anew; {page_path} stays "
            "as it is"
        )
    written = write(folder, run, collect(run, artifacts))
    summary_path = os.path.join(folder, SUMMARY)
    write_atomically(summary_path, run.model_copy(update={"report": written}).to_json(indent=1))
    return written


def _fetch(run: RunSummary, output: str) -> None:
    """Makes the copies of a run's artifacts that are only in the store of `output.artifacts`.

    Raises:
        StoreError: the store cannot be read.
    """
    place = store.of((run.configuration.get("output") or {}).get("artifacts") or "", output)
    if place is None:
        return
    for path in run.artifacts.values():
        if not os.path.isdir(os.path.join(output, path)) and place.is_complete(place.uri(path)):
            place.fetch(place.uri(path))
