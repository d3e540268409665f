"""An object store as push destination. A version is complete once its manifest exists, which is written last."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from components.base.artifact_files import PUSHED_MANIFEST, SAVED_MODEL
from components.data.location import check_url
from components.data.storage.objects import Objects
from components.push.destination.base import (
    LARGEST_FILES,
    MARKER,
    UNLISTED,
    Content,
    Destination,
    Seal,
    check_size,
    parsed,
    served_first,
)
from components.push.destination.lease import Lease, Lost


class Store(Destination):
    """Versions in an object store; see `Destination`.

    The lock is a lease, see `lease`. Its holder may lose it while it is stopped; therefore it asks before it makes a
    version complete, and the one that takes over closes all versions that are not complete.
    """

    def __init__(self, root: str) -> None:
        check_url(root)
        self._objects = Objects(root, "push.destination")
        self.root, self._fs = self._objects.url, self._objects.calls
        self._lease = Lease(self._fs, self._path(), self.root, self.root.partition("://")[0])

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with self._lease.held(self._close):
            yield

    def versions(self) -> list[str]:
        self._fs.invalidate_cache()
        try:
            entries = self._fs.ls(self._path(), detail=True)
        except FileNotFoundError:
            return []
        return served_first(entry["name"].rstrip("/").rpartition("/")[2] for entry in entries)

    def read(self, version: str, name: str) -> bytes | None:
        if name in LARGEST_FILES:
            check_size(f"{self.root}/{version}/{name}", name, self._size(version, name) or 0)
        return self._objects.read(f"{version}/{name}")

    def has(self, version: str, name: str) -> bool:
        return self._size(version, name) is not None

    def write(self, name: str, content: bytes) -> None:
        self._objects.put(name, content)

    def beside(self, folder: str) -> list[str]:
        return list(self._objects.names(folder))

    def digests(self, version: str) -> dict[str, str]:
        return {name: self._objects.digest(f"{version}/{name}") for name in self.names(version)}

    def names(self, version: str) -> list[str]:
        return sorted(set(self._objects.names(version)) - {*UNLISTED})

    def get(self, version: str, name: str, path: str) -> None:
        self._objects.get(f"{version}/{name}", path)

    def put(self, version: str, files: Mapping[str, Content], seal: Seal) -> None:
        arrived, mine = {}, self._lease.holder.owner.encode()
        try:
            self._put(version, MARKER, mine)
            # The graph comes last, because no server loads a model without it: once it exists, all other files do.
            for name in sorted(files, key=lambda name: (name == SAVED_MODEL, name)):
                self._lease.check_if_late()
                self._put(version, name, files[name])
                if name not in UNLISTED:
                    arrived[name] = self._objects.digest(f"{version}/{name}")
            sealed = seal(dict(sorted(arrived.items())))
            self._complete(version, sealed, arrived)
        except BaseException:
            with contextlib.suppress(OSError):
                self._give_up(version, mine)
            raise
        with contextlib.suppress(OSError):  # otherwise the next push removes it
            self._fs.remove(self._path(version, MARKER))

    def _complete(self, version: str, sealed: bytes, arrived: Mapping[str, str]) -> None:
        """Writes the manifest, unless another writer has taken over the lock and closed the version."""
        self._lease.check()
        if not self._fs.create(self._path(version, PUSHED_MANIFEST), sealed):
            self._lease.check()
            raise Lost(f"another writer has closed {self.root}/{version}; nothing was pushed, run again")
        try:
            self._lease.check()
        except Lost:  # in between: either the version was complete before, or its files were removed
            if self.digests(version) != arrived:
                self.remove(version)
                raise
        except OSError:
            return

    def _give_up(self, version: str, mine: bytes) -> None:
        if self.read(version, MARKER) in (None, mine) and parsed(self.read(version, PUSHED_MANIFEST)) is None:
            self.remove(version)

    def _close(self) -> None:
        """Makes it impossible for whoever held the lock before to complete a version."""
        for version in self.versions():
            if self.has(version, MARKER):
                self._fs.create(self._path(version, PUSHED_MANIFEST), b"{}")

    def remove(self, version: str) -> None:
        self._put(version, MARKER, b"")  # first, so that a killed removal can be recognised
        self._fs.remove(self._path(version, PUSHED_MANIFEST))
        for name in self.names(version):
            self._fs.remove(self._path(version, name))
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm(self._path(version), recursive=True)

    def clean(self) -> list[str]:
        left = []
        for version in self.versions():
            try:
                if not self.has(version, MARKER):
                    continue
                if parsed(self.read(version, PUSHED_MANIFEST)) is None:
                    self.remove(version)
                else:
                    self._fs.remove(self._path(version, MARKER))
            except OSError:
                left.append(f"{self.root}/{version}")
        return left

    def local(self, version: str) -> contextlib.AbstractContextManager[str]:
        return self.copied(version)

    def _put(self, version: str, name: str, content: Content) -> None:
        self._objects.put(f"{version}/{name}", content)

    def _size(self, version: str, name: str) -> int | None:
        """Bytes of an object, as the store lists it; None if there is none."""
        self._fs.invalidate_cache()
        try:
            info = self._fs.info(self._path(version, name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if info["type"] == "directory" else int(info.get("size") or 0)

    def _path(self, *names: str) -> str:
        return self._objects.path("/".join(names))
