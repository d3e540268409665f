"""Full disks: what a run says when one fills up, and a reserve so that its record can still be written."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator

from components.base.errors import ImagegateError
from components.base.text import byte_size

# What writers report, as the number of an OSError or in the text of a library's own error.
_REASONS = {
    errno.ENOSPC: ("no space left on device", r"no space left|database or disk is full"),
    errno.EDQUOT: ("the disk quota is used up", r"quota exceeded"),
    errno.EFBIG: ("a file is larger than the system allows", r"file too large"),
    errno.EROFS: ("the file system is read-only", r"read-only file system|readonly database"),
    errno.EIO: ("the device cannot be read or written", r"input/output error|disk i/o error"),
}
_PATH = re.compile(r"(?<![\w/])/[^\s'\"\];,:]+")
_RESERVE = ".reserve"  # in the output, while a run is going on
_RESERVED = 256 * 1024  # bytes: the summary, the schema and the end of a transaction of the metadata
# Below this a disk counts as full before a stage. Some libraries crash or wait for ever when they run out of room.
_LEAST = 1_000_000
_FULL = 65_536  # likewise when a stage has failed for a reason that it does not tell


class NoRoom(ImagegateError):
    """A disk is full, or cannot be written for another reason that is not the configuration's."""


def message(reason: str, path: str, needed: int) -> str:
    """The sentence of a disk that cannot be written.

    Args:
        reason: what the system says.
        path: what was to be written, or its folder.
        needed: bytes that a run takes below that folder; 0 if that is not known.
    """
    if not os.path.isabs(path):
        return f"{reason}: {path}; make room and run again"
    there = nearest(path)
    if reason != _REASONS[errno.ENOSPC][0]:
        return f"{reason}: {path}; see to that disk and run again"
    space, wanted = os.statvfs(there), f"; a run needs about {byte_size(needed)} there" if needed else ""
    inodes = " and no room for another file name" if space.f_files and not space.f_favail else ""
    free = byte_size(shutil.disk_usage(there).free)
    return f"{reason}: {path} ({free} free{inodes}){wanted}; make room and run again"


def nearest(path: str) -> str:
    """The absolute path itself, or the nearest of its parents that exists."""
    path = os.path.abspath(path)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def unwritable(path: str) -> str:
    """Why the system lets this process not write to a file or folder: it is the disk, or the permissions."""
    return _REASONS[errno.EROFS][0] if os.statvfs(path).f_flag & os.ST_RDONLY else "permission denied"


def explain(error: BaseException, needs: Iterable[tuple[str, int]], *, stage: str = "") -> NoRoom | None:
    """The sentence for an error that a full or broken disk caused; None for any other.

    Args:
        error: as it came from a stage. Libraries wrap what the system said, or only quote it.
        needs: the folders that a run writes to, with the bytes that it needs there.
        stage: that failed, if one did.
    """
    if isinstance(error, NoRoom):
        return NoRoom(f"{stage}: {error}") if stage else error
    needs, chain = list(needs), list(_chain(error))
    number = next(filter(None, map(_number, chain)), None)
    paths = [path for one in chain for path in _paths(one) if os.path.isabs(path)]
    if number in (None, errno.ENOSPC):
        full = [folder for folder in (*(f for f, _ in needs), tempfile.gettempdir()) if _is_full(folder)]
        if number is None and not full:
            return None
        number, paths = errno.ENOSPC, [p for p in paths if not full or _is_full(p)] + full
    path = next(iter(paths), needs[0][0] if needs else "the output of this command")
    reason = message(_REASONS[number][0], path, _needed(path, needs))
    return NoRoom(f"{stage}: {reason}" if stage else reason)


def check(needs: Iterable[tuple[str, int]]) -> None:
    """Raises NoRoom before a stage if a disk that it writes to is all but full."""
    for folder, needed in (*needs, (tempfile.gettempdir(), 0)):
        there = nearest(folder)
        space = os.statvfs(there)
        if shutil.disk_usage(there).free < _LEAST or (space.f_files and not space.f_favail):
            raise NoRoom(message(_REASONS[errno.ENOSPC][0], folder, needed))


@contextlib.contextmanager
def reserved(output: str) -> Iterator[None]:
    """Holds a little room in the output while a run is going on; what is written afterwards may use it.

    Raises:
        NoRoom: there is not even that.
    """
    path = os.path.join(output, _RESERVE)
    try:
        with open(path, "wb") as f:
            f.write(b"\0" * _RESERVED)
            f.flush()
            os.fsync(f.fileno())
    except OSError as error:
        _give_up(path)
        raise explain(error, [(output, 0)]) or error from None
    try:
        yield
    finally:
        _give_up(path)


def _give_up(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what caused it or was being handled."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno in _REASONS:
        return error.errno
    if isinstance(error, ImagegateError):
        return None  # quotes names from the data
    text = str(error)[-100_000:].lower()
    return next((number for number, (_, pattern) in _REASONS.items() if re.search(pattern, text)), None)


def _paths(error: BaseException) -> list[str]:
    if isinstance(error, OSError) and isinstance(error.filename, str):
        return [error.filename]
    quoted = [] if isinstance(error, ImagegateError) else _PATH.findall(str(error)[:2_000])
    return [path for path in quoted if nearest(path) != os.sep]  # Beam's names of steps look like paths, too


def _is_full(path: str) -> bool:
    try:
        there = nearest(path)
        space = os.statvfs(there)
    except OSError:
        return False
    return shutil.disk_usage(there).free < _FULL or bool(space.f_files and not space.f_favail)


def _needed(path: str, needs: Iterable[tuple[str, int]]) -> int:
    """What a run needs on the disk that holds a path."""
    try:
        device = os.stat(nearest(path)).st_dev
        return max((needed for folder, needed in needs if os.stat(nearest(folder)).st_dev == device), default=0)
    except OSError:
        return 0
