"""Folders whose files are the moments of one sequence: `tile_11.frames` stands for the files in `tile_11`.

Its content is that of the files in the order of their names, one behind the other, with a list of the names and sizes
before them.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import json
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from components.base import proof
from components.data.storage.entry import File

ENDING = ".frames"
_MAGIC = b"IGF1"
_ARRAYS = (".npy", ".npz", ".tif", ".tiff", ".png")
_SIZE = 8  # bytes of the number before the list

Dated = Callable[[str], bool]  # whether a name holds a date
_DATED: contextvars.ContextVar[Dated | None] = contextvars.ContextVar("dated", default=None)


@contextlib.contextmanager
def bundling(dated: Dated) -> Iterator[None]:
    """Within it, a folder all of whose array files are dated is listed as one file.

    Args:
        dated: decides whether a name holds a date.
    """
    token = _DATED.set(dated)
    try:
        yield
    finally:
        _DATED.reset(token)


def gathered(files: Iterable[File]) -> Iterable[File]:
    """The files of a listing, with each folder of moments as one; unchanged outside of `bundling`."""
    dated = _DATED.get()
    if dated is None:
        return files
    found: dict[str, list[File]] = defaultdict(list)
    others: list[File] = []
    for file in files:
        (found[posixpath.dirname(file.path)] if is_moment(file.path) else others).append(file)
    for folder, inside in found.items():
        if all(dated(file.path) for file in inside):
            others.append(_joined(folder, sorted(inside, key=lambda file: file.path)))
        else:
            others += inside
    return others


def is_moment(path: str) -> bool:
    """Whether a file may be a moment, by its ending."""
    return posixpath.splitext(path)[1].lower() in _ARRAYS


def find(path: str) -> str | None:
    """The folder that a path of a sequence stands for; None if it is that of a file."""
    return path.removesuffix(ENDING) if path.endswith(ENDING) else None


def packed(files: Sequence[tuple[str, bytes]]) -> bytes:
    """One content for some named ones; see `unpacked`."""
    head = json.dumps([[name, len(data)] for name, data in files]).encode()
    return b"".join([_MAGIC, len(head).to_bytes(_SIZE, "little"), head, *(data for _, data in files)])


def unpacked(name: str, data: bytes) -> list[tuple[str, bytes]]:
    """The named contents that were `packed`, or this one if `name` is no folder of moments: files are untrusted."""
    if find(name) is None or not data.startswith(_MAGIC):
        return [(name, data)]
    start = len(_MAGIC) + _SIZE
    end = start + int.from_bytes(data[len(_MAGIC) : start], "little")
    found = []
    for own, size in json.loads(data[start:end]):
        found.append((own, data[end : end + size]))
        end += size
    return found


def _joined(folder: str, inside: Sequence[File]) -> File:
    names = hashlib.sha256(repr([(file.path, file.size) for file in inside]).encode()).hexdigest()
    problem = next((f"{posixpath.basename(file.path)}: {file.problem}" for file in inside if file.problem), "")
    version = f"{names} {proof.joined(file.version for file in inside)}"
    return File(folder + ENDING, sum(file.size for file in inside), version, problem)
