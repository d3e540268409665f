"""A local folder as push destination: a version appears and disappears with a single rename."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping

from components.base.artifact_files import PUSHED_MANIFEST
from components.base.files import sync
from components.push.destination.base import Content, Destination, Seal, digests, numbers

_STAGING, _REMOVING = ".staging-", ".removing-"  # TensorFlow Serving ignores names that are not numbers


class Folder(Destination):
    """Versions in a local folder; see `Destination`."""

    def __init__(self, root: str) -> None:
        self.root = root

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        os.makedirs(self.root, exist_ok=True)
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # the kernel releases the lock when the process dies
            yield
        finally:
            os.close(descriptor)

    def versions(self) -> list[int]:
        return numbers(os.listdir(self.root)) if os.path.isdir(self.root) else []

    def read(self, version: str, name: str) -> bytes | None:
        try:
            with open(self._path(version, name), "rb") as f:
                return f.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def digests(self, version: str) -> dict[str, str]:
        return digests(self._path(version))

    def put(self, version: str, files: Mapping[str, Content], seal: Seal) -> None:
        staging = self._path(_STAGING + version)
        try:
            os.makedirs(staging)
            for name, content in files.items():
                _write(os.path.join(staging, name), content)
            _write(os.path.join(staging, PUSHED_MANIFEST), seal(digests(staging)))
            _sync(staging)
            os.rename(staging, self._path(version))
            sync(self.root)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def remove(self, version: str) -> None:
        hidden = self._path(_REMOVING + version)
        os.rename(self._path(version), hidden)
        shutil.rmtree(hidden)

    def clean(self) -> list[str]:
        left = [self._path(n) for n in os.listdir(self.root) if n.startswith((_STAGING, _REMOVING))]
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
        return [path for path in left if os.path.lexists(path)]

    def local(self, version: str) -> contextlib.AbstractContextManager[str]:
        return contextlib.nullcontext(self._path(version))

    def _path(self, *names: str) -> str:
        return os.path.join(self.root, *names)


def _write(path: str, content: Content) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
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
