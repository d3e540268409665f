"""What the machine has."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_KIB = 1024


def available_memory(root: str = "/") -> int | None:
    """Bytes of memory that a process can still take: of the machine, or of its container where that has less.

    Args:
        root: folder in which Linux's `proc` and `sys` lie.

    Returns:
        the bytes; None where this is not told, as outside of Linux.
    """
    found = [*_of_machine(Path(root)), *_of_container(Path(root))]
    return max(0, min(found)) if found else None


def cores(root: str = "/") -> int:
    """How many cores this process may use: those of the machine, or of its container where these are fewer."""
    count = _seen()
    quota, _, period = (_read(Path(root) / "sys/fs/cgroup/cpu.max") or "").strip().partition(" ")
    if not quota.isdigit():  # "max", or an older control group
        quota, period = (
            (_read(Path(root) / "sys/fs/cgroup/cpu" / f"cpu.cfs_{name}_us") or "").strip()
            for name in ("quota", "period")
        )
    if not (quota.isdigit() and period.isdigit() and int(period)):
        return count
    return max(1, min(count, round(int(quota) / int(period))))


def limit_threads(root: str = "/") -> None:
    """Has NumPy's and TensorFlow's libraries start no more threads than a container has cores.

    They count the cores of the machine, and read these variables when they are loaded. A pod of two cores on a machine
    of 64 would have 64 threads that wait for each other while the kernel holds most of them back. What the user has
    set stays.
    """
    if (count := cores(root)) < _seen():
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            os.environ.setdefault(name, str(count))


def restart_peak(root: str = "/") -> bool:
    """Has `peak_memory` of this process begin anew; returns whether the system can (Linux, unless it is read-only)."""
    try:
        (Path(root) / "proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak_memory(root: str = "/") -> int | None:
    """The most bytes of memory that this process has held since `restart_peak`; None where this is not told.

    Its child processes are not counted, nor is memory that was paged out.
    """
    found = re.search(r"^VmHWM:\s+(\d+) kB$", _read(Path(root) / "proc/self/status") or "", re.MULTILINE)
    return _KIB * int(found[1]) if found else None


def _seen() -> int:
    """The cores of the machine on which this process may run."""
    known = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(known(0)) if known else os.cpu_count() or 1


def _of_machine(root: Path) -> Iterator[int]:
    text = _read(root / "proc/meminfo") or ""
    found = dict(re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE))
    if "MemAvailable" in found:
        yield _KIB * (int(found["MemAvailable"]) + int(found.get("SwapFree", 0)))


def _of_container(root: Path) -> Iterator[int]:
    """What the control group, version 2 or 1, may still take. Cached files count as used, but are given back."""
    for folder, most, used, cached in (
        ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, taken = _read(root / folder / most), _read(root / folder / used)
        if limit is None or taken is None or not limit.strip().isdigit():  # "max": no limit
            continue
        statistics = _read(root / folder / "memory.stat") or ""
        given_back = sum(map(int, re.findall(rf"^{cached} (\d+)$", statistics, re.MULTILINE)))
        yield int(limit) - int(taken) + given_back


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
