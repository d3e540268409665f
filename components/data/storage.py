"""Access to a folder of input files, local or behind an fsspec URL. Nothing is written, nothing outside it is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from components.base.errors import ConfigError

# Files of file managers, which are not part of a data set.
_LITTER = {"thumbs.db", "desktop.ini"}


@dataclass(frozen=True, slots=True)
class File:
    """One file below a root.

    Attributes:
        path: relative to the root, separated by "/".
        size: bytes.
        version: text that changes with the content: modification time in ns, or the store's etag or generation.
        problem: why the file must not be read, or "".
    """

    path: str
    size: int
    version: str
    problem: str = ""


def is_url(root: str) -> bool:
    """Whether `root` is an fsspec URL rather than a local path.

    >>> is_url("s3://bucket/images"), is_url("/data/images")
    (True, False)
    """
    return "://" in root


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is hidden or belongs to a file manager.

    >>> is_litter(".DS_Store"), is_litter("Thumbs.db"), is_litter("cat.png")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in _LITTER


def files(root: str, key: str = "data.root") -> Iterator[File]:
    """Yields every file below `root` in any order, without hidden files and those of file managers.

    A link that leads out of `root`, and anything that is not a regular file, has a `problem`.

    Args:
        root: path or URL of the folder.
        key: the setting that `root` comes from, for messages.

    Raises:
        ConfigError: `root` does not exist, is not a folder or cannot be reached.
    """
    if is_url(root):
        yield from _remote(root, key)
        return
    if not os.path.isdir(root):
        what = "is a file, not a folder" if os.path.exists(root) else "does not exist"
        raise ConfigError(f"{key}: {root} {what}")
    yield from _local(root, "", os.path.realpath(root), key)


def folders(root: str) -> list[str]:
    """Names of the folders directly below `root`, sorted. Empty folders are included where the store knows them."""
    if is_url(root):
        fs, path = _filesystem(root)
        names = [e["name"].rstrip("/").rpartition("/")[2] for e in fs.ls(path, detail=True) if e["type"] == "directory"]
    else:
        with _scan(root) as entries:
            # Unlike entry.is_dir(), this is False, not an error, for a link to itself.
            names = [e.name for e in entries if os.path.isdir(e.path)]
    return sorted(n for n in names if not is_litter(n))


def read(root: str, path: str) -> bytes:
    """The content of a file that `files(root)` yielded.

    Raises:
        OSError: it cannot be read.
    """
    if is_url(root):
        fs, base = _filesystem(root)
        try:
            data: bytes = fs.cat_file(f"{base}/{path}")
        except OSError:
            raise
        except Exception as error:  # stores raise exceptions of their own
            raise OSError(f"{type(error).__name__}: {error}") from error
        return data
    with open(os.path.join(root, path), "rb") as f:
        return f.read()


def _local(root: str, below: str, real_root: str, key: str) -> Iterator[File]:
    with _scan(os.path.join(root, below), key) as entries:
        for entry in entries:
            path = below + entry.name
            if is_litter(entry.name):
                continue
            if entry.is_symlink():
                target = os.path.realpath(entry.path)
                if not target.startswith(real_root + os.sep):
                    yield File(path, 0, target, f"a link that leads out of {key}; copy the file instead")
                    continue
                if os.path.isdir(target):  # a link to a parent folder would never end
                    yield File(path, 0, target, "a link to a folder; copy the folder instead")
                    continue
            try:
                status = entry.stat()
            except OSError as error:
                yield File(path, 0, "", f"cannot be read: {error.strerror}")
                continue
            if stat.S_ISDIR(status.st_mode):
                yield from _local(root, path + "/", real_root, key)
                continue
            problem = "" if stat.S_ISREG(status.st_mode) else "not a regular file"
            yield File(path, status.st_size, str(status.st_mtime_ns), problem)


def _scan(folder: str, key: str = "data.root") -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
    try:
        return os.scandir(folder)
    except OSError as error:
        raise ConfigError(f"{key}: {os.path.normpath(folder)} cannot be read: {error.strerror}") from None


def _remote(root: str, key: str) -> Iterator[File]:
    fs, base = _filesystem(root, key)
    try:
        details = fs.find(base, detail=True)
    except Exception as error:
        raise ConfigError(f"{key}: {root} cannot be listed: {error}") from error
    if not details and not fs.exists(base):
        raise ConfigError(f"{key}: {root} does not exist")
    prefix = base.rstrip("/") + "/"
    for name, info in details.items():
        path = name[len(prefix) :]
        if not any(is_litter(part) for part in path.split("/")):
            version = next(
                (info[k] for k in ("etag", "ETag", "generation", "md5", "mtime", "created") if k in info), ""
            )
            # Object stores hold only files. A file:// URL may hold links, which lead anywhere, and pipes, which never
            # end.
            problem = "" if info.get("type", "file") == "file" else "not a regular file"
            yield File(path, int(info.get("size") or 0), str(version), problem)


def _filesystem(root: str, key: str = "data.root"):  # type: ignore[no-untyped-def]
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(root)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{key}: {root} cannot be opened: {error}") from error
    return fs, path.rstrip("/")
