"""Progress of a stage. The command line draws it; without a listener, a report does nothing."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

Listener = Callable[[str, float, float | None, str], None]
Announcer = Callable[[str], None]

_listener: Listener | None = None
_announcer: Announcer | None = None
_lock = threading.Lock()
_counts: dict[str, int] = {}
_part = ""


def listen(listener: Listener | None, announcer: Announcer | None = None) -> None:
    """Sends every later report of this process to `listener(task, done, total, note)`; None stops it.

    `announcer(sentence)` gets what is worth a line of its own.

    >>> listen(lambda task, done, total, note: print(f"{task}: {done} of {total}"))
    >>> start("images")
    >>> advance("images", 3, total=8)
    images: 3 of 8
    >>> advance("images", 5, total=8)
    images: 8 of 8
    >>> listen(None)
    """
    global _listener, _announcer
    _listener, _announcer = listener, announcer


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


def announce(sentence: str) -> None:
    """Tells something that is worth a line of its own, such as how long the work will take.

    >>> listen(None, print)
    >>> announce("training: about 2 minutes")
    training: about 2 minutes
    >>> listen(None)
    """
    if _announcer is not None:
        _announcer(f"{_part}{sentence}")


def start(task: str) -> None:
    """Resets the count of `advance` to 0."""
    with _lock:
        _counts[task] = 0


def advance(task: str, steps: int, total: int) -> None:
    """Reports that `steps` more steps are complete; for work that several threads share."""
    with _lock:
        _counts[task] = _counts.get(task, 0) + steps
        report(task, _counts[task], total)
