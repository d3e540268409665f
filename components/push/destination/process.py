"""Names processes so that another one on the same machine can tell whether they still run."""

from __future__ import annotations

import os


def this_process() -> str:
    """Machine since its start, process namespace, number and time of start; "" where the system does not tell."""
    return _named(os.getpid())


def alive(process: str) -> bool | None:
    """Whether the process that `this_process` named runs; None if only another machine or container knows."""
    parts = process.split()
    mine = this_process().split()
    if len(parts) != 4 or len(mine) != 4 or parts[:2] != mine[:2] or not parts[2].isdigit():
        return None
    return _named(int(parts[2])) == process


def _named(pid: int) -> str:
    """ "" also for a process that has ended and was not waited for."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
            boot = f.read().strip()
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            state, *rest = f.read().rpartition(")")[2].split()
        return "" if state in "ZX" else f"{boot} {os.readlink('/proc/self/ns/pid')} {pid} {rest[18]}"
    except (OSError, ValueError, IndexError):
        return ""
