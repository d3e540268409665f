"""How busy the machine was with other work during a measurement."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

NOISY = 0.1  # cores that other work took, from which on durations say little. Chosen by hand; not measured.
_STAT = "/proc/stat"


@dataclass(frozen=True)
class Clock:
    """Seconds so far: of the day, of all cores at work, and of the cores for this process and its ended children."""

    wall: float
    busy: float | None
    own: float


def now(stat: str = _STAT) -> Clock:
    """Reads the clocks; `busy` is None where the system has no such file, as outside of Linux."""
    own = os.times()
    return Clock(time.monotonic(), _busy(stat), own.user + own.system + own.children_user + own.children_system)


def others(before: Clock, after: Clock) -> float | None:
    """How many cores other work took between two readings, on average; None where that is not known.

    >>> others(Clock(0.0, 100.0, 10.0), Clock(10.0, 118.0, 25.0))  # 18 seconds of cores, 15 of them ours
    0.3
    """
    if before.busy is None or after.busy is None:
        return None
    spent = (after.busy - before.busy) - (after.own - before.own)
    return max(0.0, spent / (after.wall - before.wall))


def _busy(stat: str) -> float | None:
    """Seconds of all cores: user, nice, system, interrupts and what a host took away, but not idle and waiting."""
    if not os.path.exists(stat):
        return None
    with open(stat, encoding="ascii") as f:
        user, nice, system, _, _, irq, softirq, stolen = map(int, f.readline().split()[1:9])
    return (user + nice + system + irq + softirq + stolen) / os.sysconf("SC_CLK_TCK")
