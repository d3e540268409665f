"""`imagegate history`: the runs of a configuration, read from their summaries, newest first."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import ValidationError

from components.base.artifact_files import SUMMARY
from components.base.errors import ImagegateError
from components.base.files import write_atomically
from components.base.text import byte_size, shown
from components.labels import kinds
from components.report.run_summary import RunSummary
from pipeline import lock
from pipeline.disk import cleaning

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.config import Config

FOLDER = "history"
_UNFINISHED = "running.json"  # in the folder of a run, until it has written its summary
_STYLES = {"pushed": "green", "up_to_date": "green", "not_blessed": "red", "data_rejected": "red", "failed": "red"}
_STYLES |= {"tuned": "green", "compared": "green", "stopped": "red", "killed": "red", "running": "cyan"}


class UnreadableSummary(ImagegateError):
    """A summary.json is damaged, or written by a release whose summaries this one cannot read."""


def read(output: str) -> Iterator[RunSummary]:
    """Yields the summary of every run below `output` that can be read, newest first."""
    for run in _runs(output):
        summary = earlier(run)
        if summary is not None:
            yield summary


def _runs(output: str) -> list[str]:
    """The folders of runs, newest first."""
    folder = os.path.join(output, FOLDER)
    names = sorted(os.listdir(folder) if os.path.isdir(folder) else (), reverse=True)
    return [os.path.join(folder, name) for name in names]


def begin(run: str, summary: RunSummary, where: str) -> None:
    """Notes in the folder of a run what its summary is if the process is killed now.

    Args:
        run: the folder.
        summary: of the run so far.
        where: "in the stage Trainer", for example.
    """
    told = {"status": "killed", "exit_code": 128 + signal.SIGKILL, "seconds": None}
    command = f"imagegate {summary.command}"
    told |= {"error": f"{command} was killed, or the machine went down, {where}; the next one goes on from there"}
    write_atomically(os.path.join(run, _UNFINISHED), summary.model_copy(update=told).to_json(indent=1))


def end(run: str) -> None:
    """Removes what `begin` wrote, now that the summary is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(run, _UNFINISHED))


def record_killed(output: str) -> list[RunSummary]:
    """Gives every run that was killed its summary; returns those. The caller holds the lock, so none is in progress."""
    killed = []
    for run in _runs(output):
        unfinished = os.path.join(run, _UNFINISHED)
        if os.path.lexists(os.path.join(run, SUMMARY)):
            end(run)  # it was killed just after its summary was written
        elif os.path.lexists(unfinished):
            os.replace(unfinished, os.path.join(run, SUMMARY))
            killed.append(earlier(run))
    return [summary for summary in killed if summary is not None]


def earlier(run: str) -> RunSummary | None:
    """Reads summary.json in the folder of a run. Returns None where it is missing or this release cannot read it."""
    try:
        return read_summary(run)
    except UnreadableSummary:
        return None


def read_summary(run: str) -> RunSummary | None:
    """Reads summary.json in the folder of a run. Returns None if it is missing: the run is not finished, or was killed.

    Raises:
        UnreadableSummary: this release cannot read it.
    """
    return _read(os.path.join(run, SUMMARY))


def _read(path: str) -> RunSummary | None:
    try:
        with open(path, "rb") as f:
            return RunSummary.from_json(f.read())
    except OSError:
        return None
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        problem = (
            f"written by another release of imagegate, and this one cannot read {f'its key {key}' if key else 'it'}"
        )
    except ValueError:
        problem = "damaged: it is not JSON"
    raise UnreadableSummary(f"{path} is {problem}; run again for a new one")


def main_metric(summary: RunSummary) -> float | None:
    """Returns the main metric of the run's task, or None if the run computed no metrics."""
    kind = kinds.KINDS.get(summary.task)
    return summary.metrics.get(kind.main) if kind else None


def table(config: Config) -> Table:
    """Returns a table with one row per run.

    Raises:
        ImagegateError: there has been no run yet.
    """
    from rich.markup import escape
    from rich.table import Table

    main = kinds.kind(config.task).main
    summary_table = Table(box=None, pad_edge=False)
    for name in ("run", "started", "seconds", "size", "status", main, "version"):
        right = name in ("seconds", "size", main)
        summary_table.add_column(name.replace("_", " "), justify="right" if right else "left", no_wrap=True)
    summary_table.add_column("why", overflow="fold")  # the only column that wraps on a narrow terminal
    sizes, there = cleaning.sizes(config.output_folder), lock.holder(config.output_folder)
    for run in _runs(config.output_folder):
        try:
            summary = read_summary(run) or _unfinished(run, there)
        except UnreadableSummary as error:
            summary_table.add_row(escape(shown(os.path.basename(run))), *"------", escape(shown(f"left out: {error}")))
            continue
        if summary is not None:
            summary_table.add_row(*_row(summary, sizes.get(os.path.basename(run), 0)))
    if not summary_table.row_count:
        raise ImagegateError(f"{config.output_folder}: no run yet; imagegate run writes one")
    return summary_table


def _unfinished(run: str, there: lock.Holder | None) -> RunSummary | None:
    """Returns what to show of a run without a summary: it is in progress, or was killed."""
    summary = _read(os.path.join(run, _UNFINISHED))
    if summary is not None and there is not None and there.what == os.path.basename(run):
        return summary.model_copy(update={"status": "running", "error": f"by process {there.pid} on {there.host}"})
    return summary


def _row(summary: RunSummary, size: int) -> list[str]:
    from rich.markup import escape

    value, status = main_metric(summary), summary.status
    return [
        escape(shown(summary.run_id)),
        f"{datetime.datetime.fromisoformat(summary.started):%Y-%m-%d %H:%M}" if summary.started else "-",
        f"{summary.seconds:.0f}" if summary.seconds is not None else "-",
        byte_size(size),
        f"[{_STYLES.get(status, 'default')}]{status.replace('_', ' ')}[/]",
        "-" if value is None else f"{value:.3f}",
        escape(shown(summary.pushed.version if summary.pushed else "-")),
        escape(shown((summary.error or "").partition("\n")[0])),
    ]
