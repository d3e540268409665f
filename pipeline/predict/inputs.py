"""What the IMAGE arguments of `imagegate predict` mean: files, folders, patterns and URLs become a list of images."""

from __future__ import annotations

import glob
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.base.errors import ImagegateError
from components.base.text import truncated_list
from components.data import storage
from components.ingest.layouts.listing import ENDINGS


@dataclass(frozen=True, slots=True)
class Input:
    """One image, or one argument that is none.

    Attributes:
        name: its path or URL.
        below: its path below the folder that was given; of a file its name.
        problem: why it must not be read, or "".
    """

    name: str
    below: str = ""
    problem: str = ""


def expand(arguments: Sequence[str], without: str | None = None) -> tuple[list[Input], list[str]]:
    """The images that `arguments` mean, in their order, and a sentence for each folder where files are passed over.

    A path that exists is that file or folder, whatever its characters. Of a folder all files count, however deep,
    whose names end like an image's; sorted, links out of it and hidden files left out as at ingest. Anything else
    with `*`, `?` or `[` is a pattern, `**` being any number of folders: what a shell makes of it. An argument that
    means nothing comes with a `problem`.

    Args:
        arguments: paths, patterns, and fsspec URLs of files (with an image's ending) or folders.
        without: a folder whose files neither folders nor patterns mean.
    """
    found: list[Input] = []
    notes: list[str] = []
    own = os.path.realpath(without) + os.sep if without else None
    for argument in arguments:
        several = list(_meant(argument, notes))
        if own and not _is_file(argument):
            several = [i for i in several if i.problem or not os.path.realpath(i.name).startswith(own)]
        kind = "no image file is below this folder" if _is_folder(argument) else "no file matches this pattern"
        found += several or [Input(argument, problem=kind)]
    return found, notes


def _is_folder(argument: str) -> bool:
    if storage.is_url(argument):
        return posixpath.splitext(argument)[1].lower() not in ENDINGS - {""}
    return os.path.isdir(argument)


def _is_file(argument: str) -> bool:
    if storage.is_url(argument) or os.path.lexists(argument):
        return not _is_folder(argument)
    return not glob.has_magic(argument)


def _meant(argument: str, notes: list[str]) -> Iterator[Input]:
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
        if posixpath.splitext(file.path)[1].lower() in ENDINGS:
            yield Input(f"{folder.rstrip('/')}/{file.path}", file.path, file.problem)
        else:
            others.append(file.path)
    if others:
        count = f"{len(others):,} file{'s' if len(others) > 1 else ''}"
        notes.append(f"{folder}: passed over {count} not named like an image: {truncated_list(others)}")


def _pattern(pattern: str, notes: list[str]) -> Iterator[Input]:
    path = Path(pattern)
    top = Path(path.anchor)
    try:
        names = sorted(map(str, top.glob(str(path.relative_to(top)))))
    except ValueError:
        yield Input(pattern, problem="not a pattern; ** stands alone between slashes, as in photos/**/*.jpg")
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
    readable = os.path.isfile(name) or not os.path.exists(name)  # of a missing one, reading it says why
    return Input(name, posixpath.basename(name), "" if readable else "not a regular file")
