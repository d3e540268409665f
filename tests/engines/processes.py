"""Processes of an engine: started, waited for, and stopped with all that they started."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

HOST = "127.0.0.1"
_SECONDS = 120
# Runs a command, and kills the session with all its processes once nobody holds the other end of its input any more:
# the tests may be killed, too.
_GUARD = """
import os, subprocess, sys, threading
def watch():
    sys.stdin.read()
    os.killpg(0, 9)
threading.Thread(target=watch, daemon=True).start()
sys.exit(subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL).returncode)
"""


def free_port() -> int:
    """A port that nothing listens to."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether something listens to a port of this machine."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, ready: Callable[[], bool], environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Runs a command until the block ends, or `kill` ends it.

    Args:
        command: the command.
        log: file for its output; made anew, and names the command for `kill`.
        ready: whether the block may begin.
        environment: variables besides those of this process.

    Raises:
        AssertionError: it ended, or is not ready in time.
    """
    with log.open("w") as out:
        # A session of its own: the signal below reaches the processes that it starts, and no others.
        process = subprocess.Popen(
            [sys.executable, "-c", _GUARD, *command],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | (environment or {}),
            start_new_session=True,
        )
    log.with_suffix(".session").write_text(str(process.pid))
    try:
        end = time.monotonic() + _SECONDS
        while not ready():
            assert process.poll() is None, f"{log.name} ended: {tail(log)}"
            assert time.monotonic() < end, f"{log.name} is not ready after {_SECONDS} seconds: {tail(log)}"
            time.sleep(0.1)
        yield
    finally:
        _stop(process)


def kill(log: Path) -> None:
    """Kills a command and all that it started, as where a machine is switched off."""
    os.killpg(int(log.with_suffix(".session").read_text()), signal.SIGKILL)


def tail(log: Path, characters: int = 3000) -> str:
    """The end of a log."""
    return log.read_text(errors="replace")[-characters:]


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 30)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    assert process.stdin
    process.stdin.close()
