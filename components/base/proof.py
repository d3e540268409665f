"""What proves a file unchanged without reading it.

On this machine, the time of its last change (ctime), which no program can set back, and its inode do, with size and
modification time. They do not where a file system invents them, nor for a file that changed a moment ago: it may change
again within the same tick of the clock. In a store, a checksum or a generation does. Where nothing does, the version is
marked, and only the content tells.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

_UNPROVEN = "~"
_TICK = 2_000_000_000  # ns; FAT keeps times in steps of 2 s, most others in steps of a few ms
# File systems whose change time is that of the content, or whose inodes are numbered anew: FAT, most of FUSE, 9P.
_WITHOUT_CHANGE_TIME = re.compile(r"msdos|vfat|exfat|hfs|9p|davfs|ncpfs|fuse(\..*)?")
_MOUNTS = "/proc/self/mountinfo"
_CHECKSUMS = ("etag", "ETag", "generation", "md5", "md5Hash", "ContentMD5")
_TIMES = ("mtime", "created", "LastModified", "last_modified")


def of_status(status: os.stat_result, *, trusted: bool, now: int | None = None) -> str:
    """The version of a file on this machine.

    Args:
        status: of the file.
        trusted: whether its file system has change times; see `has_change_times`.
        now: ns since 1970; None: the time of the call.
    """
    facts = f"{status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
    settled = max(status.st_ctime_ns, status.st_mtime_ns) + _TICK < (time.time_ns() if now is None else now)
    return facts if trusted and settled else _UNPROVEN + facts


def of_store(info: Mapping[str, Any]) -> str:
    """The version of a file in a store, from what its listing says; a weak ETag (RFC 9110) is no proof."""
    found = next((str(info[key]) for key in _CHECKSUMS if info.get(key)), "")
    if found and not found.startswith("W/"):
        return found
    return _UNPROVEN + (found or str(next((info[key] for key in _TIMES if key in info), "")))


def proves(version: str) -> bool:
    """Whether equal versions mean equal content.

    >>> proves("1700000000000000000 1700000000000000000 42"), proves("~1700000000000000000 1700000000000000000 42")
    (True, False)
    """
    return bool(version) and _UNPROVEN not in version


def facts(version: str) -> str:
    """A version without the mark, to compare with another."""
    return version.replace(_UNPROVEN, "")


@functools.lru_cache(1024)
def has_change_times(folder: str) -> bool:
    """Whether the change times of all file systems at and below a folder mean something; True where nobody tells."""
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as f:
            mounts = [(_unescaped(line.split()[4]), line.partition(" - ")[2].split()[0]) for line in f]
    except (OSError, IndexError):
        return True
    place = os.path.realpath(folder)
    around = [mount for mount in mounts if _holds(mount[0], place)]
    inside = [kind for point, kind in mounts if _holds(place, point)]
    kinds = [*inside, *([max(around, key=lambda mount: len(mount[0]))[1]] if around else [])]
    return not any(_WITHOUT_CHANGE_TIME.fullmatch(kind) for kind in kinds)


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _unescaped(point: str) -> str:
    """The kernel writes blanks and the like in octal."""
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), point)


def joined(versions: Iterable[str]) -> str:
    """The version of several files together; it proves nothing if one of theirs does not."""
    told = list(versions)
    digest = hashlib.sha256(repr([facts(version) for version in told]).encode()).hexdigest()
    return digest if all(map(proves, told)) else digest + _UNPROVEN
