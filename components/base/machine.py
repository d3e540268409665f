"""What the machine has."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_KIB = 1024


def cores() -> int:
    """How many cores this process may use."""
    known = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(known(0)) if known else os.cpu_count() or 1


def available_memory(root: str = "/") -> int | None:
    """Bytes of memory that a process can still take: of the machine, or of its container where that has less.

    Args:
        root: folder in which Linux's `proc` and `sys` lie.

    Returns:
        the bytes; None where this is not told, as outside of Linux.
    """
    found = [*_of_machine(Path(root)), *_of_container(Path(root))]
    return max(0, min(found)) if found else None


def restart_peak(root: str = "/") -> None:
    """Has `peak_memory` of this process begin anew, where the system can (Linux)."""
    try:
        (Path(root) / "proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory(root: str = "/") -> int | None:
    """The most bytes of memory that this process has held since `restart_peak`; None where this is not told.

    Its child processes are not counted, nor is memory that was paged out.
    """
    found = re.search(r"^VmHWM:\s+(\d+) kB$", _read(Path(root) / "proc/self/status") or "", re.MULTILINE)
    return _KIB * int(found[1]) if found else None


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
