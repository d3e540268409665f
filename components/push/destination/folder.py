"""A local folder as push destination: a version appears and disappears with a single rename."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping

from components.base.artifact_files import PUSHED_MANIFEST
from components.base.files import sync, write_atomically
from components.data import storage
from components.push.destination.base import (
    LARGEST_FILES,
    Content,
    Destination,
    Fetch,
    Seal,
    check_size,
    digests,
    listed,
    number,
    open_regular,
    served_first,
)

WAIT_S = 900.0  # others wait for the lock for so long before they give up

_STAGING, _REMOVING = ".staging-", ".removing-"  # TensorFlow Serving ignores names that are not numbers


class Folder(Destination):
    """Versions in a local folder, which may be named by its `file://` or `local://` URL; see `Destination`."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._folder = local_path(root)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        os.makedirs(self._folder, exist_ok=True)
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            _lock(descriptor, self.root)
            yield
        finally:
            os.close(descriptor)

    def versions(self) -> list[str]:
        return served_first(os.listdir(self._folder)) if os.path.isdir(self._folder) else []

    def read(self, version: str, name: str) -> bytes | None:
        if not self.has(version, name):
            return None
        path = self._path(version, name)
        try:
            with open_regular(path) as f:
                check_size(path, name, os.fstat(f.fileno()).st_size)
                return f.read(LARGEST_FILES.get(name, -1))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def has(self, version: str, name: str) -> bool:
        try:
            return not stat.S_ISDIR(os.lstat(self._path(version, name)).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def write(self, name: str, content: bytes) -> None:
        path = self._path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_atomically(path, content)

    def beside(self, folder: str) -> list[str]:
        path = self._path(folder)
        return sorted(n for n in os.listdir(path) if not n.startswith(".")) if os.path.isdir(path) else []

    def digests(self, version: str) -> dict[str, str]:
        return digests(self._path(version))

    def names(self, version: str) -> list[str]:
        return listed(self._path(version))

    def get(self, version: str, name: str, path: str) -> None:
        source = self._path(version, name)
        if os.path.realpath(source) != os.path.join(os.path.realpath(self._path(version)), name):
            raise OSError(f"{source} is or lies behind a link, which is not followed")
        shutil.copyfile(source, path)

    def put(self, version: str, files: Mapping[str, Content | Fetch], seal: Seal) -> None:
        staging = self._path(_STAGING + version)
        try:
            os.makedirs(staging)
            for name, content in files.items():
                _write(os.path.join(staging, name), content)
            _write(os.path.join(staging, PUSHED_MANIFEST), seal(digests(staging)))
            _sync(staging)
            os.rename(staging, self._path(version))
            sync(self._folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def remove(self, version: str) -> None:
        hidden = self._path(_REMOVING + version)
        os.rename(self._path(version), hidden)
        shutil.rmtree(hidden)

    def clean(self) -> list[str]:
        left = [self._path(name) for name in os.listdir(self._folder) if _is_remains(name)]
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
        return [path for path in left if os.path.lexists(path)]

    def local(self, version: str) -> contextlib.AbstractContextManager[str]:
        return contextlib.nullcontext(self._path(version))

    def _path(self, *names: str) -> str:
        return os.path.join(self._folder, *names)


def _is_remains(name: str) -> bool:
    """Whether a folder of this name was made by a push or removal, which was killed if nobody holds the lock.

    >>> [_is_remains(name) for name in (".staging-17", ".removing-17", ".staging-area", "17")]
    [True, True, False, False]
    """
    return any(name.startswith(p) and number(name.removeprefix(p)) is not None for p in (_STAGING, _REMOVING))


def _lock(descriptor: int, root: str) -> None:
    """Waits for the lock of a folder, which the kernel releases when a process dies.

    Raises:
        OSError: another process held it all the time.
    """
    began, pause = time.monotonic(), 0.005
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() - began > WAIT_S:
                raise OSError(
                    f"{_holder(descriptor)} has held the lock of {root} for {WAIT_S:g} seconds; run again when it has "
                    "ended"
                ) from None
        time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  not of cryptography
        pause = min(0.2, pause * 1.2)


def _holder(descriptor: int) -> str:
    """Who holds the lock, as Linux tells it: "5: FLOCK  ADVISORY  WRITE 4711 00:2a:1234 0 EOF"."""
    inode = os.fstat(descriptor).st_ino
    with contextlib.suppress(OSError), open("/proc/locks", encoding="ascii") as f:
        for line in f:
            parts = line.split()
            if parts[1] == "FLOCK" and parts[5].rpartition(":")[2] == str(inode):
                return f"process {parts[4]}"
    return "another process"


def is_local(root: str) -> bool:
    """Whether `root` is a path, or the URL of a folder of this machine."""
    return not storage.is_url(local_path(root))


def local_path(root: str) -> str:
    """The path behind a `file://` or `local://` URL, as fsspec reads it; anything else as it is.

    >>> local_path("file:///srv/models"), local_path("models"), local_path("s3://bucket/models")
    ('/srv/models', 'models', 's3://bucket/models')
    """
    path = re.sub("^(file|local)://", "", root)
    return root if path == root else os.path.abspath(os.path.expanduser(path))


def _write(path: str, content: Content | Fetch) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if callable(content):
        content(path)
        return
    if isinstance(content, str):
        shutil.copyfile(content, path)
        return
    with open(path, "wb") as f:
        f.write(content)


def _sync(folder: str) -> None:
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(os.path.join(parent, name))
        sync(parent)
