"""An object store as push destination. A version is complete once its manifest exists, which is written last."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from components.base.artifact_files import PUSHED_MANIFEST, SAVED_MODEL
from components.base.errors import ConfigError
from components.data.location import check_url
from components.push.destination.base import MARKER, Content, Destination, Seal, parsed, served_first


class Store(Destination):
    """Versions in an object store; see `Destination`.

    There is no lock. A push that runs at the same time as another takes the other's incomplete version for the remains
    of a killed push, and removes it.
    """

    def __init__(self, root: str) -> None:
        import fsspec

        self.root = root.rstrip("/")
        try:
            check_url(root)
            fs, path = fsspec.core.url_to_fs(self.root)
        except (ImportError, ValueError) as error:
            raise ConfigError(f"{self.root} cannot be opened: {error}") from error
        self._fs, self._base = _Calls(fs), path.rstrip("/")

    def locked(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def versions(self) -> list[str]:
        self._fs.invalidate_cache()
        try:
            entries = self._fs.ls(self._base, detail=True)
        except FileNotFoundError:
            return []
        return served_first(entry["name"].rstrip("/").rpartition("/")[2] for entry in entries)

    def read(self, version: str, name: str) -> bytes | None:
        try:
            content: bytes = self._fs.cat_file(self._path(version, name))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return content

    def digests(self, version: str) -> dict[str, str]:
        return {name: self._digest(version, name) for name in self._names(version)}

    def put(self, version: str, files: Mapping[str, Content], seal: Seal) -> None:
        arrived = {}
        try:
            self._put(version, MARKER, b"")
            # The graph comes last, because no server loads a model without it: once it exists, all other files do.
            for name in sorted(files, key=lambda name: (name == SAVED_MODEL, name)):
                self._put(version, name, files[name])
                arrived[name] = self._digest(version, name)
            self._put(version, PUSHED_MANIFEST, seal(dict(sorted(arrived.items()))))
        except BaseException:
            with contextlib.suppress(OSError):
                self.remove(version)
            raise
        with contextlib.suppress(OSError):  # otherwise the next push removes it
            self._fs.rm_file(self._path(version, MARKER))

    def remove(self, version: str) -> None:
        self._put(version, MARKER, b"")  # first, so that a killed removal can be recognised
        if self.read(version, PUSHED_MANIFEST) is not None:
            self._fs.rm_file(self._path(version, PUSHED_MANIFEST))
        for name in self._names(version):
            self._fs.rm_file(self._path(version, name))
        self._fs.rm(self._path(version), recursive=True)

    def clean(self) -> list[str]:
        left = []
        for version in self.versions():
            try:
                if self.read(version, MARKER) is None:
                    continue
                if parsed(self.read(version, PUSHED_MANIFEST)) is None:
                    self.remove(version)
                else:
                    self._fs.rm_file(self._path(version, MARKER))
            except OSError:
                left.append(f"{self.root}/{version}")
        return left

    @contextlib.contextmanager
    def local(self, version: str) -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix="imagegate-") as folder:
            for name in [PUSHED_MANIFEST, *self._names(version)]:
                path = os.path.join(folder, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                self._fs.get_file(self._path(version, name), path)
            yield folder

    def _names(self, version: str) -> list[str]:
        """Lists the names of a version's files, without manifest and marker."""
        folder = self._path(version) + "/"
        self._fs.invalidate_cache()
        names = [path.removeprefix(folder) for path in self._fs.find(folder)]
        if any(name.startswith("/") or ".." in name.split("/") for name in names):
            raise OSError(f"{self.root}/{version} contains file names that lead out of the folder")
        return sorted(set(names) - {PUSHED_MANIFEST, MARKER})

    def _put(self, version: str, name: str, content: Content) -> None:
        path = self._path(version, name)
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        if isinstance(content, bytes):
            self._fs.pipe_file(path, content)
        else:
            self._fs.put_file(content, path)

    def _digest(self, version: str, name: str) -> str:
        with self._fs.open(self._path(version, name), "rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()

    def _path(self, *names: str) -> str:
        return "/".join([self._base, *names])


class _Calls:
    """An fsspec file system that raises OSError for every error; stores raise errors of their own."""

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return getattr(self._fs, name)(*args, **kwargs)
            except OSError:
                raise
            except Exception as error:
                raise OSError(f"{type(error).__name__}: {error}") from error

        return call
