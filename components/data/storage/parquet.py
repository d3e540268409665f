"""Images in Parquet files, as Hugging Face stores them: `train.parquet/image/0003/000417` is one of them.

The path names the file, the column, the row group and the row, both counted from 0. A row group is read once from its
beginning to its end, in batches of which the last ones stay in memory, since rows are asked for nearly in order.
"""

from __future__ import annotations

import io
import os
import re
import threading
import urllib.parse
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from components.data.storage import archive, raw
from components.data.storage.entry import is_url

_MEMBER = re.compile(r"(.+\.parquet)/([^/]+)/(\d{4,})/(\d{6,})", re.IGNORECASE)
_BATCH = 32  # rows
_WINDOW = 256 << 20  # bytes of batches that one cursor keeps
_MOST_CURSORS = 4
_MOST = 1 << 30  # bytes of a batch, if every row of it is as large as all values that the row group states
_BUFFER = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Member:
    """Attributes:
    path: of the Parquet file.
    column: of the images.
    group, row: of the image, counted from 0; `row` within the file.
    """

    path: str
    column: str
    group: int
    row: int

    def __str__(self) -> str:
        return f"{unit(self)}/{self.row:06d}"


def unit(member: Member) -> str:
    """Returns the path of what is read at once: the row group."""
    return f"{member.path}/{urllib.parse.quote(member.column, safe=' ')}/{member.group:04d}"


def find(path: str) -> Member | None:
    """Takes the path of an image in a Parquet file apart; None if it is that of a file.

    >>> str(find("a/b.parquet/image/0000/000007")), find("a/b.parquet")
    ('a/b.parquet/image/0000/000007', None)
    """
    match = _MEMBER.fullmatch(path)
    return Member(match[1], urllib.parse.unquote(match[2]), int(match[3]), int(match[4])) if match else None


def opened(root: str, path: str) -> Any:
    """Opens the Parquet file `path` below `root` as a `pyarrow.parquet.ParquetFile`. Nothing in it is ever executed.

    Raises:
        OSError: it cannot be read, or is not a Parquet file.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        if place := archive.find(root):
            source: Any = io.BytesIO(archive.read(*place, path))
        else:
            source = raw.open_raw(f"{root.rstrip('/')}/{path}").stream()
        return pyarrow.parquet.ParquetFile(source, buffer_size=_BUFFER, pre_buffer=False)
    except (pyarrow.ArrowException, ValueError, KeyError) as error:
        raise OSError(f"not a Parquet file that can be read: {_first_line(error)}") from None


def read(root: str, member: Member) -> bytes:
    """Returns the bytes of one image. Threads may call it at once.

    Raises:
        OSError: the file cannot be read, or there is no image in this row.
    """
    import pyarrow

    state = _state()
    with state.lock:
        try:
            data = _cursor(state, root, member).get(member.row)
        except (pyarrow.ArrowException, ValueError, KeyError, IndexError, StopIteration) as error:
            raise OSError(f"cannot be read: {_first_line(error)}") from None
    if data is None:
        raise OSError("the row holds no image")
    return data


class _Cursor:
    """Reads the images of one row group from its beginning, and keeps the last batches."""

    def __init__(self, root: str, member: Member) -> None:
        file = opened(root, member.path)
        if member.group >= file.num_row_groups:
            raise IndexError("there is no such row group")
        self.next = sum(file.metadata.row_group(i).num_rows for i in range(member.group))
        kind = file.schema_arrow.field(member.column).type
        leaf = f"{member.column}.bytes" if kind.num_fields else member.column
        batch = _batch(file.metadata.row_group(member.group), leaf)
        self._batches: Iterator[Any] = file.iter_batches(batch, [member.group], [leaf], use_threads=False)
        self._kept: deque[tuple[int, Any]] = deque()  # (first row, array)

    def reaches(self, row: int) -> bool:
        """Whether a row is kept, or still to come."""
        return row >= (self._kept[0][0] if self._kept else self.next)

    def get(self, row: int) -> bytes | None:
        while row >= self.next:
            batch = next(self._batches)
            array = batch.column(0)
            self._kept.append((self.next, array.field("bytes") if array.type.num_fields else array))
            self.next += batch.num_rows
            while len(self._kept) > 1 and sum(array.nbytes for _, array in self._kept) > _WINDOW:
                self._kept.popleft()
        first, array = next((first, array) for first, array in reversed(self._kept) if first <= row)
        value = array[row - first].as_py()
        return value if value is None or isinstance(value, bytes) else str(value).encode()


def _batch(group: Any, leaf: str) -> int:
    """Rows that are read at once. All of them may stand for one value of a dictionary, and are copies of it then."""
    chunks = [chunk for chunk in map(group.column, range(group.num_columns)) if chunk.path_in_schema == leaf]
    largest = max((chunk.total_uncompressed_size for chunk in chunks), default=1)
    return max(1, min(_BATCH, _MOST // max(1, largest)))


@dataclass
class _State:
    """Open cursors of one process, the last used at the end. A fork must not share a lock that another held."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    cursors: list[tuple[tuple[str, str, str], _Cursor]] = field(default_factory=list)


_STATES: dict[int, _State] = {}  # by process id


def _state() -> _State:
    pid = os.getpid()
    for other in [known for known in _STATES if known != pid]:
        _STATES.pop(other, None)
    return _STATES.setdefault(pid, _State())


def _cursor(state: _State, root: str, member: Member) -> _Cursor:
    place = archive.find(root)
    path = place[0] if place else f"{root.rstrip('/')}/{member.path}"
    # A store is not asked before each image whether the file changed.
    key = (root, unit(member), "" if is_url(path) else raw.version(path))
    for i, (known, cursor) in enumerate(state.cursors):
        if known == key and cursor.reaches(member.row):
            state.cursors.append(state.cursors.pop(i))
            return cursor
    cursor = _Cursor(root, member)
    state.cursors = [*state.cursors[-_MOST_CURSORS + 1 :], (key, cursor)]
    return cursor


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
