"""The lock of an output folder: one command at a time writes there, and a second one is told who does."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from components.base.errors import ImagegateError
from components.base.values import parsed_json


class Busy(ImagegateError):
    """Another process holds the lock."""


_FILE = ".lock"
_PATIENCE = 1.0  # seconds; whoever only looks at the lock holds it for a moment


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes:
        what: the ID of a run, or the name of another command.
        pid, host: the process.
        since: RFC 3339.
    """

    what: str = "an unknown command"
    pid: int = 0
    host: str = "an unknown host"
    since: str = ""

    def __str__(self) -> str:
        since = f" since {datetime.datetime.fromisoformat(self.since):%Y-%m-%d %H:%M:%S}" if self.since else ""
        return f"{self.what} (process {self.pid} on {self.host}{since})"


@contextlib.contextmanager
def held(output: str, what: str) -> Iterator[None]:
    """Holds the lock of an output folder, which exists. The kernel releases it when the process dies.

    It excludes processes on other machines only where the file system shares its locks, as NFS version 4 does.

    Args:
        output: the folder.
        what: the ID of a run, or the name of another command; for whoever is refused.

    Raises:
        Busy: another process holds it.
        ImagegateError: the lock cannot be had.
    """
    path = os.path.join(output, _FILE)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ImagegateError(f"output: {path} cannot be written: {error.strerror}") from None
    try:
        _lock(descriptor, output)
        since = datetime.datetime.now().astimezone().isoformat("T", "seconds")
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(
                descriptor, json.dumps(asdict(Holder(what, os.getpid(), socket.gethostname(), since))).encode(), 0
            )
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, output: str) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise _refusal(output, _read(descriptor)) from None
            time.sleep(0.05)
        except OSError as error:
            raise ImagegateError(
                f"output: {output} cannot be locked: {error.strerror}; choose another folder"
            ) from None


def holder(output: str) -> Holder | None:
    """Returns who holds the lock now, or None if nobody does; writes nothing."""
    try:
        descriptor = os.open(os.path.join(output, _FILE), os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def refuse_if_held(output: str) -> None:
    """Raises Busy if another process holds the lock: for a command that will need it later."""
    there = holder(output)
    if there is not None:
        raise _refusal(output, there)


def _refusal(output: str, there: Holder) -> Busy:
    return Busy(f"{there} is writing to {output}; wait for it, or set another output")


def _read(descriptor: int) -> Holder:
    try:
        return Holder(**parsed_json(os.pread(descriptor, 4096, 0)))
    except (OSError, ValueError, TypeError):
        return Holder()  # it has only just been locked
