"""Progress of a stage. The command line draws it; without a listener, a report does nothing."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

Listener = Callable[[str, float, float | None, str], None]

_listener: Listener | None = None
_lock = threading.Lock()
_counts: dict[str, int] = {}
_part = ""


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


@contextlib.contextmanager
def within(part: str) -> Iterator[None]:
    """Names the part of the work that the tasks of all reports belong to until the block ends.

    >>> listen(lambda task, done, total, note: print(f"{task}: {done} of {total}"))
    >>> with within("trial 2 of 3"):
    ...     report("training", 1, 4)
    trial 2 of 3, training: 1 of 4
    >>> listen(None)
    """
    global _part  # noqa: PLW0603  one terminal per process
    _part = f"{part}, "
    try:
        yield
    finally:
        _part = ""


def report(task: str, done: float, total: float | None = None, note: str = "") -> None:
    """Reports that `done` of `total` steps of `task` are complete (`total` None: unknown), with a short note."""
    if _listener is not None:
        _listener(f"{_part}{task}", done, total, note)


def start(task: str) -> None:
    """Resets the count of `advance` to 0."""
    with _lock:
        _counts[task] = 0


def advance(task: str, steps: int, total: int) -> None:
    """Reports that `steps` more steps are complete; for work that several threads share."""
    with _lock:
        _counts[task] = _counts.get(task, 0) + steps
        report(task, _counts[task], total)
