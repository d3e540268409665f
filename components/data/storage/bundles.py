"""Sequences whose moments are files of their own: `tile_11.frames` stands for the files in the folder `tile_11`.

Its content is that of the files in the order of their names, where 2 comes before 10, one behind the other, with a list
of their names, sizes and times before them. A table with a row for each moment names the files itself.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import json
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from components.base import proof
from components.data.storage.entry import File

ENDING = ".frames"
_MAGIC = b"IGF1"
_ARRAYS = (".npy", ".npz", ".tif", ".tiff", ".png")
_SIZE = 8  # bytes of the number before the list

Moments = Callable[[str, str, Sequence[str]], bool]  # root, folder and its array files -> are these one sequence?
_MOMENTS: contextvars.ContextVar[Moments | None] = contextvars.ContextVar("moments", default=None)


class Part(NamedTuple):
    """The file of a moment.

    Attributes:
        name: of the file.
        content: of the file.
        time: of the moment in days, where something other than its name says it.
    """

    name: str
    content: bytes
    time: float | None = None


@contextlib.contextmanager
def bundling(moments: Moments) -> Iterator[None]:
    """Within it, a folder whose array files are the moments of a sequence is listed as one file.

    Args:
        moments: decides whether they are, by the root, the folder, and the paths of its array files, sorted.
    """
    token = _MOMENTS.set(moments)
    try:
        yield
    finally:
        _MOMENTS.reset(token)


def gathered(root: str, files: Iterable[File]) -> Iterable[File]:
    """The files of a listing, with each folder of moments as one; unchanged outside of `bundling`."""
    moments = _MOMENTS.get()
    if moments is None:
        return files
    found: dict[str, list[File]] = defaultdict(list)
    others: list[File] = []
    for file in files:
        (found[posixpath.dirname(file.path)] if is_moment(file.path) else others).append(file)
    for folder, inside in found.items():
        parts = sorted(inside, key=lambda file: file.path)
        if moments(root, folder, [file.path for file in parts]):
            others.append(joined(folder, [(file, None) for file in parts]))
        else:
            others += parts
    return others


def ordered(names: Iterable[str]) -> list[str]:
    """Names in the order in which people count.

    >>> ordered(["frame_10.npy", "frame_9.npy"])
    ['frame_9.npy', 'frame_10.npy']
    """

    def key(name: str) -> tuple[list[tuple[int, str]], str]:
        parts = re.split(r"(\d+)", name)
        return [(int(part) if part.isdecimal() else -1, part) for part in parts], name

    return sorted(names, key=key)


def is_moment(path: str) -> bool:
    """Whether a file may be a moment, by its ending."""
    return posixpath.splitext(path)[1].lower() in _ARRAYS


def find(path: str) -> str | None:
    """The folder that a path of a sequence stands for; None if it is that of a file."""
    return path.removesuffix(ENDING) if path.endswith(ENDING) else None


def packed(parts: Sequence[Part]) -> bytes:
    """One content for the files of some moments; see `unpacked`."""
    head = json.dumps([[name, len(content), time] for name, content, time in parts]).encode()
    return b"".join([_MAGIC, len(head).to_bytes(_SIZE, "little"), head, *(part.content for part in parts)])


def unpacked(name: str, data: bytes) -> list[Part]:
    """The files that were `packed`, or this one if `name` is no sequence of files: files are untrusted."""
    if find(name) is None or not data.startswith(_MAGIC):
        return [Part(name, data)]
    start = len(_MAGIC) + _SIZE
    end = start + int.from_bytes(data[len(_MAGIC) : start], "little")
    found = []
    for own, size, time in json.loads(data[start:end]):
        found.append(Part(own, data[end : end + size], time))
        end += size
    return found


def joined(name: str, parts: Sequence[tuple[File, float | None]]) -> File:
    """The files of some moments and their times as one file, `name` with the ending of sequences."""
    files = [file for file, _ in parts]
    names = hashlib.sha256(repr([(file.path, file.size, time) for file, time in parts]).encode()).hexdigest()
    problem = next((f"{posixpath.basename(file.path)}: {file.problem}" for file in files if file.problem), "")
    version = f"{names} {proof.joined(file.version for file in files)}"
    return File(name + ENDING, sum(file.size for file in files), version, problem)
