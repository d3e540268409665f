"""Runs a function on many inputs in processes with a limit on memory and time, and says on which of them they died.

The processes come from the same server as those of ingest: a fork of this one would copy the locks of its threads.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from broken import table

from components.ingest.workers import processes

USED, REFUSED, ESCAPED = 1, 2, 3
_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in which `ru_maxrss` counts


@dataclass
class Outcome:
    """What became of the inputs.

    Attributes:
        codes: input -> what the function returned, or `ESCAPED` for another exception than those that it knows.
        crashed: input -> the signal that ended its process.
        hung: inputs that took longer than they may.
        slowest: seconds of the slowest input, and which one it was.
        peak: bytes of memory that a process took more than at its begin, at most.
        escaped: input -> the exception.
    """

    codes: dict[int, int] = field(default_factory=dict)
    crashed: dict[int, str] = field(default_factory=dict)
    hung: list[int] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)
    peak: int = 0
    escaped: dict[int, str] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[int]:
        return Counter(self.codes.values())

    @property
    def used(self) -> str:
        return f"{self.counts[USED]:,} used, {self.counts[REFUSED]:,} refused"


def add_to_table(fault: str, outcome: Outcome, came: str, command: str) -> None:
    """Adds a row to the table of faults.

    Args:
        fault: the inputs.
        outcome: of all of them.
        came: what became of them.
        command: the arguments of pytest.
    """
    seconds, peak = outcome.slowest[0], outcome.peak / 2**20
    bad = f"{len(outcome.crashed)} crashed, {len(outcome.hung)} hung, {len(outcome.escaped)} other errors"
    told = f"{came}; {bad}; {seconds:.2f} s and {peak:.0f} MiB at most"
    tries = len(outcome.codes) + len(outcome.crashed) + len(outcome.hung)
    table.add(fault, tries, told, f'.venv/bin/pytest -m "" tests/faults/hostile/{command}')


def sentence(error: Exception, *names: str, most: int = 20_000) -> str:
    """The message of a refusal, which has to name one of the places and to be short enough to be read."""
    text = str(error)
    assert text.strip(), "no reason"
    assert not names or any(name in text for name in names), f"names none of {names}: {text[:300]}"
    assert len(text) < most, f"{len(text):,} characters are no sentence: {text[:300]}"
    return text


def run(
    work: Callable[[int], int],
    count: int,
    warm: Callable[[], object],
    *,
    first: int = 0,
    step: int = 1,
    memory: int = 2 << 30,
    seconds: int = 20,
) -> Outcome:
    """Calls `work` with every number from `first` to `count` in steps.

    Args:
        work: a function of a module; returns a code.
        count: the end of the numbers.
        warm: called first in each process, without limits: reads something harmless, and so loads the libraries.
        first, step: of the numbers.
        memory: bytes of address space that a process may take beyond those at its begin.
        seconds: of the processor for one input.
    """
    assert processes.can_start()
    context = multiprocessing.get_context("forkserver")
    outcome, left = Outcome(), list(range(first, count, step))
    while left:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(work, left, warm, memory, seconds, sender))
        process.start()
        sender.close()
        at = 0
        while (told := _received(receiver)) is not None:
            number, code, took, peak, escaped = told
            outcome.codes[number] = code
            outcome.slowest = max(outcome.slowest, (took, number))
            outcome.peak = max(outcome.peak, peak)
            if escaped:
                outcome.escaped[number] = escaped
            at += 1
        process.join()
        if at < len(left):
            code = -(process.exitcode or 0)
            if code in (signal.SIGALRM, signal.SIGPROF):
                outcome.hung.append(left[at])
            else:
                outcome.crashed[left[at]] = signal.Signals(code).name if code > 0 else f"exit code {-code}"
            at += 1
        left = left[at:]
    return outcome


def _received(receiver: Any) -> tuple[int, int, float, int, str] | None:
    try:
        told: tuple[int, int, float, int, str] = receiver.recv()
    except EOFError:
        return None
    return told


def _work(
    work: Callable[[int], int], numbers: list[int], warm: Callable[[], object], memory: int, seconds: int, sender: Any
) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # decoders print warnings
        os.dup2(silent, stream)
    warm()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
    _limit(memory)
    for number in numbers:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, 20 * seconds)  # where it waits; other jobs share the processors
        begun, escaped = time.process_time(), ""
        try:
            code = work(number)
        except Exception as error:  # noqa: BLE001  it is reported
            code, escaped = ESCAPED, f"{type(error).__name__}: {error}"[:300]
        took = time.process_time() - begun
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
        sender.send((number, code, took, peak - before, escaped))
    sender.close()


def _limit(memory: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as f:
        taken = int(f.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))
