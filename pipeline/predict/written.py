"""A folder in which `imagegate predict` writes a file for each image, without overwriting any of them."""

from __future__ import annotations

import contextlib
import os
import posixpath
import unicodedata
from collections.abc import Iterable, Sequence

from components.base.errors import ConfigError
from components.data import storage
from components.ingest.layouts.listing import endings
from pipeline.predict.inputs import Input


class Folder:
    """Assigns each image the path of its file, and writes these files. Creates the folder.

    Args:
        flag: of the command, for messages.
        folder: where they are written.
        inputs: the images.
        file_endings: of each file.
        others: names of other files that will be written.

    Attributes:
        paths: paths of the files, in the order of the images.

    Raises:
        ConfigError: the folder cannot be created, or a file would overwrite one of the images.
    """

    def __init__(
        self, flag: str, folder: str, inputs: Sequence[Input], file_endings: Sequence[str], others: Sequence[str] = ()
    ) -> None:
        if storage.is_url(folder):
            raise ConfigError(f"{flag}: {folder} is a URL; expected a folder on this machine")
        self._folder = folder
        self._names = names([i.relative for i in inputs], file_endings, others)
        self.paths = [os.path.join(folder, name) for name in self._names]
        images = {os.path.realpath(i.name) for i in inputs if not storage.is_url(i.name)}
        for path in (*self.paths, *(os.path.join(folder, other) for other in others)):
            if os.path.realpath(path) in images:
                raise ConfigError(f"{flag}: {path} is one of the images and would be lost; choose another folder")
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{flag}: {folder} cannot be created: {error.strerror}") from None

    def write(self, number: int, content: bytes) -> str:
        """Writes the file of image `number`, from 0, and returns its path. Raises OSError if it cannot be written."""
        self.write_other(self._names[number], content)
        return self.paths[number]

    def write_other(self, name: str, content: bytes) -> None:
        """Writes a file of this name. Raises OSError if it cannot be written."""
        path = os.path.join(os.path.realpath(self._folder), *name.split("/"))
        folder = os.path.dirname(path)
        if os.path.realpath(folder) != folder:
            raise OSError(None, "a link leads out of the folder")
        os.makedirs(folder, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # opening a symbolic link would overwrite its target
        with open(path, "xb") as f:
            f.write(content)


def names(paths: Iterable[str], file_endings: Iterable[str], others: Iterable[str] = ()) -> list[str]:
    """Chooses a distinct file name for each of `paths`, relative to the folder.

    Names that differ only in case or Unicode composition count as equal, because some file systems treat them so.
    """
    cleaned = ["/".join(part for part in path.split("/") if part not in ("", ".", "..")) for path in paths]
    taken = {_key(other) for other in others} | {_key(folder) for path in cleaned for folder in _folders(path)}
    counts: dict[str, int] = {}
    chosen = []
    for path, new in zip(cleaned, file_endings, strict=True):
        stem, ending = posixpath.splitext(path)
        if ending.lower() not in endings():
            stem = path
        name = stem + new
        while _key(name) in taken:
            counts[_key(stem)] = count = counts.get(_key(stem), 1) + 1
            name = f"{stem}-{count}{new}"
        taken.add(_key(name))
        chosen.append(name)
    return chosen


def _folders(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:i]) for i in range(1, len(parts)))


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
