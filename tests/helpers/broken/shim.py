"""Faults of a disk and of a clock in programs that run: `shim.c`, compiled once, and the file that commands it."""

from __future__ import annotations

import ctypes
import errno
import functools
import mmap
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("shim.c")
WRITE, CREATE, CHANGE, READ, OPEN, SYNC, RENAME = (1 << i for i in range(7))
ALL = 1 << 40
STOP = 0  # in place of an errno


class _Control(ctypes.Structure):
    """As in shim.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("operations", "error", "after", "used", "times", "failed", "clock")),
        ("match", ctypes.c_char * 1024),
    ]


@functools.cache
def library() -> str:
    """Path of the compiled shim; skips the test where there is no C compiler, or no LD_PRELOAD."""
    compiler = shutil.which("cc")
    if compiler is None or os.uname().sysname != "Linux":
        pytest.skip("no C compiler `cc`, or no Linux: faults of disks are made by a library for LD_PRELOAD")
    path = os.path.join(tempfile.mkdtemp(prefix="imagegate-shim-"), "shim.so")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", path, str(SOURCE), "-ldl"], check=True)
    return path


class Shim:
    """What fails in the programs that get `environment`.

    Args:
        folder: where its file is made.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "shim-control"
        path.write_bytes(bytes(ctypes.sizeof(_Control)))
        self.environment = {"LD_PRELOAD": library(), "IMAGEGATE_SHIM": str(path)}
        with path.open("r+b") as f:
            self._control = _Control.from_buffer(mmap.mmap(f.fileno(), ctypes.sizeof(_Control)))

    def arm(self, operations: int, number: int, match: str, *, after: int = 0, times: int = ALL) -> None:
        """Has calls fail from now on.

        Args:
            operations: which, as bits.
            number: an errno, or `STOP`: the process is stopped by SIGSTOP, and the call succeeds when it goes on.
            match: part of the paths of the files.
            after: bytes of WRITE, or calls of other operations, that are let through before.
            times: how many calls fail.
        """
        self._control.operations = 0
        self._control.match = os.fsencode(match)
        self._control.error, self._control.after, self._control.times = number, after, times
        self._control.used = self._control.failed = 0
        self._control.operations = operations

    def disarm(self) -> None:
        self._control.operations = 0

    def count(self, operations: int, match: str) -> None:
        """Lets everything through, and counts it in `used`."""
        self.arm(operations, errno.EIO, match, after=ALL)

    def set_clock(self, seconds: float) -> None:
        """Moves the time of day by so many seconds from the real one."""
        self._control.clock = round(seconds * 1e9)

    @property
    def used(self) -> int:
        """Bytes or calls that were let through, or were to be."""
        return int(self._control.used)

    @property
    def failed(self) -> int:
        """Calls that failed."""
        return int(self._control.failed)
