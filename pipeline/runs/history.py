"""The runs of a configuration: read back from their summaries, newest first, as a table."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from components import metrics
from components.base.artifact_files import SUMMARY
from components.base.errors import ImagegateError
from components.base.text import shown

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.config import Config

FOLDER = "history"
_STYLES = {"pushed": "green", "up_to_date": "green", "not_blessed": "red", "data_rejected": "red", "failed": "red"}


def read(output: str) -> Iterator[dict[str, Any]]:
    """The summary.json of every run below `output`, newest first; a run without one is going on, or was killed."""
    folder = os.path.join(output, FOLDER)
    for run_id in sorted(os.listdir(folder) if os.path.isdir(folder) else (), reverse=True):
        found = of(os.path.join(folder, run_id))
        if found is not None:
            yield found


def of(run: str) -> dict[str, Any] | None:
    """The summary.json in the folder of a run, or None where there is none that can be read."""
    try:
        with open(os.path.join(run, SUMMARY), encoding="utf-8") as f:
            found: dict[str, Any] = json.load(f)
            return found if isinstance(found, dict) else None
    except (OSError, ValueError):
        return None


def main_metric(told: dict[str, Any]) -> float | None:
    """The one number that stands for a run."""
    value: float | None = (told.get("metrics") or {}).get(metrics.MAIN[told["task"]])
    return value


def table(config: Config) -> Table:
    """One row for every run.

    Raises:
        ImagegateError: there was none.
    """
    from rich.markup import escape
    from rich.table import Table

    runs = list(read(config.output_folder))
    if not runs:
        raise ImagegateError(f"{config.output_folder}: no run yet; imagegate run writes one")
    main = metrics.MAIN[config.task]
    made = Table(box=None, pad_edge=False)
    for name in ("run", "started", "seconds", "status", main, "version"):
        right = name in ("seconds", main)
        made.add_column(name.replace("_", " "), justify="right" if right else "left", no_wrap=True)
    made.add_column("why", overflow="fold")  # the one that gives way where a terminal is narrow
    for told in runs:
        value, status = main_metric(told), told["status"]
        why = (told.get("error") or "").partition("\n")[0]
        made.add_row(
            escape(shown(told["run_id"])),
            f"{datetime.datetime.fromisoformat(told['started']):%Y-%m-%d %H:%M}",
            f"{told['seconds']:.0f}",
            f"[{_STYLES.get(status, 'default')}]{status.replace('_', ' ')}[/]",
            "-" if value is None else f"{value:.3f}",
            escape(shown((told.get("pushed") or {}).get("version") or "-")),
            escape(shown(why)),
        )
    return made
