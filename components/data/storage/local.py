"""Folders on this machine."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager

from components.base import proof
from components.base.errors import ConfigError
from components.data.storage import aside
from components.data.storage.entry import File, is_litter


def files(root: str, key: str) -> Iterator[File]:
    """Yields every file below a folder; see `storage.files`."""
    if not os.path.isdir(root):
        what = "does not exist"
        if os.path.exists(root):
            what = "is a file, not a folder or an archive; archives end in .zip, .tar, .tar.gz or .tgz"
        raise ConfigError(f"{key}: {root} {what}")
    left = aside.current()
    places, real_root = left.below(root), os.path.realpath(root)
    trusted = proof.has_change_times(root)
    folders = [""]  # prefixes still to list; no recursion, since folders may be nested more deeply than Python's calls
    while folders:
        below = folders.pop()
        try:
            scan = _scan(os.path.join(root, below), key)
        except ConfigError:
            if os.path.lexists(os.path.join(root, below)):
                raise
            # It was removed since the folder above was listed.
            yield File(below.rstrip("/"), 0, "", f"cannot be read: {os.strerror(errno.ENOENT)}")
            continue
        with scan as entries:
            for entry in entries:
                path = below + entry.name
                if path in places:
                    left.met.add(_join(root, path))
                elif is_litter(entry.name):
                    left.hidden.add(_join(root, path))
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(path + "/")
                else:
                    yield _file(entry, path, real_root, key, trusted)


def folders(root: str) -> list[str]:
    """Names of the folders directly below `root`; see `storage.folders`."""
    places = aside.current().below(root)
    with _scan(root) as entries:
        # Unlike entry.is_dir(), this is False, not an error, for a link to itself.
        return [e.name for e in entries if os.path.isdir(e.path) and not is_litter(e.name) and e.name not in places]


def read(root: str, path: str) -> bytes:
    """The content of a file; see `storage.read`."""
    with open(os.path.join(root, path), "rb") as f:
        return f.read()


def _file(entry: os.DirEntry[str], path: str, real_root: str, key: str, trusted: bool) -> File:
    """Describes anything but a folder."""
    if entry.is_symlink():
        target = os.path.realpath(entry.path)
        if not target.startswith(real_root.rstrip(os.sep) + os.sep):
            return File(path, 0, target, f"a link that leads out of {key}; copy the file instead")
        if os.path.isdir(target):  # a link to a parent folder would never end
            return File(path, 0, target, "a link to a folder; copy the folder instead")
    try:
        status = entry.stat()
    except OSError as error:
        return File(path, 0, "", f"cannot be read: {error.strerror}")
    problem = "" if stat.S_ISREG(status.st_mode) else "not a regular file"
    return File(path, status.st_size, proof.of_status(status, trusted=trusted), problem)


def _scan(folder: str, key: str = "data.root") -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
    try:
        return os.scandir(folder)
    except OSError as error:
        way = "; allow it (chmod -R u+rX), or move the folder away" if isinstance(error, PermissionError) else ""
        raise ConfigError(f"{key}: {os.path.normpath(folder)} cannot be read: {error.strerror}{way}") from None


def _join(root: str, path: str) -> str:
    return f"{root.rstrip('/')}/{path}"
