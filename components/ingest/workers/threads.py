"""Threads of this process that work through a long list, in order.

They share Python's lock. So they pay where most of the time is waiting, or work that needs no lock.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from components.data.formats import proof

Item = TypeVar("Item")
Found = TypeVar("Found")

_BATCHES = 4  # that are decoded ahead at most: so many are enough for the one thread that examines
_CHUNK = 16  # items per task, because handing over a tiny file costs more than decoding it


def chunks(items: Iterator[Item]) -> Iterator[list[Item]]:
    """Yields the items in parts that are handed over together."""
    return iter(lambda: list(itertools.islice(items, _CHUNK)), [])


def ordered(one: Callable[[Item], Found], items: Iterator[Item], count: int) -> Iterator[Found]:
    """Applies `one` to each item in so many threads; with one, in this thread. At most two parts for each are ahead."""
    if count == 1:
        yield from map(one, items)
        return

    def many(part: list[Item]) -> list[Found]:
        return [one(item) for item in part]

    parts = chunks(items)
    with ThreadPoolExecutor(count) as pool:
        ahead = collections.deque(pool.submit(many, part) for part in itertools.islice(parts, 2 * count))
        while ahead:
            done = ahead.popleft().result()
            ahead.extend(pool.submit(many, part) for part in itertools.islice(parts, 1))
            yield from done


def decoded_ahead(steps: Callable[[Item], proof.Steps[Found]], items: Iterator[Item], count: int) -> Iterator[Found]:
    """Goes through `steps` of each item in this thread, while so many others, but at most `_BATCHES`, decode the next.

    Were they all to examine, each would wait for Python's lock at every turn, which takes as long as they save.
    """
    count = min(count, _BATCHES)
    with ThreadPoolExecutor(count) as pool:
        ahead = collections.deque[tuple[proof.Batch[Found], Future[None]]]()
        for part in chunks(items):
            batch = proof.Batch([steps(item) for item in part])
            ahead.append((batch, pool.submit(batch.decode)))
            if len(ahead) > count:
                yield from _finished(*ahead.popleft())
        for batch, decoded in ahead:
            yield from _finished(batch, decoded)


def _finished(batch: proof.Batch[Found], decoded: Future[None]) -> list[Found]:
    decoded.result()
    return batch.finish()
