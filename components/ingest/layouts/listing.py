"""The files below a data set's root, and a look-up for what tables and annotations say of them."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Iterator

from components.base.errors import ConfigError
from components.data import storage
from components.data.dataset import LayoutError
from components.data.storage import File

# What an image's name may end in; in any case.
ENDINGS = {"", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


class Listing:
    """One listing of a root. Whatever it finds was listed, so no name in a table can reach anything else.

    Attributes:
        root: local folder or fsspec URL.
        files: path -> file, for every file below the root.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.files = {file.path: file for file in storage.files(root)}
        # macOS writes accents decomposed, a table typed elsewhere has them composed.
        self._composed = {unicodedata.normalize("NFC", path): path for path in self.files if not path.isascii()}

    def find(self, folder: str, name: str) -> File:
        """The file that a table calls `name`, relative to `folder`; where there is none, `problem` says why.

        Args:
            folder: as `folder` returns it.
            name: as written; "\\" is a character like any other.
        """
        path = posixpath.normpath(folder + name)
        if storage.is_url(name):
            return File(name, 0, "", f"a URL; expected a path relative to {self._say(folder)}")
        if name.startswith("/"):
            return File(name, 0, "", f"an absolute path; expected one relative to {self._say(folder)}")
        if path.split("/")[0] == "..":
            return File(name, 0, "", "leads out of data.root; copy the file into it")
        found = self.files.get(path) or self.files.get(self._composed.get(unicodedata.normalize("NFC", path), ""))
        return found or File(path, 0, "", f"there is no such file in {self._say('')}{_hint(path)}")

    def folder(self, value: str, key: str) -> str:
        """The configured folder as a prefix of paths: "" for the root, else "a/b/".

        Raises:
            ConfigError: naming `key`: it leads out of the root.
            LayoutError: no file is below it.
        """
        path = posixpath.normpath(value) if value else "."
        if value.startswith("/") or path.split("/")[0] == "..":
            raise ConfigError(f"{key}: {value} is not below data.root ({self.root}); expected a relative path")
        prefix = "" if path == "." else path + "/"
        if not any(p.startswith(prefix) for p in self.files):
            raise LayoutError(f"{key}: there is no file below {value or '.'} in {self.root}")
        return prefix

    def below(self, folder: str) -> Iterator[File]:
        """Every file below `folder`, as `folder` returns it."""
        return (file for path, file in self.files.items() if path.startswith(folder))

    def text(self, path: str, key: str) -> str:
        """The content of a table or list that the configuration names; UTF-8 with or without a byte order mark.

        Raises:
            ConfigError: naming `key`: there is no such file below the root.
            LayoutError: it cannot be read, or is no UTF-8 text.
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

    def _say(self, folder: str) -> str:
        return f"{folder.rstrip('/')} in {self.root}" if folder else self.root


def _hint(path: str) -> str:
    if any(storage.is_litter(part) for part in path.split("/")):
        return "; hidden files are never read"
    return "; folders are separated by '/'" if "\\" in path else ""
