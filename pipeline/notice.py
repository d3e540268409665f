"""Tells the recipients of the section `notify` how a run ended. Nothing here changes the outcome of a run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from components.base import progress
from components.base.errors import ConfigError, ImagegateError
from components.base.files import write_atomically
from components.labels import kinds
from components.notify import sending
from components.notify.message import Message
from components.notify.settings import Event
from pipeline import lock, stopping

if TYPE_CHECKING:
    from components.report.run_summary import RunSummary
    from pipeline.config import Config

# In the output, from a run that was not good until one that is: what `recovered` goes by.
_TROUBLE = "notify.json"
# A process that was asked to end has 7 s to do so in order, and is then given this much: whoever asks may wait for 10.
_STOPPED = 2.5
_GOOD = ("pushed", "up_to_date")


def message(summary: RunSummary, *, recovered: bool) -> Message:
    """Returns what there is to say of a run.

    Args:
        summary: of the run.
        recovered: whether the run before was not good.
    """
    main = kinds.kind(summary.task).main
    part, served = summary.same_part.metrics, summary.baseline
    return Message(
        name=summary.name,
        events=events(summary.status, summary.exit_code, recovered=recovered),
        run_id=summary.run_id,
        command=summary.command,
        status=summary.status,
        exit_code=summary.exit_code,
        reason=summary.error or "",
        version=summary.pushed.version if summary.pushed else None,
        challenger=summary.pushed is not None and summary.pushed.challenger,
        metric=main if summary.metrics else None,
        value=part.get(main),
        served_version=served.version if served else None,
        served_value=served.metrics.get(main) if served else None,
        report=summary.report,
    )


def events(status: str, exit_code: int, *, recovered: bool) -> tuple[Event, ...]:
    """Returns what happened.

    >>> events("not_blessed", 4, recovered=True), events("up_to_date", 0, recovered=False)
    (('refused',), ())
    """
    if status not in _GOOD:
        return ("refused",) if exit_code in (3, 4) else ("failed",)
    happened: list[Event] = ["pushed"] if status == "pushed" else []
    return (*happened, *(("recovered",) if recovered else ()))


def send(config: Config, summary: RunSummary, *, stopped: bool = False) -> list[str]:
    """Tells how a run ended, and remembers whether it was good.

    Args:
        config: the settings.
        summary: of the run.
        stopped: whether the process has been asked to end, so that there is little time.

    Returns:
        A sentence for each recipient that was not reached.
    """
    if not config.notify:
        return []
    # What becomes of a search or a comparison says nothing of the runs.
    recovered = summary.command == "run" and _remember(config, good=summary.status in _GOOD)
    return _send(config, message(summary, recovered=recovered), stopped=stopped)


@contextlib.contextmanager
def failures(config: Config) -> Iterator[None]:
    """Within it, an error that leaves no summary is told: the run could not start, or its record not be written.

    A run that finds the output locked is not told of: the run that holds the lock is, and goes on.
    """
    try:
        yield
    except lock.Busy:
        raise
    except (Exception, KeyboardInterrupt) as error:
        if config.notify:
            _failed(config, error)
        raise


def _failed(config: Config, error: BaseException) -> None:
    known = isinstance(error, ImagegateError)
    stopped = stopping.Stopped.by(error) if isinstance(error, KeyboardInterrupt) else None
    reason = str(stopped or error) if known or stopped else f"{type(error).__name__}; the command's output says more"
    code = stopped.exit_code if stopped else error.exit_code if isinstance(error, ImagegateError) else 1
    status = "stopped" if stopped else "failed"
    _remember(config, good=False)
    happened = events(status, code, recovered=False)
    ended = Message(name=config.name, events=happened, status=status, exit_code=code, reason=reason)
    for problem in _send(config, ended, stopped=stopped is not None):
        progress.announce(f"warning: notify: {problem}")


def _send(config: Config, ended: Message, *, stopped: bool) -> list[str]:
    limit = _STOPPED if stopped else sending.LIMIT
    return sending.send(config.notify, ended, limit=limit, retry=not stopped) if ended.events else []


def test(config: Config) -> list[str]:
    """Sends a message that says that it is a test to every recipient, whatever its events.

    Returns:
        A sentence for each recipient that was not reached.

    Raises:
        ConfigError: there is no recipient.
    """
    if not config.notify:
        raise ConfigError("notify: there is no recipient; add one, such as {to: slack, url_env: SLACK_URL}")
    return sending.send(config.notify, Message(name=config.name, events=(), test=True))


def _remember(config: Config, *, good: bool) -> bool:
    """Returns whether the run before was not good, and notes whether this one is."""
    path = os.path.join(config.output_folder, _TROUBLE)
    with contextlib.suppress(OSError):  # on a full disk, nothing is noted
        if not good:
            write_atomically(path, "{}")
            return False
        os.unlink(path)
        return True
    return False
