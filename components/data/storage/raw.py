"""The bytes of an archive file, on this machine or in a store, read at any position by any thread."""

from __future__ import annotations

import io
import os
from typing import IO, Any, Protocol

from components.base import proof
from components.data.storage import remote
from components.data.storage.calls import Calls
from components.data.storage.entry import is_url

_BUFFER = 1 << 12  # of a listing on this machine: headers are small, and far apart
_REMOTE_BUFFER = 1 << 18  # of a listing in a store, where every request costs time


class Raw(Protocol):
    """Attributes:
    size: bytes.
    """

    size: int

    def pread(self, count: int, offset: int) -> bytes:
        """Returns `count` bytes from `offset`, fewer at the end of the file. Threads may call it at once."""
        ...

    def stream(self) -> IO[bytes]:
        """Returns the file with a position, for one thread; may be called once."""
        ...


class _Local:
    """A file on this machine. It stays the same file when another one takes its name."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb", _BUFFER)  # noqa: SIM115  open as long as the archive is in use
        self.size = os.fstat(self._file.fileno()).st_size

    def pread(self, count: int, offset: int) -> bytes:
        parts = []
        while count > 0 and (part := os.pread(self._file.fileno(), min(count, 1 << 30), offset)):
            parts.append(part)
            count, offset = count - len(part), offset + len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def stream(self) -> IO[bytes]:
        return self._file


class _Remote:
    """A file in a store, from which ranges are requested."""

    def __init__(self, url: str) -> None:
        fs, self._path = remote.filesystem(url)
        self._url, self._calls = url, Calls(fs)
        with remote.answering(url):
            self.size = int(self._calls.info(self._path)["size"])

    def pread(self, count: int, offset: int) -> bytes:
        end = min(offset + count, self.size)
        if offset >= end:
            return b""
        with remote.answering(self._url):
            data: bytes = self._calls.cat_file(self._path, start=offset, end=end)
        return data

    def stream(self) -> IO[bytes]:
        return io.BufferedReader(_Stream(self), _REMOTE_BUFFER)


def open_raw(path: str) -> Raw:
    """Opens a file.

    Raises:
        OSError: it cannot be opened.
    """
    return _Remote(path) if is_url(path) else _Local(path)


def version(path: str) -> str:
    """Returns text that changes with the file.

    Raises:
        OSError: it cannot be reached.
    """
    if is_url(path):
        fs, name = remote.filesystem(path)
        with remote.answering(path):
            info = Calls(fs).info(name)
        return f"{info.get('size')} {remote.version(info)}"
    status = os.stat(path)
    trusted = proof.has_change_times(os.path.dirname(path))
    return f"{status.st_size} {proof.of_status(status, trusted=trusted)}"


class _Stream(io.RawIOBase):
    """A `Raw` as a file with a position, for one thread."""

    def __init__(self, raw: Raw) -> None:
        self._raw, self._position = raw, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._raw.size}[whence]
        if start + offset < 0:
            raise OSError("a position before the beginning of the file")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        data = self._raw.pread(len(buffer), self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
