"""Arrays and blocks of bytes that lie in files of the temporary folder, so that they need not stay in memory.

The files have no name and go with the process. What an array in a file takes of the memory is a cache of that file,
which the system takes back when memory is short.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

SMALL = 1 << 24  # bytes of an array that stay in memory
_ROWS = 1 << 16  # that are copied at once


class Blocks:
    """A file to which one thread appends blocks of bytes; any may read them."""

    def __init__(self) -> None:
        self._file, self._end = _file(), 0

    def append(self, content: bytes) -> Block:
        """Writes a block.

        Raises:
            OSError: the disk is full, for example.
        """
        start, rest = self._end, memoryview(content)
        with _named():
            while rest:
                rest = rest[os.pwrite(self._file.fileno(), rest, start + len(content) - len(rest)) :]
        self._end += len(content)
        return Block(self._file, start, len(content))


class Block:
    """A block in a file, which stays as long as one of its blocks is needed."""

    def __init__(self, file: IO[bytes], start: int, length: int) -> None:
        self._file, self._start, self._length = file, start, length

    def read(self) -> bytes:
        """Reads what was written."""
        with _named():
            content = os.pread(self._file.fileno(), self._length, self._start)
        if len(content) != self._length:
            raise EOFError(f"a temporary file in {tempfile.gettempdir()} was cut")
        return content


def zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array of zeros; a large one lies in a file.

    Raises:
        OSError: there is no room for the file.
    """
    shape = (shape,) if isinstance(shape, int) else shape
    dtype, count = np.dtype(dtype), int(np.prod(shape))
    length = count * dtype.itemsize
    if length == 0 or length <= SMALL:
        return np.zeros(shape, dtype)
    with _file() as file, _named():
        # Without its blocks on the disk, a full disk would end the process by a signal when a page is written.
        _fill(file.fileno(), length)
        return np.frombuffer(mmap.mmap(file.fileno(), length), dtype).reshape(shape)


def load(path: str) -> NDArray[Any]:
    """An array that `save` wrote; of a large one, the file is mapped, and nobody may change it.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such file.
    """
    loaded: NDArray[Any] = np.load(path, mmap_mode="r" if os.path.getsize(path) > SMALL else None, allow_pickle=False)
    return loaded


def save(path: str, values: NDArray[Any]) -> None:
    """Writes an array [n, ...] in the format of `np.save`, which does not tell why the system refused to write.

    Raises:
        OSError: the disk is full, for example.
    """
    rows, head = np.ascontiguousarray(values), io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(rows))
    with open(path, "wb") as file:
        file.write(head.getvalue())
        file.write(rows.reshape(-1).view(np.uint8).data)


def taken(values: NDArray[Any], places: NDArray[np.integer[Any]]) -> NDArray[Any]:
    """The values [n, ...] at these places [m], as by `values[places]`; many lie in a file."""
    out = zeros((len(places), *values.shape[1:]), values.dtype)
    for start in range(0, len(places), _ROWS):
        out[start : start + _ROWS] = values[places[start : start + _ROWS]]
    return out


def joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The arrays one after the other, as by `np.concatenate`; much lies in a file."""
    out = zeros((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    start = 0
    for part in parts:
        for first in range(0, len(part), _ROWS):
            some = part[first : first + _ROWS]
            out[start : start + len(some)] = some
            start += len(some)
    return out


def _fill(file: int, length: int) -> None:
    if hasattr(os, "posix_fallocate"):  # which macOS lacks
        os.posix_fallocate(file, 0, length)
        return
    while length:
        length -= os.write(file, bytes(min(length, 1 << 20)))


def _file() -> IO[bytes]:
    with _named():
        return tempfile.TemporaryFile(prefix="imagegate-", buffering=0)


@contextlib.contextmanager
def _named() -> Iterator[None]:
    """Names the folder in errors of the system, which know no path of a file without a name."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, tempfile.gettempdir()) from None
