"""How a stage says how far it is. The command line draws it; everywhere else it costs nothing and prints nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable

Listener = Callable[[str, float, float | None, str], None]

_listener: Listener | None = None
_lock = threading.Lock()
_counts: dict[str, int] = {}


def listen(listener: Listener | None) -> None:
    """Sends every later report of this process to `listener(task, done, total, note)`; None stops it."""
    global _listener  # noqa: PLW0603  one terminal per process
    _listener = listener


def report(task: str, done: float, total: float | None = None, note: str = "") -> None:
    """Says that `done` of `total` steps of `task` are through (`total` None: unknown), with a few words beside it."""
    if _listener is not None:
        _listener(task, done, total, note)


def start(task: str) -> None:
    """Sets the count of `advance` back to nothing."""
    with _lock:
        _counts[task] = 0


def advance(task: str, steps: int, total: int) -> None:
    """Says that `steps` more are through; for work that several threads share."""
    with _lock:
        _counts[task] = _counts.get(task, 0) + steps
        report(task, _counts[task], total)
