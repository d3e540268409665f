"""The files below a data set's root, and a look-up for the names that tables and annotations use."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import posixpath
import unicodedata
from collections.abc import Iterator, Mapping

from components.base.errors import ConfigError
from components.data import storage
from components.data.dataset import LayoutError
from components.data.storage import File
from components.data.storage.bundles import ENDING
from components.ingest.layouts.listed import Listed
from components.ingest.layouts.nearby import Nearby

# Endings of photos, in lower case.
PHOTOS = {
    *("", ".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg"),
    *(".jpx", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
}
ARRAYS = (".npy", ".npz")  # of NumPy
_TAKEN: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar("endings", default=frozenset(PHOTOS))


def endings() -> frozenset[str]:
    """Endings of the files that may be images of the data set that is being read, in lower case."""
    return _TAKEN.get()


@contextlib.contextmanager
def arrays_too() -> Iterator[None]:
    """Within it, NumPy's files may be images, too. Beside photos, they are something else."""
    token = _TAKEN.set(frozenset(PHOTOS) | {*ARRAYS, ENDING})
    try:
        yield
    finally:
        _TAKEN.reset(token)


class Listing:
    """One listing of a root. `find` returns listed files only, so no name in a table can reach anything else.

    Attributes:
        root: local folder or fsspec URL.
        files: path -> file, for every file below the root.

    Args:
        root: local folder or fsspec URL.
        files: as the attribute, if they are listed already.
    """

    def __init__(self, root: str, files: Mapping[str, File] | None = None) -> None:
        self.root = root
        self.files: Mapping[str, File] = Listed(storage.files(root)) if files is None else files
        # macOS writes accents as separate characters; a table that was typed elsewhere has composed letters.
        self._composed = {unicodedata.normalize("NFC", path): path for path in self.files if not path.isascii()}

    def find(self, folder: str, name: str) -> File:
        """Finds the file that a table calls `name`, relative to `folder`; if there is none, its `problem` says why.

        Args:
            folder: a prefix as `folder` returns it.
            name: as the table has it; "\\" does not separate folders.
        """
        path = posixpath.normpath(folder + name)
        if storage.is_url(name):
            return File(name, 0, "", f"a URL; expected a path relative to {self._place(folder)}")
        if name.startswith("/"):
            return File(name, 0, "", f"an absolute path; expected one relative to {self._place(folder)}")
        if path.split("/")[0] == "..":
            return File(name, 0, "", "is outside data.root; copy the file into it")
        file = self.files.get(path) or self.files.get(self._composed.get(unicodedata.normalize("NFC", path), ""))
        return file or File(path, 0, "", f"there is no such file in {self.root}{self._hint(path)}")

    @functools.cached_property
    def nearby(self) -> Nearby:
        """Look-ups for names that are not quite those of files."""
        return Nearby((path for path, file in self.files.items() if not file.problem), endings())

    @functools.cached_property
    def has_backslashes(self) -> bool:
        """Whether a file has a backslash in its name, which then does not separate folders."""
        return any("\\" in path for path in self.files)

    @functools.cached_property
    def _folders(self) -> set[str]:
        """All folders that hold files, also further below, as prefixes."""
        found = {""} if self.files else set[str]()
        for folder in {path.rpartition("/")[0] for path in self.files}:
            parent = folder
            while parent and parent + "/" not in found:
                found.add(parent + "/")
                parent = parent.rpartition("/")[0]
        return found

    def folder(self, value: str, key: str) -> str:
        """Turns a configured folder into a prefix of paths: "" for the root, or "a/b/".

        Raises:
            ConfigError: naming `key`: the folder is outside the root.
            LayoutError: there is no file below it.
        """
        path = posixpath.normpath(value) if value else "."
        if value.startswith("/") or path.split("/")[0] == "..":
            raise ConfigError(f"{key}: {value} is not below data.root ({self.root}); expected a relative path")
        prefix = "" if path == "." else path + "/"
        if prefix not in self._folders:
            raise LayoutError(f"{key}: there is no file below {value or '.'} in {self.root}")
        return prefix

    def below(self, folder: str) -> Iterator[File]:
        """Yields every file below a prefix that `folder` returned."""
        return (file for path, file in self.files.items() if path.startswith(folder))

    def known(self, path: str, key: str) -> File:
        """Finds a table that the configuration names.

        Raises:
            ConfigError: naming `key`: there is no such file below the root.
        """
        file = self.find("", path)
        if file.problem:
            raise ConfigError(f"{key}: {path}: {file.problem}")
        return file

    def content(self, path: str, key: str) -> bytes:
        """Reads a file that the configuration names.

        Raises:
            ConfigError: naming `key`: there is no such file below the root.
            LayoutError: it cannot be read.
        """
        file = self.known(path, key)
        try:
            return storage.read(self.root, file.path)
        except OSError as error:
            raise LayoutError(f"{key}: {path} cannot be read: {error.strerror or error}") from None

    def text(self, path: str, key: str) -> str:
        """Reads a table or list that the configuration names, as UTF-8 with or without a byte order mark.

        Raises:
            ConfigError: naming `key`: there is no such file below the root.
            LayoutError: it cannot be read, or is not UTF-8 text.
        """
        try:
            return self.content(path, key).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise LayoutError(
                f"{key}: {path} is not UTF-8 text: byte 0x{error.object[error.start]:02x} at offset {error.start}; "
                "save it as UTF-8"
            ) from None

    def _hint(self, path: str) -> str:
        """Adds the reason why a file is missing, or the file that may be meant; nothing unless it is certain."""
        if any(storage.is_litter(part) for part in path.split("/")) and self._exists(path):
            return "; hidden files are never read"
        if near := self.nearby.near(path):
            return f"; did you mean {near}?"
        if "\\" in path and not self.has_backslashes and (near := self.nearby.near(path.replace("\\", "/"))):
            return f"; did you mean {near}? Folders are separated by '/'"
        return ""

    def _exists(self, path: str) -> bool:
        """Whether there is a file that is not listed. Behind a URL nobody looks."""
        return not storage.is_url(self.root) and os.path.lexists(os.path.join(self.root, path))

    def _place(self, folder: str) -> str:
        """Names a folder in a message."""
        return f"{folder.rstrip('/')} in {self.root}" if folder else self.root
