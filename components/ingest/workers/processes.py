"""Processes of this machine that work through a long list in parts, in order. One that dies takes one item with it.

Threads share Python's lock, so a second one adds little to what is mostly Python. The processes come from a server that
has imported the libraries once (`multiprocessing`'s forkserver): a fork of this process would copy locks that its
threads hold. They are kept from list to list until `release`.
"""

from __future__ import annotations

import collections
import itertools
import multiprocessing
import multiprocessing.forkserver
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, util
from multiprocessing.context import ForkServerProcess
from typing import Any, TypeVar

from components.base.errors import ImagegateError

Item = TypeVar("Item")
Found = TypeVar("Found")
# Of a setting that is sent to each process once, and an item; importable by its name.
Work = Callable[[Any, Any], Any]

LONGEST = 600.0  # seconds for one item, after which its process ends
_SAFE = "PYTHONSAFEPATH"
_IMPORTED = ["components.ingest.shards", "tensorflow"]
_lock = threading.Lock()
_kept: list[_Pool] = []
_users = 0  # lists that are being worked through
_task: tuple[Work, Any, float] | None = None  # of a process of the pool


class _Pool:
    """Processes that do one kind of work.

    Attributes:
        told: the work, its setting and the seconds for an item, pickled.
    """

    def __init__(self, told: bytes, count: int) -> None:
        self.told = told
        context = multiprocessing.get_context("forkserver")
        self.executor = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(told,))


def can_start() -> bool:
    """Starts the server of the processes, if it does not run; returns False where the system does not let it.

    It must import nothing from the folder in which the user works.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(_IMPORTED)
    before = os.environ.get(_SAFE)
    os.environ[_SAFE] = "1"
    try:
        multiprocessing.forkserver.ensure_running()
    except OSError:  # no socket, such as one whose path is longer than 107 bytes
        return False
    else:
        return True
    finally:
        if before is None:
            del os.environ[_SAFE]
        else:
            os.environ[_SAFE] = before


def ordered(
    work: Work,
    setting: object,
    parts: Iterator[list[Item]],
    count: int,
    died: Callable[[Item], Found],
    longest: float = LONGEST,
) -> Iterator[Found]:
    """Yields what becomes of each item, in order.

    Args:
        work: called as work(setting, item) in one of the processes. `can_start` has to be asked before.
        setting: sent to each process once.
        parts: items that are handed over together; at most two parts for each process are in memory.
        count: number of processes.
        died: what becomes of an item whose process crashed or took longer than `longest` for it.
        longest: seconds for one item.

    Raises:
        ImagegateError: the processes die without any item.
    """
    told = pickle.dumps((work, setting, longest))

    def submit(part: list[Item]) -> tuple[_Pool, list[Item], Future[list[Found]]]:
        while True:
            pool = _pool(told, count)
            try:
                return pool, part, pool.executor.submit(_run, part)
            except (BrokenProcessPool, RuntimeError):  # the latter where another list has taken its place
                _drop(pool)

    ahead: collections.deque[tuple[_Pool, list[Item], Future[list[Found]]]] = collections.deque()
    _count_users(1)
    try:
        ahead.extend(map(submit, itertools.islice(parts, 2 * count)))
        while ahead:
            pool, part, future = ahead.popleft()
            try:
                found = future.result()
            except BrokenProcessPool:
                # All parts that were begun or waited are lost, and one item of one of them is the reason.
                _drop(pool)
                found = _one_by_one(told, part, died)
                ahead = collections.deque(one if _came(one[2]) else submit(one[1]) for one in ahead)
            ahead.extend(map(submit, itertools.islice(parts, 1)))
            yield from found
    finally:
        _count_users(-1)
        for _, _, future in ahead:
            future.cancel()


def release() -> None:
    """Ends the processes and the server that they come from, which hold memory; the next list starts others.

    While another thread works through a list, nothing is ended: its own call will.
    """
    with _lock:
        if _users:
            return
        for pool in _kept:
            pool.executor.shutdown(wait=False, cancel_futures=True)
        _kept.clear()
        # What they may still work on is wanted by nobody.
        ours = [one for one in multiprocessing.active_children() if isinstance(one, ForkServerProcess)]
        for process in ours:
            process.kill()
        for process in ours:
            process.join()
        # Python ends the server with this process only; it has no public way to do so earlier. It waits for all of its
        # children, of which none is left.
        multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]
        # The folder of its socket would be removed at the end of this process. It may be in one that goes before.
        for finalizer in list(util._finalizer_registry.values()):  # type: ignore[attr-defined]
            if finalizer._callback is util._remove_temp_dir:  # type: ignore[attr-defined]
                finalizer()


def _count_users(change: int) -> None:
    global _users  # noqa: PLW0603
    with _lock:
        _users += change


def _came(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled() and not isinstance(future.exception(), BrokenProcessPool)


def _one_by_one(told: bytes, part: Sequence[Item], died: Callable[[Item], Found]) -> list[Found]:
    """What becomes of each item, with a process that works on nothing else."""
    found: list[Found] = []
    pool = _Pool(told, 1)
    try:
        for item in part:
            try:
                found += pool.executor.submit(_run, [item]).result()
            except BrokenProcessPool:
                pool.executor.shutdown(wait=False)
                pool = _Pool(told, 1)
                try:
                    pool.executor.submit(_run, []).result()
                except BrokenProcessPool:
                    raise ImagegateError(
                        "the processes that read the images end at once, without any image: see the log, and whether "
                        "this machine has memory left"
                    ) from None
                found.append(died(item))
    finally:
        pool.executor.shutdown(wait=False)
    return found


def _pool(told: bytes, count: int) -> _Pool:
    """The processes for this work, started if there are none."""
    with _lock:
        for pool in _kept:
            if pool.told == told:
                return pool
        others, _kept[:] = list(_kept), [_Pool(told, count)]
        for pool in others:  # what they have begun is finished
            pool.executor.shutdown(wait=False)
        return _kept[0]


def _drop(pool: _Pool) -> None:
    with _lock:
        if pool in _kept:
            _kept.remove(pool)
    pool.executor.shutdown(wait=False)


def _begin(told: bytes) -> None:
    """Prepares a process: it is silent, takes no GPU, leaves signals to the one that started it, and ends with that."""
    global _task  # noqa: PLW0603  one kind of work per process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, whatever it is doing
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    threading.Thread(target=_end_with_starter, daemon=True).start()
    _task = pickle.loads(told)  # noqa: S301  from the process that started this one
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # decoders print warnings
        os.dup2(silent, stream)


def _end_with_starter() -> None:
    starter = multiprocessing.parent_process()
    assert starter is not None
    connection.wait([starter.sentinel])
    os._exit(1)


def _run(part: Sequence[Any]) -> list[Any]:
    """Works on items, in a process of the pool."""
    assert _task is not None
    work, setting, longest = _task
    found = []
    try:
        for item in part:
            signal.setitimer(signal.ITIMER_REAL, longest)
            found.append(work(setting, item))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return found
