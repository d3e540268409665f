"""Where a data set is, what it is called, and where its configuration goes."""

from __future__ import annotations

import os
import posixpath
import shlex
import tempfile
from collections.abc import Collection
from dataclasses import dataclass

from components.base.errors import ConfigError
from components.data import storage

_ENDINGS = (".tar.gz", ".tgz", ".tar", ".zip")  # of archives, which are data sets by themselves
_TABLES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
_LISTED = (".csv", ".tsv", ".txt", ".jsonl", ".json", ".yaml", ".yml", ".xml")  # files that only name images
_START = 100_000  # bytes of a table that are searched for names of arrays
_LEVELS = 2  # folders above a table in which its images are looked for


@dataclass(frozen=True)
class Place:
    """A data set that the user named.

    Attributes:
        root: folder, archive or fsspec URL; a path is absolute.
        start: path below `root` of the file that the user named, or "".
        name: name of the pipeline.
        config: absolute path of the configuration: beside the data, or in the current folder where that cannot be
            written; `-o` names another.
    """

    root: str
    start: str
    name: str
    config: str

    @property
    def folder(self) -> str:
        """Folder of the configuration."""
        return os.path.dirname(self.config)

    @property
    def written_root(self) -> str:
        """`data.root` as the configuration has it: relative where the data are in its folder or below."""
        if storage.is_url(self.root) or os.path.commonpath([self.folder, self.root]) != self.folder:
            return self.root
        return os.path.relpath(self.root, self.folder)

    @property
    def own(self) -> tuple[str, ...]:
        """Places that are no part of the data set, even if they lie in it."""
        return (self.config, *(os.path.join(self.folder, path) for path in (self.output, self.destination)))

    @property
    def output(self) -> str:
        """`output`: that of the default, or one outside the data."""
        return self._outside("runs")

    @property
    def destination(self) -> str:
        """`push.destination`, outside the data."""
        return self._outside("models")

    def _outside(self, kind: str) -> str:
        """A folder for runs or models; only where the configuration itself is inside the data, so is the folder."""
        usual = f"{kind}/{self.name}"
        folder, root = os.path.realpath(self.folder), os.path.realpath(self.root)
        if storage.is_url(self.root) or _inside(folder, root):
            return usual
        path = os.path.join(folder, usual)
        return f"imagegate-{usual}" if _inside(path, root) or _inside(root, path) else usual

    def holds(self, root: str) -> bool:
        """Whether `root`, an absolute path or a URL, is this data set or lies in it."""
        one, other = (path if storage.is_url(path) else os.path.realpath(path) for path in (root, self.root))
        return _inside(one, other)


def place(path: str, output: str | None = None) -> Place:
    """Finds out what `path` is: a folder, an archive, a table of images, or a URL.

    Args:
        path: as the user wrote it.
        output: the configuration to write, or None for `NAME.yaml` beside the data.

    Raises:
        ConfigError: there is nothing at `path`, or it is a file that cannot be a data set.
    """
    if storage.is_url(path):
        root, start, name = path.rstrip("/"), "", posixpath.basename(path.rstrip("/"))
        beside = os.getcwd()
    else:
        root, start = _local(os.path.abspath(os.path.expanduser(path)), path)
        # A Parquet file holds its images: it is the data set, not the folder that it is in.
        own = start if start.lower().endswith(".parquet") else ""
        name, beside = os.path.basename(own or root), root if own else os.path.dirname(root)
        while not os.path.isdir(beside):  # a folder in an archive
            beside = os.path.dirname(beside)
    stem = _stem(name).lstrip(".") or "images"
    if output is not None:
        return Place(root, start, _safe(stem), os.path.abspath(os.path.expanduser(output)))
    config = os.path.join(beside, f"{stem}.yaml")
    if not os.path.lexists(config) and not _writable(beside):
        config = os.path.join(os.getcwd(), f"{stem}.yaml")
    return Place(root, start, _safe(stem), config)


def is_data(path: str) -> bool:
    """Whether what the user named is a data set rather than a configuration."""
    if storage.is_url(path) or os.path.isdir(path) or storage.in_archive(path):
        return True
    return path.lower().endswith(_TABLES) and os.path.exists(path)


def shown_path(path: str) -> str:
    """Returns a path as the user would write it: from the current folder, if that is shorter."""
    return path if storage.is_url(path) else min(path, os.path.relpath(path), key=len)


def quoted(path: str) -> str:
    """Returns a path as it is typed in a shell, from the current folder; one that begins with "-" is no option then."""
    short = shown_path(path)
    return shlex.quote(f"./{short}" if short.startswith("-") else short)


def _inside(path: str, folder: str) -> bool:
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def _local(path: str, named: str) -> tuple[str, str]:
    """Returns the root of a data set, and the path below it of the file that the user named; messages say `named`."""
    if os.path.isdir(path) or storage.in_archive(path):
        return path, ""
    if not os.path.exists(path):
        raise ConfigError(f"{named} does not exist; expected a folder of images, an archive, a table or a URL")
    lower = path.lower()
    if lower.endswith(".parquet"):
        return os.path.split(path)
    if not lower.endswith(_LISTED):
        raise ConfigError(
            f"{named} is a file that init does not know; expected a folder, an archive ({', '.join(_ENDINGS)}), or a "
            f"table or annotation file ({', '.join((*_LISTED, '.parquet'))})"
        )
    root = _folder_with_images(path)
    return root, os.path.relpath(path, root).replace(os.sep, "/")


def _folder_with_images(path: str) -> str:
    """Returns the folder of a table, or one above it: the first that has other files in folders beside the table."""
    from components.ingest.layouts.listing import ARRAYS, PHOTOS

    start = _start(path)
    # Arrays beside a table that does not name them are something else.
    endings = PHOTOS - {""} | {ending for ending in ARRAYS if ending.encode() in start}
    folder = os.path.dirname(path)
    for root in [folder, *_above(folder)][: 1 + _LEVELS]:
        if _has_image(root, endings):
            return root
    return folder


def _start(path: str) -> bytes:
    """The first bytes of a file, in lower case; nothing if it cannot be read, which whoever reads it all says."""
    if not os.path.isfile(path):
        return b""
    try:
        with open(path, "rb") as f:
            return f.read(_START).lower()
    except OSError:
        return b""


def _above(folder: str) -> list[str]:
    above = []
    while (parent := os.path.dirname(folder)) != folder:
        folder = parent
        above.append(folder)
    return above


def _has_image(folder: str, endings: Collection[str]) -> bool:
    for tried, file in enumerate(storage.files(folder, "PATH")):
        if posixpath.splitext(file.path)[1].lower() in endings:
            return True
        if tried > 10_000:
            break
    return False


def _writable(folder: str) -> bool:
    """Whether a file can be made in a folder. One without any permission to write is left alone, by root as well."""
    try:
        if not os.stat(folder).st_mode & 0o222:
            return False
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _stem(name: str) -> str:
    """Removes the ending of an archive or table.

    >>> _stem("pets.tar.gz"), _stem("pets.v2"), _stem("pets.parquet")
    ('pets', 'pets.v2', 'pets')
    """
    ending = next((e for e in (*_ENDINGS, ".parquet") if name.lower().endswith(e)), "")
    return name[: len(name) - len(ending)]


def _safe(name: str) -> str:
    """Turns the name of a folder into that of a pipeline.

    >>> _safe("my pets"), _safe(".hidden"), _safe("日本")
    ('my-pets', 'hidden', 'images')
    """
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "-" for c in name).strip("_.-")
    return kept or "images"
