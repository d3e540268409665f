"""A process that runs commands of imagegate one after another, with faults: see `driver.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from projects import ROOT

DRIVER = Path(__file__).with_name("driver.py")


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit code and what it printed; -N if signal N ended the process."""

    code: int
    printed: str


class Session:
    """Starts the process when a command is there, and again after one that ended it.

    Args:
        environment: variables, besides those of this process.
        around: a command that starts the process in its place; its last words are those of the process.
    """

    def __init__(self, environment: Mapping[str, str], around: tuple[str, ...] = ()) -> None:
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self._around = around
        self.process: subprocess.Popen[str] | None = None
        self.busy = False  # a command was begun, and has not ended

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the process; the next command starts another."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.process, self.busy = None, False

    def begin(self, *arguments: object) -> None:
        """Begins a command; `end` waits for it."""
        self._ask({"arguments": list(map(str, arguments))})

    def shell(self, command: str) -> None:
        """Runs a command of the shell where the process is."""
        self._ask({"shell": command})
        done = self.end()
        assert done.code == 0, (command, done)

    def _ask(self, request: dict[str, object]) -> None:
        if self.process is None:
            command = [*self._around, sys.executable, str(DRIVER)]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._environment, text=True
            )
        assert self.process.stdin is not None
        self.busy = True
        print(json.dumps(request), file=self.process.stdin, flush=True)

    def end(self) -> Done:
        """The command that was begun, when it has ended."""
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.busy = False
        if not line:
            code, self.process = self.process.wait(), None
            return Done(code, "")
        return Done(**json.loads(line))

    def run(self, *arguments: object) -> Done:
        self.begin(*arguments)
        return self.end()
