"""`imagegate history`: the runs of a configuration, read from their summaries, newest first."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from components.base.artifact_files import SUMMARY
from components.base.errors import ImagegateError
from components.base.text import shown
from components.labels import kinds

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.config import Config

FOLDER = "history"
_STYLES = {"pushed": "green", "up_to_date": "green", "not_blessed": "red", "data_rejected": "red", "failed": "red"}


def read(output: str) -> Iterator[dict[str, Any]]:
    """Yields the summary of every run below `output`, newest first.

    Runs without a summary.json are in progress or were killed; they are left out.
    """
    folder = os.path.join(output, FOLDER)
    for run_id in sorted(os.listdir(folder) if os.path.isdir(folder) else (), reverse=True):
        summary = read_summary(os.path.join(folder, run_id))
        if summary is not None:
            yield summary


def read_summary(run: str) -> dict[str, Any] | None:
    """Reads summary.json in the folder of a run. Returns None if it is missing or unreadable."""
    try:
        with open(os.path.join(run, SUMMARY), encoding="utf-8") as f:
            summary: dict[str, Any] = json.load(f)
            return summary if isinstance(summary, dict) else None
    except (OSError, ValueError):
        return None


def main_metric(summary: dict[str, Any]) -> float | None:
    """Returns the main metric of the run's task, or None if the run computed no metrics."""
    value: float | None = (summary.get("metrics") or {}).get(kinds.kind(summary["task"]).main)
    return value


def table(config: Config) -> Table:
    """Returns a table with one row per run.

    Raises:
        ImagegateError: there has been no run yet.
    """
    from rich.markup import escape
    from rich.table import Table

    runs = list(read(config.output_folder))
    if not runs:
        raise ImagegateError(f"{config.output_folder}: no run yet; imagegate run writes one")
    main = kinds.kind(config.task).main
    made = Table(box=None, pad_edge=False)
    for name in ("run", "started", "seconds", "status", main, "version"):
        right = name in ("seconds", main)
        made.add_column(name.replace("_", " "), justify="right" if right else "left", no_wrap=True)
    made.add_column("why", overflow="fold")  # the only column that wraps on a narrow terminal
    for summary in runs:
        value, status = main_metric(summary), summary["status"]
        why = (summary.get("error") or "").partition("\n")[0]
        made.add_row(
            escape(shown(summary["run_id"])),
            f"{datetime.datetime.fromisoformat(summary['started']):%Y-%m-%d %H:%M}",
            f"{summary['seconds']:.0f}",
            f"[{_STYLES.get(status, 'default')}]{status.replace('_', ' ')}[/]",
            "-" if value is None else f"{value:.3f}",
            escape(shown((summary.get("pushed") or {}).get("version") or "-")),
            escape(shown(why)),
        )
    return made
