"""Expansion of `imagegate predict`'s IMAGE arguments: files, folders, patterns and URLs become a list of images."""

from __future__ import annotations

import glob
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.base.errors import ConfigError, ImagegateError
from components.base.text import holds_password, truncated_list
from components.data import decoding, images, storage
from components.data.storage import bundles
from components.data.storage.entry import HOLDS_CREDENTIALS
from components.ingest.layouts.listing import endings


@dataclass(frozen=True, slots=True)
class Input:
    """One image to predict, or an argument that yields no image and the reason why.

    Attributes:
        name: path or URL.
        relative: path below the folder argument that contains it; for a file argument, the file's name.
        problem: the reason why it cannot be read, or "".
    """

    name: str
    relative: str = ""
    problem: str = ""


def expand(arguments: Sequence[str], without: Sequence[str] = ()) -> tuple[list[Input], list[str]]:
    """Expands `arguments` to images, in order, and returns a note for each folder in which files were skipped.

    An existing path is that file or folder, even if it contains special characters. A folder yields all files at any
    depth that have an image's extension, sorted; links out of the folder and hidden files are left out, as at ingest.
    Any other argument with `*`, `?` or `[` is a pattern and expands as in a shell, where `**` matches any number of
    folders. An argument that yields nothing becomes an `Input` with a `problem`.

    Args:
        arguments: paths, patterns, and fsspec URLs of files (with an image's extension) or folders.
        without: folders whose files are left out of folders and patterns, such as that of the overlays.

    Raises:
        ConfigError: a URL holds a password, which the table of predictions would show.
    """
    inputs: list[Input] = []
    notes: list[str] = []
    excluded = tuple(os.path.realpath(folder) + os.sep for folder in without)
    for argument in arguments:
        if holds_password(argument):
            raise ConfigError(f"IMAGE: {HOLDS_CREDENTIALS}")
        matches = list(_matches(argument, notes))
        if excluded and not _is_file(argument):
            matches = [i for i in matches if i.problem or not os.path.realpath(i.name).startswith(excluded)]
        problem = "no image file is below this folder" if _is_folder(argument) else "no file matches this pattern"
        inputs += matches or [Input(argument, problem=problem)]
    return inputs, notes


def content(name: str) -> bytes:
    """Reads the file of an image, up to the largest size that is checked.

    Raises:
        OSError: it cannot be read.
    """
    if storage.is_url(name) or bundles.find(name) is not None:
        folder, _, last = name.rpartition("/")
        return storage.read(folder, last)
    with open(name, "rb") as f:
        return f.read(images.max_file_bytes(decoding.MAX_PIXELS) + 1)


def _is_folder(argument: str) -> bool:
    if storage.is_url(argument):
        return posixpath.splitext(argument)[1].lower() not in endings() - {""}
    return os.path.isdir(argument)


def _is_file(argument: str) -> bool:
    if storage.is_url(argument) or os.path.lexists(argument):
        return not _is_folder(argument)
    return not glob.has_magic(argument)


def _matches(argument: str, notes: list[str]) -> Iterator[Input]:
    if _is_folder(argument):
        return _folder(argument, notes)
    if _is_file(argument):
        return iter([Input(argument, posixpath.basename(argument))])
    return _pattern(argument, notes)


def _folder(folder: str, notes: list[str]) -> Iterator[Input]:
    try:
        files = sorted(storage.files(folder, folder), key=lambda file: file.path)
    except ImagegateError as error:
        yield Input(folder, problem=str(error).removeprefix(f"{folder}: "))
        return
    others = []
    for file in files:
        if posixpath.splitext(file.path)[1].lower() in endings():
            # The moments of a sequence may lie in the folder itself.
            own = file.path if file.path != bundles.ENDING else posixpath.basename(folder.rstrip("/")) + bundles.ENDING
            name = f"{folder.rstrip('/')}/{file.path}" if own == file.path else folder.rstrip("/") + bundles.ENDING
            yield Input(name, own, file.problem)
        else:
            others.append(file.path)
    if others:
        count = f"{len(others):,} file{'s' if len(others) > 1 else ''}"
        notes.append(f"{folder}: skipped {count} without an image extension: {truncated_list(others)}")


def _pattern(pattern: str, notes: list[str]) -> Iterator[Input]:
    path = Path(pattern)
    top = Path(path.anchor)
    try:
        names = sorted(map(str, top.glob(str(path.relative_to(top)))))
    except ValueError:
        yield Input(pattern, problem="not a valid pattern; ** must stand alone between slashes, as in photos/**/*.jpg")
        return
    except OSError as error:
        yield Input(pattern, problem=f"cannot be searched: {error.strerror}")
        return
    seen: set[str] = set()
    for name in names:
        if any(storage.is_litter(part) and part not in path.parts for part in Path(name).parts):
            continue
        for item in _folder(name, notes) if os.path.isdir(name) else [_file(name)]:
            if item.name not in seen:
                seen.add(item.name)
                yield item


def _file(name: str) -> Input:
    readable = os.path.isfile(name) or not os.path.exists(name)  # reading a missing file gives a better message
    return Input(name, posixpath.basename(name), "" if readable else "not a regular file")
