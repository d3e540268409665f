"""The files below a data set's root, and a look-up for the names that tables and annotations use."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Iterator

from components.base.errors import ConfigError
from components.data import storage
from components.data.dataset import LayoutError
from components.data.storage import File

# Endings of image files, in lower case.
ENDINGS = {"", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


class Listing:
    """One listing of a root. `find` returns listed files only, so no name in a table can reach anything else.

    Attributes:
        root: local folder or fsspec URL.
        files: path -> file, for every file below the root.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.files = {file.path: file for file in storage.files(root)}
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
        return file or File(path, 0, "", f"there is no such file in {self.root}{_hint(path)}")

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
        if not any(p.startswith(prefix) for p in self.files):
            raise LayoutError(f"{key}: there is no file below {value or '.'} in {self.root}")
        return prefix

    def below(self, folder: str) -> Iterator[File]:
        """Yields every file below a prefix that `folder` returned."""
        return (file for path, file in self.files.items() if path.startswith(folder))

    def text(self, path: str, key: str) -> str:
        """Reads a table or list that the configuration names, as UTF-8 with or without a byte order mark.

        Raises:
            ConfigError: naming `key`: there is no such file below the root.
            LayoutError: it cannot be read, or is not UTF-8 text.
        """
        file = self.find("", path)
        if file.problem:
            raise ConfigError(f"{key}: {path}: {file.problem}")
        try:
            return storage.read(self.root, file.path).decode("utf-8-sig")
        except OSError as error:
            raise LayoutError(f"{key}: {path} cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError as error:
            raise LayoutError(
                f"{key}: {path} is not UTF-8 text: byte 0x{error.object[error.start]:02x} at offset {error.start}; "
                "save it as UTF-8"
            ) from None

    def _place(self, folder: str) -> str:
        """Names a folder in a message."""
        return f"{folder.rstrip('/')} in {self.root}" if folder else self.root


def _hint(path: str) -> str:
    """Adds a likely reason why a file is missing, or nothing."""
    if any(storage.is_litter(part) for part in path.split("/")):
        return "; hidden files are never read"
    return "; folders are separated by '/'" if "\\" in path else ""
