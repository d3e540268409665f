"""Files below a URL that are written, listed and removed: a folder of an object store, or whatever fsspec opens."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from components.data.storage import remote
from components.data.storage.calls import Calls

_AT_ONCE = 8  # transfers, each of which waits for the store most of the time
# Stores without folders, where a name with "/" needs none. s3fs would even make a bucket that does not exist.
_FLAT = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "memory"}

T = TypeVar("T")


class Objects:
    """The objects below a URL; their names are relative to it, separated by "/".

    Errors are OSErrors, and those that may pass are tried again; see `Calls`.

    Args:
        url: of the folder; it need not exist.
        key: the setting that it comes from, for messages.

    Attributes:
        url: without a slash at the end.
        calls: the file system, for what has no method here.

    Raises:
        ConfigError: fsspec cannot open such a URL.
    """

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        fs, self._base = remote.filesystem(self.url, key)
        self.calls, self._flat = Calls(fs), self.url.partition("://")[0] in _FLAT

    def path(self, name: str) -> str:
        """The object as `calls` names it."""
        return f"{self._base}/{name}" if name else self._base

    def names(self, folder: str = "") -> dict[str, int]:
        """The names of all objects below a folder, relative to it, with their sizes in bytes; sorted.

        Raises:
            OSError: a name leads out of the folder, or the store cannot be reached.
        """
        start = self.path(folder) + "/"
        self.calls.invalidate_cache()
        try:
            found = self.calls.files(start)
        except FileNotFoundError:
            return {}
        sizes = {path.removeprefix(start): int(info.get("size") or 0) for path, info in found.items()}
        if any(name.startswith("/") or ".." in name.split("/") for name in sizes):
            raise OSError(f"{self.url}/{folder} contains file names that lead out of the folder")
        return {name: sizes[name] for name in sorted(sizes) if name and not name.endswith("/")}

    def read(self, name: str) -> bytes | None:
        """The content of an object; None if there is none."""
        return self.calls.content(self.path(name))

    def put(self, name: str, content: bytes | str) -> None:
        """Writes an object, or replaces it.

        Args:
            name: of the object.
            content: bytes, or the path of a file on this machine.
        """
        path = self.path(name)
        if not self._flat:
            self.calls.makedirs(path.rpartition("/")[0], exist_ok=True)
        if isinstance(content, bytes):
            self.calls.pipe_file(path, content)
        else:
            self.calls.put_file(content, path)

    def get(self, name: str, path: str) -> None:
        """Writes an object to a file of this machine, whose folder is made."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.calls.get_file(self.path(name), path)

    def copy(self, source: str, name: str) -> None:
        """Copies an object within the store; nothing of it passes through this machine where the store can do so."""
        self.copy_from(self, source, name)

    def copy_from(self, other: Objects, source: str, name: str) -> None:
        """Does the same with an object of another folder of the store."""
        path = self.path(name)
        if not self._flat:
            self.calls.makedirs(path.rpartition("/")[0], exist_ok=True)
        self.calls.cp_file(other.path(source), path)

    def digest(self, name: str) -> str:
        """The SHA-256 of an object, in hexadecimal; reads it."""
        self.calls.invalidate_cache()
        with self.calls.open(self.path(name), "rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()

    def remove(self, name: str) -> None:
        """Removes an object, if it is there."""
        self.calls.remove(self.path(name))

    def remove_folder(self, folder: str) -> None:
        """Removes every object below a folder, and where the store has folders the folder itself."""
        each(lambda name: self.remove(f"{folder}/{name}"), self.names(folder))
        if not self._flat:
            with contextlib.suppress(FileNotFoundError):
                self.calls.rm(self.path(folder), recursive=True)

    def check(self) -> None:
        """Writes a small object, reads it and removes it.

        Raises:
            OSError: one of the three is not possible.
        """
        name, content = f".check-{secrets.token_hex(8)}", secrets.token_bytes(8)
        self.put(name, content)
        try:
            if self.read(name) != content:
                raise OSError("an object that was just written has another content when it is read")
        finally:
            self.remove(name)


def each(action: Callable[[T], object], items: Iterable[T]) -> None:
    """Calls `action` with every item, several at once; raises the first error, and then begins no further one."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures = [pool.submit(action, item) for item in items]
        try:
            for future in futures:
                future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            raise
