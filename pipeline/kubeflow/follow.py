"""`imagegate submit --wait`: follows a run on a Kubeflow Pipelines server and reports how it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from components.base.errors import ImagegateError
from pipeline.kubeflow import gate_log
from pipeline.kubeflow.api_errors import ServerError
from pipeline.kubeflow.server import Server
from pipeline.stages import BY_NAME

_WORDS = {2: "the configuration is wrong", 3: "the data gate refused", 4: "the model gate refused"}

_PATIENCE = 300.0  # seconds without any answer before waiting is given up
ENDS = {"SUCCEEDED": "succeeded", "FAILED": "failed", "SKIPPED": "was skipped", "CANCELED": "was cancelled"}

StageListener = Callable[[str, str, float, bool], None]


class RunFailed(ImagegateError):
    """A run on the server did not succeed; `exit_code` says whether a gate refused."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def follow(
    client: Any, server: Server, run: str, tasks: Sequence[str], stage: StageListener, *, pause: float = 5.0
) -> None:
    """Waits for the end of a run and reports the events of its stages.

    Args:
        run: its ID.
        tasks: names of the stages.
        stage: called as (name, "started" | "finished" | "failed", seconds, False).
        pause: seconds between two looks.

    Raises:
        RunFailed: it did not succeed.
        ImagegateError: the user stopped waiting, or the server no longer answers.
    """
    events: dict[str, str] = {}
    answered = time.monotonic()
    goes_on = f"; the run goes on: {server.page('runs', run)}"
    try:
        while True:
            try:
                latest = client.get_run(run)
                answered = time.monotonic()
                _report_events(latest, tasks, events, stage)
                if latest.state in ENDS:
                    break
            except ServerError as error:
                if not error.temporary or time.monotonic() - answered > _PATIENCE:
                    raise ServerError(f"{error}{goes_on}", status=error.status) from None
            time.sleep(pause)
    except KeyboardInterrupt:
        raise ImagegateError(f"stopped waiting{goes_on}") from None
    if latest.state != "SUCCEEDED":
        raise _failure(client, latest, tasks, server.page("runs", run))


def _details(run: Any) -> list[Any]:
    """Returns a run's tasks, drivers and inner steps by when they began."""
    details = (run.run_details and run.run_details.task_details) or []
    return sorted(details, key=lambda d: d.start_time.timestamp() if d.start_time else math.inf)


def _report_events(run: Any, tasks: Sequence[str], events: dict[str, str], stage: StageListener) -> None:
    """Reports what is new since the last look; `events` keeps each stage's last event."""
    for detail in _details(run):
        event = {"RUNNING": "started", "SUCCEEDED": "finished", "FAILED": "failed"}.get(detail.state)
        name = detail.display_name
        if name not in tasks or event is None or events.get(name) in (event, "finished", "failed"):
            continue
        if name not in events:
            stage(name, "started", 0.0, False)
        events[name] = event
        if event != "started":
            both = detail.start_time and detail.end_time
            stage(name, event, (detail.end_time - detail.start_time).total_seconds() if both else 0.0, False)


def _failure(client: Any, run: Any, tasks: Sequence[str], page: str) -> RunFailed:
    failed = [d for d in _details(run) if d.state == "FAILED"]
    failed = [d for d in failed if d.display_name in tasks or d.display_name.removesuffix("-driver") in tasks]
    code, what = 1, f"the run {ENDS[run.state]}"
    if failed:
        what = f"{', '.join(d.display_name for d in failed)}: failed"
        # The server reports which task failed, not why; its log says with which exit code.
        if failed[0].display_name in BY_NAME and (len(failed) == 1 or all(_is_gate(d) for d in failed)):
            code, words = _told(client, run, failed[0])
            what = f"{failed[0].display_name}: {words}"
    elif run.error is not None and run.error.message:
        what += f": {' '.join(run.error.message.split())}"
    return RunFailed(f"{what}; its log says why: {page}", code)


def _is_gate(task: Any) -> bool:
    return task.display_name in BY_NAME and not BY_NAME[task.display_name].retried


def _told(client: Any, run: Any, task: Any) -> tuple[int, str]:
    """Returns the exit code that the task's log tells, 1 unless `imagegate run` could end with it, and words for it."""
    code = gate_log.exit_code(client, run, task)
    if code in _WORDS:
        return code, _WORDS[code]
    refusal = BY_NAME[task.display_name].refusal
    if code is None and refusal is not None:
        return (
            1,
            f"failed; whether {_WORDS[refusal]} or broke is unknown, because its log does not say or cannot be read",
        )
    return 1, "failed"
