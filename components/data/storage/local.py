"""Folders on this machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

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
        folder = os.path.join(root, below)
        try:
            with os.scandir(folder) as entries:
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
        except FileNotFoundError as error:
            if not below or os.path.lexists(folder):
                raise _unlisted(folder, key, error) from None
            # It was removed since the folder above was listed.
            yield File(below.rstrip("/"), 0, "", f"cannot be read: {error.strerror}")
        except OSError as error:
            raise _unlisted(folder, key, error) from None


def folders(root: str) -> list[str]:
    """Names of the folders directly below `root`; see `storage.folders`."""
    places = aside.current().below(root)
    try:
        with os.scandir(root) as entries:
            return [e.name for e in entries if _is_folder(e) and not is_litter(e.name) and e.name not in places]
    except OSError as error:
        raise _unlisted(root, "data.root", error) from None


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


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one; OSError where the disk does not say, but not for a broken link."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _unlisted(folder: str, key: str, error: OSError) -> ConfigError:
    way = "; allow it (chmod -R u+rX), or move the folder away" if isinstance(error, PermissionError) else ""
    return ConfigError(f"{key}: {os.path.normpath(folder)} cannot be read: {error.strerror}{way}")


def _join(root: str, path: str) -> str:
    return f"{root.rstrip('/')}/{path}"
