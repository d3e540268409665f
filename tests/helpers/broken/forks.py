"""A process that has loaded the libraries once, and forks for each command of imagegate.

A command that is killed soon after it began costs little more than what it did until then. It is a process of its own,
in a group of its own, as one that was started anew; only its imports are done already.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from projects import ROOT


class Forks:
    """Starts such a process, which ends with the block.

    Args:
        module: what it loads.
    """

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "broken.forks", module],
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(Path(__file__).parents[1])))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def begin(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Forked:
        """Begins a command in a folder; the one before must have ended.

        Args:
            arguments: those of `imagegate`.
            folder: the working directory.
            environment: variables, besides those of this process.
        """
        file, printed = tempfile.mkstemp()
        os.close(file)
        request = [list(arguments), str(folder), dict(environment), printed]
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        return Forked(self._answer(None), self, Path(printed))

    def _answer(self, seconds: float | None) -> int | None:
        """The next number that the process says; None if it says none for so many seconds."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return None
        return int(self._process.stdout.readline())


class Forked:
    """A command that was begun; a small part of `subprocess.Popen`."""

    def __init__(self, pid: int | None, forks: Forks, printed: Path) -> None:
        assert pid is not None
        self.pid = pid
        self.returncode: int | None = None
        self._forks, self._printed = forks, printed

    def poll(self) -> int | None:
        return self._wait(0)

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        if self._wait(timeout) is None:
            raise subprocess.TimeoutExpired("imagegate", timeout or 0)
        out = self._printed.read_text(errors="backslashreplace") if self._printed.exists() else ""
        self._printed.unlink(missing_ok=True)
        return out, None

    def _wait(self, seconds: float | None) -> int | None:
        if self.returncode is None:
            self.returncode = self._forks._answer(seconds)
        return self.returncode


def main() -> None:
    """Loads a module, then answers each request with two lines: a process, and its exit code when it has ended."""
    importlib.import_module(sys.argv[1])
    while line := sys.stdin.readline():
        if child := os.fork():
            os.setpgid(child, child)  # also here, so that it has happened when the process is told
            os.write(1, f"{child}\n".encode())
            os.write(1, f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())
        else:
            sys.exit(_run(*json.loads(line)))


def _run(arguments: list[str], folder: str, environment: dict[str, str], printed: str) -> int:
    """Is the program `imagegate` from here on."""
    os.setpgid(0, 0)
    for descriptor, path in ((0, os.devnull), (1, printed), (2, printed)):
        opened = os.open(path, os.O_RDWR | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(folder)
    os.environ.update(environment)
    tempfile.tempdir = None  # that of the environment
    sys.argv = ["imagegate", *arguments]
    from pipeline import cli

    return cli.main()


if __name__ == "__main__":
    main()
