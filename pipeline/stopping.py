"""Ends a command when a signal asks for it: in order if that is quick, and else by force, with a last record first.

A signal raises `Stopped` in the main thread, so that everything cleans up after itself as at Ctrl-C. Python runs signal
handlers only between two of its own instructions, and a library may be busy in native code for minutes or swallow the
exception. So a thread watches, which learns of the signal through a pipe that the native handler writes to. It ends the
process after `GRACE` seconds, or at a second signal.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

GRACE = 7.0  # seconds; whoever asks may wait for 10
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Record = Callable[["Stopped"], None]
_records: list[Record] = []


class Stopped(KeyboardInterrupt):
    """A signal has asked this process to end.

    Attributes:
        exit_code: 128 and the number of the signal, as shells have it; whoever had come to its end puts its own there.
        at_once: whether a second signal has come, so that nothing may take time any more.
    """

    def __init__(self, number: int = signal.SIGINT, *, at_once: bool = False) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code, self.at_once = 128 + number, at_once

    @classmethod
    def by(cls, error: KeyboardInterrupt) -> Stopped:
        """Returns the error itself, or what stands for a KeyboardInterrupt of Python's own."""
        return error if isinstance(error, cls) else cls()


@contextlib.contextmanager
def recorded(record: Record) -> Iterator[None]:
    """Has `record` called, in another thread, before the process is ended by force within the block."""
    _records.append(record)
    try:
        yield
    finally:
        _records.remove(record)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Obeys SIGTERM, SIGINT and SIGHUP in the block, unless the process was started with the signal ignored.

    For the whole of a program: if a signal came, the process ends with the block, because threads of libraries that are
    still busy would keep Python from ending.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    errors = os.dup(2)  # the program may redirect its own
    stopped: list[Stopped] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopped.append(Stopped(number))
        raise stopped[0]

    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, errors), daemon=True).start()
    try:
        yield
    finally:
        if stopped:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            _leave(stopped[0])
        for number in _SIGNALS:
            if signal.getsignal(number) is stop:
                signal.signal(number, signal.SIG_DFL)


def _watch(reader: int, errors: int) -> None:
    """Waits for a signal, then for a second one or the end of the grace."""
    number = _next(reader)
    second = bool(select.select([reader], [], [], GRACE)[0])
    if second:
        _next(reader)
    stopped = Stopped(number, at_once=second)
    for record in reversed(_records):
        with contextlib.suppress(Exception):
            record(stopped)
    with contextlib.suppress(OSError):
        os.write(errors, f"imagegate: {stopped}\n".encode())
    _leave(stopped)


def _next(reader: int) -> int:
    """Waits for one of the signals; others have handlers of their own."""
    while True:
        number = os.read(reader, 1)[0]
        if number in _SIGNALS:
            return number


def _leave(stopped: Stopped) -> None:
    for child in _children():
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
    os._exit(stopped.exit_code)


def _children() -> Iterator[int]:
    """Yields the processes that this one has started, where the system lists them."""
    folder = "/proc/self/task"
    for thread in os.listdir(folder) if os.path.isdir(folder) else ():
        with contextlib.suppress(OSError), open(f"{folder}/{thread}/children", encoding="ascii") as f:
            yield from map(int, f.read().split())
