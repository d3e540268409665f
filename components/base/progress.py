"""Progress of a stage. The command line draws it; without a listener, a report does nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable

Listener = Callable[[str, float, float | None, str], None]

_listener: Listener | None = None
_lock = threading.Lock()
_counts: dict[str, int] = {}


def listen(listener: Listener | None) -> None:
    """Sends every later report of this process to `listener(task, done, total, note)`; None stops it.

    >>> listen(lambda task, done, total, note: print(f"{task}: {done} of {total}"))
    >>> start("images")
    >>> advance("images", 3, total=8)
    images: 3 of 8
    >>> advance("images", 5, total=8)
    images: 8 of 8
    >>> listen(None)
    """
    global _listener  # noqa: PLW0603  one terminal per process
    _listener = listener


def report(task: str, done: float, total: float | None = None, note: str = "") -> None:
    """Reports that `done` of `total` steps of `task` are complete (`total` None: unknown), with a short note."""
    if _listener is not None:
        _listener(task, done, total, note)


def start(task: str) -> None:
    """Resets the count of `advance` to 0."""
    with _lock:
        _counts[task] = 0


def advance(task: str, steps: int, total: int) -> None:
    """Reports that `steps` more steps are complete; for work that several threads share."""
    with _lock:
        _counts[task] = _counts.get(task, 0) + steps
        report(task, _counts[task], total)
