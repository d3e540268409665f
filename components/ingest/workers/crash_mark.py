"""A mark in the output while images are read, by which the next command knows that an earlier one died over them.

Who reads holds a lock on its mark, which ends with its process: a mark that can be locked is that of a dead one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from components.base import progress

_NAME = "reading-images"
_NEW = ".new."  # before it is locked
_CRASHED = b"an image crashed its decoder"


@dataclass
class Reading:
    """What is known of the images before they are read, and what became of them.

    Attributes:
        careful: whether each should be read in another process.
        crashed: set in the block where an image crashed its decoder, so that the next command is careful, too.
    """

    careful: bool
    crashed: bool = False


@contextlib.contextmanager
def reading(output: str, images: str = "labelled") -> Iterator[Reading]:
    """Marks the output while the block runs.

    A decoder that crashes ends its process at once, and the mark stays, as it does after a kill. Then each image should
    be read in another process, so that the next crash takes that image and not the command; after a kill for any other
    reason that costs seconds. Marks of the dead go when a block ends without an error; where an image crashed, that of
    the block stays.

    Args:
        output: folder of all runs. Where it is missing, cannot be written, or is "", nothing is marked.
        images: which are read. Any number of commands may read them at the same time.
    """
    dead = _dead(output, images)
    if dead:
        known = any(_content(path) == _CRASHED for path in dead)
        reason = (
            "an image crashed its decoder in an earlier run"
            if known
            else "an earlier command ended while it read the images; in case that was a decoder that crashed"
        )
        progress.announce(
            f"{reason}{':' if known else ','} each image is now read in another process, and one that crashes it goes "
            "to quarantine"
        )
    found = Reading(bool(dead))
    mark, path = _marked(output, images)
    try:
        yield found
        for other in dead:
            _remove(other)
    finally:
        if mark is not None:
            if found.crashed:
                os.write(mark, _CRASHED)
            else:
                _remove(path)
            os.close(mark)


def remains(output: str) -> list[str]:
    """Names of the marks of commands that died. One that says that an image crashes stays, for the next run."""
    paths = (path for images in ("labelled", "unlabelled") for path in _dead(output, images))
    return sorted(os.path.basename(path) for path in paths if _content(path) != _CRASHED)


def _marked(output: str, images: str) -> tuple[int | None, str]:
    """A new mark that is locked before others see it: its open file, None if there is none, and its path."""
    if not os.path.isdir(output):
        return None, ""
    path = ""
    try:
        mark, path = tempfile.mkstemp(prefix=f"{_NEW}{_NAME}.{images}.", dir=output)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shown = os.path.join(output, os.path.basename(path).removeprefix(_NEW))
        os.rename(path, shown)
    except OSError:
        _remove(path)
        return None, ""
    return mark, shown


def _dead(output: str, images: str) -> list[str]:
    """Paths of the marks whose processes ended."""
    try:
        names = [name for name in os.listdir(output) if name.startswith(f"{_NAME}.{images}.")] if output else []
    except OSError:
        return []
    return [path for name in sorted(names) if not _is_held(path := os.path.join(output, name))]


def _is_held(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError, PermissionError):  # its command has just ended; it is of another user
        return True
    except OSError:  # a file system without locks
        return False
    return False


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(len(_CRASHED) + 1)
    except OSError:
        return b""


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
