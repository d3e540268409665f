"""Progress on the terminal: a live line on an interactive one, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from components.base import progress
from components.base.errors import print_trace

_PLAIN_SECONDS = 10  # between two plain lines


class Terminal:
    """Shows stages and their progress on a copy of the real output, since a run redirects the process's own to its log.

    Args:
        stderr: use the error stream, where the output stream carries data.

    Attributes:
        width: columns of the terminal, or None if the output is not a terminal.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        stream = sys.stderr if stderr else sys.stdout
        try:
            # Line-buffered text on a duplicate of the descriptor, which `output_to` does not redirect.
            self._file = os.fdopen(
                os.dup(stream.fileno()), "w", buffering=1, encoding="utf-8", errors="backslashreplace"
            )
        except (OSError, ValueError):  # the stream has no descriptor, as under pytest's capture
            self._file = stream  # type: ignore[assignment]
        # A log file has no width, so lines in it are rarely wrapped.
        width = None if self._file.isatty() else 200
        self.console = Console(file=self._file, width=width, emoji=False)  # a label may be called :smile:
        # Read now, because a later redirection hides the terminal's size.
        self.width = self.console.width if self._file.isatty() else None
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._name = ""
        self._printed_at = time.monotonic()
        self._lock = threading.Lock()

    def __enter__(self) -> Terminal:
        progress.listen(self.progress, self.announce)
        if self.console.is_interactive:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
                # What libraries print belongs in the log, not above the live line.
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops the live line; the console stays usable."""
        progress.listen(None)
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Removes the live line from the screen while another Terminal prints there."""
        if self._bar is None:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

    def line(self, text: str) -> None:
        """Prints a line unchanged, without wrapping it."""
        self._file.write(text + "\n")
        self._file.flush()

    def stage(self, name: str, event: str, seconds: float, cached: bool) -> None:
        """Reports that a stage `event` ("started", "finished" or "failed")."""
        with self._lock, _unless_full():
            if event == "started":
                self._name = name
                self._restart(name)
                return
            how = "cached" if cached else f"{seconds:.1f} s"
            mark = {"finished": "[green]ok[/]", "failed": "[red]stopped[/]"}[event]
            self.console.print(f"{name:<18} {mark}  {how}", highlight=False)

    def progress(self, task: str, done: float, total: float | None, note: str = "") -> None:
        """Shows the progress of a task; the listener for `components.base.progress`."""
        with self._lock, _unless_full():
            description = f"{self._name}: {task}" if self._name else task
            if self._bar is None:
                self._plain(description, done, total, note)
                return
            if self._task is None or self._bar.tasks[0].description != description:
                self._restart(description)
            if not note and total:
                note = f"{done:,.0f} of {total:,.0f}"
            self._bar.update(self._task or TaskID(0), completed=done, total=total, note=note)

    def announce(self, sentence: str) -> None:
        """Prints a sentence about the current stage; the announcer for `components.base.progress`."""
        with self._lock, _unless_full():
            text = f"{self._name}: {sentence}" if self._name else sentence
            self.console.print(text, markup=False, highlight=False)

    def _plain(self, description: str, done: float, total: float | None, note: str) -> None:
        """Prints at most one line every `_PLAIN_SECONDS`, so that a log shows that work continues."""
        if time.monotonic() - self._printed_at >= _PLAIN_SECONDS:
            self._printed_at = time.monotonic()
            of = f" {int(done):,} of {total:,.0f}" if total else ""
            self.console.print(f"{description}{of}{', ' + note if note else ''}", markup=False, highlight=False)

    def _restart(self, description: str) -> None:
        if self._bar is None:
            return
        for task in list(self._bar.task_ids):
            self._bar.remove_task(task)
        self._task = self._bar.add_task(description, total=None, note="")

    def __del__(self) -> None:
        if getattr(self, "_file", None) not in (None, sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # the reader has closed the pipe, or the disk is full
                self._file.close()


@contextlib.contextmanager
def _unless_full() -> Iterator[None]:
    """Leaves out what a full disk does not take; a run goes on without a line of progress."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
            raise


@contextlib.contextmanager
def output_to(path: str) -> Iterator[None]:
    """Redirects everything that this process and its native libraries print to a file, but not a Terminal's output.

    What a full disk does not take is lost, and nothing else: no print fails because of it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved, streams = (os.dup(1), os.dup(2)), (sys.stdout, sys.stderr)
    try:
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:
        log = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout, sys.stderr = _lossy(1), _lossy(2)
        yield
    except BaseException:
        print_trace()
        raise
    finally:
        for stream in (sys.stdout, sys.stderr, *streams):  # also what was printed by way of an older reference
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr = streams
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (*saved, log):
            os.close(descriptor)


class _Lossy(io.RawIOBase):
    """Writes to a descriptor; what cannot be written is lost."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError):
            os.write(self._descriptor, data)
        return len(data)


def _lossy(descriptor: int) -> io.TextIOWrapper:
    raw = io.BufferedWriter(_Lossy(descriptor))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)
