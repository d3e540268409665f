"""How a stage says how far it is. The command line draws it; everywhere else it costs nothing and prints nothing."""

from __future__ import annotations

from collections.abc import Callable

Listener = Callable[[str, float, float | None, str], None]

_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Sends every later `report` of this process to `listener(task, done, total, note)`; None stops it."""
    global _listener  # noqa: PLW0603  one terminal per process
    _listener = listener


def report(task: str, done: float, total: float | None = None, note: str = "") -> None:
    """Says that `done` of `total` steps of `task` are through (`total` None: unknown), with a few words beside it."""
    if _listener is not None:
        _listener(task, done, total, note)
