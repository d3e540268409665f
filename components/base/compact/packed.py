"""Sequences of millions of small records in little memory."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import marshal
import operator
import threading
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, overload

from components.base.compact import scratch

T = TypeVar("T")
_BLOCK = 1024  # items that are compressed together
_RUN = 32 * _BLOCK  # items that are sorted at once
_FAN = 16  # sorted runs that are merged at once; of each, a block is unpacked meanwhile
_KEPT = 8  # blocks that stay unpacked, so that a small sequence is unpacked once
_HELD = 64  # blocks that stay in memory; the others go to a file


def _alone(field: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda item: (field(item),)


class Packed(Sequence[T]):
    """An immutable sequence of dataclass instances, compressed in blocks; items are made anew when they are asked for.

    Neighbours that have much in common, such as paths in order, take little room: the records of photos about 30 bytes
    each, where as objects they take 420. Of more than 65,000 items, the others are in a file, see `scratch`.

    Args:
        kind: makes an item from its fields: a dataclass, or a function. Fields are numbers, texts, None, and tuples or
            frozen sets of these.
        items: what it holds, in order.
        fields: the fields of an item; None: those of the dataclass.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Point:
    ...     x: int
    ...     name: str
    >>> points = Packed(Point, (Point(i, "a") for i in range(5000)))
    >>> len(points), points[4321], points[-1].x, points == [Point(i, "a") for i in range(5000)]
    (5000, Point(x=4321, name='a'), 4999, True)
    """

    def __init__(
        self,
        kind: Callable[..., T],
        items: Iterable[T] = (),
        fields: Callable[[T], tuple[Any, ...]] | None = None,
    ) -> None:
        self._kind, self._names = kind, list[str]()
        if fields is None:
            self._names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
            fields = operator.attrgetter(*self._names)
            fields = fields if len(self._names) > 1 else _alone(fields)
        self._blocks: list[bytes | scratch.Block] = []
        self._length = 0
        self._unpacked: OrderedDict[int, list[T]] = OrderedDict()
        self._lock = threading.Lock()
        iterator, file = iter(items), None
        while some := list(itertools.islice(iterator, _BLOCK)):
            if len(self._blocks) < _KEPT:
                self._unpacked[len(self._blocks)] = some
            elif len(self._blocks) == _KEPT:
                self._unpacked.clear()
            # Only this process reads it, for which marshal is the fastest.
            block = zlib.compress(marshal.dumps(tuple(zip(*map(fields, some), strict=True))), 1)
            if len(self._blocks) >= _HELD:
                file = file or scratch.Blocks()
            self._blocks.append(file.append(block) if file else block)
            self._length += len(some)

    @classmethod
    def ordered(
        cls,
        kind: Callable[..., T],
        items: Iterable[T],
        key: Callable[[T], Any],
        fields: Callable[[T], tuple[Any, ...]] | None = None,
    ) -> Packed[T]:
        """Sorts items by a key; of equal ones, the first stays first. Never are all of them unpacked at once."""

        def merged(runs: Sequence[Packed[T]]) -> Packed[T]:
            if len(runs) == 1:
                return runs[0]
            if any(key(one[-1]) > key(other[0]) for one, other in itertools.pairwise(runs)):
                return cls(kind, heapq.merge(*(run._drained() for run in runs), key=key), fields)
            whole = cls(kind, (), fields)
            whole._blocks = [block for run in runs for block in run._blocks]
            whole._length = sum(map(len, runs))
            file = None
            for i, block in enumerate(whole._blocks[_HELD:], _HELD):
                if isinstance(block, bytes):
                    file = file or scratch.Blocks()
                    whole._blocks[i] = file.append(block)
            return whole

        iterator, levels = iter(items), list[list[Packed[T]]]()
        while some := list(itertools.islice(iterator, _RUN)):
            some.sort(key=key)
            run = cls(kind, some, fields)
            del some  # before the next run is read
            for level in levels:
                level.append(run)
                if len(level) < _FAN:
                    break
                run = merged(level)
                level.clear()
            else:
                levels.append([run])
        runs = [run for level in reversed(levels) for run in level]  # in the order of their items
        return merged(runs) if runs else cls(kind, (), fields)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> list[T]: ...

    def __getitem__(self, place: int | slice) -> T | list[T]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(self._length))]
        block, within = divmod(range(self._length)[place], _BLOCK)
        return self._block(block)[within]

    def __iter__(self) -> Iterator[T]:
        keep = len(self._blocks) <= _KEPT
        for i in range(len(self._blocks)):
            yield from self._block(i) if keep else itertools.starmap(self._kind, zip(*self._columns(i), strict=True))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self._length:,} of {getattr(self._kind, '__name__', self._kind)}>"

    def values(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """Yields the values of these fields of each item, without making the items."""
        if len(self._blocks) <= _KEPT:
            row = operator.attrgetter(*names)
            yield from map(row if len(names) > 1 else _alone(row), self)
            return
        places = [self._names.index(name) for name in names]
        for i in range(len(self._blocks)):
            columns = self._columns(i)
            yield from zip(*(columns[place] for place in places), strict=True)

    def _columns(self, block: int) -> tuple[tuple[Any, ...], ...]:
        return _columns(self._blocks[block])

    def _block(self, block: int) -> list[T]:
        with self._lock:
            found = self._unpacked.pop(block, None)
            if found is None:
                found = list(itertools.starmap(self._kind, zip(*self._columns(block), strict=True)))
            self._unpacked[block] = found
            if len(self._unpacked) > _KEPT:
                self._unpacked.popitem(last=False)
            return found

    def _drained(self) -> Iterator[T]:
        """Yields the items, and gives the memory of each block back before the next one is unpacked."""
        blocks = deque(self._blocks)
        self._blocks, self._unpacked = [], OrderedDict()
        while blocks:
            yield from itertools.starmap(self._kind, zip(*_columns(blocks.popleft()), strict=True))


def _columns(block: bytes | scratch.Block) -> tuple[tuple[Any, ...], ...]:
    content = block.read() if isinstance(block, scratch.Block) else block
    columns: tuple[tuple[Any, ...], ...] = marshal.loads(zlib.decompress(content))  # noqa: S302  its own
    return columns
