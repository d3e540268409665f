"""Where versions of a model lie: a folder of this machine, or an object store behind an fsspec URL.

Both offer the same few operations, so that nobody else asks which it is. A version is a folder whose name is a number;
one that holds no `MANIFEST` is incomplete, or somebody else's.
"""

from __future__ import annotations

import abc
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from components import storage
from components.errors import ConfigError

MANIFEST = "imagegate.json"
MARKER = ".imagegate-incomplete"  # in a version of an object store while it is uploaded, and while it is removed
_STAGING, _REMOVING = ".staging-", ".removing-"  # TensorFlow Serving looks at numbers only
_GRAPH = "saved_model.pb"

Content = str | bytes  # a file of this machine, or what stands in it
Seal = Callable[[dict[str, str]], bytes]


def at(root: str) -> Destination:
    """The versions below a folder or fsspec URL.

    Raises:
        ConfigError: the URL cannot be opened, or holds what should be secret.
    """
    return Store(root) if storage.is_url(root) else Folder(root)


def check_url(url: str) -> None:
    """Refuses what would put a secret into manifests and logs, without repeating it.

    Raises:
        ConfigError: a password or a query stands in it.
    """
    if re.search(r"://[^/@]*:[^/]*@", url):
        raise ConfigError(
            "the URL holds a password, which would end up in manifests and logs; leave it out, and give it as the "
            "store expects it: in the environment, or in fsspec's configuration"
        )
    if "?" in url:
        raise ConfigError("the URL has a query (?...), behind which no folder can lie; leave it out")


class Destination(abc.ABC):
    """Versions below a root. Errors of the disk or store are OSErrors."""

    root: str

    @abc.abstractmethod
    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Makes the root, and keeps other writers out where that is possible."""

    @abc.abstractmethod
    def versions(self) -> list[int]:
        """Every number that is taken, in no order; also incomplete ones and other people's."""

    @abc.abstractmethod
    def read(self, version: str, name: str) -> bytes | None:
        """A file of a version, or None where there is none."""

    @abc.abstractmethod
    def digests(self, version: str) -> dict[str, str]:
        """SHA-256 of every file of a version by its relative path; see `digests`."""

    @abc.abstractmethod
    def put(self, version: str, files: Mapping[str, Content], seal: Seal) -> None:
        """Makes a version. `seal` gets the digests of what arrived and gives the manifest, or raises."""

    @abc.abstractmethod
    def remove(self, version: str) -> None:
        """Removes a version; it is no longer one as soon as the removal begins."""

    @abc.abstractmethod
    def clean(self) -> list[str]:
        """Removes what killed pushes and removals left; returns what could not be removed."""

    @abc.abstractmethod
    def local(self, version: str) -> contextlib.AbstractContextManager[str]:
        """A folder of this machine with the version's files, for as long as the context lasts."""


class Folder(Destination):
    """A folder of this machine: a version appears and vanishes with one rename."""

    def __init__(self, root: str) -> None:
        self.root = root

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        os.makedirs(self.root, exist_ok=True)
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # the kernel lets go of it when the process dies
            yield
        finally:
            os.close(descriptor)

    def versions(self) -> list[int]:
        return _numbers(os.listdir(self.root)) if os.path.isdir(self.root) else []

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
            _write(os.path.join(staging, MANIFEST), seal(digests(staging)))
            _sync(staging)
            os.rename(staging, self._path(version))
            _sync_one(self.root)
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


class Store(Destination):
    """An object store: nothing can be renamed there, so a version is complete once its manifest is written, the last.

    There is no lock either: a second push at the same time would take the first one for one that was killed.
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

    def versions(self) -> list[int]:
        self._fs.invalidate_cache()
        try:
            entries = self._fs.ls(self._base, detail=True)
        except FileNotFoundError:
            return []
        return _numbers(entry["name"].rstrip("/").rpartition("/")[2] for entry in entries)

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
            # No server can load a model without its graph: once that is there, so is all the rest.
            for name in sorted(files, key=lambda name: (name == _GRAPH, name)):
                self._put(version, name, files[name])
                arrived[name] = self._digest(version, name)
            self._put(version, MANIFEST, seal(dict(sorted(arrived.items()))))
        except BaseException:
            with contextlib.suppress(OSError):
                self.remove(version)
            raise
        with contextlib.suppress(OSError):  # or the next push does it
            self._fs.rm_file(self._path(version, MARKER))

    def remove(self, version: str) -> None:
        self._put(version, MARKER, b"")  # first, so that a killed removal is known as such
        if self.read(version, MANIFEST) is not None:
            self._fs.rm_file(self._path(version, MANIFEST))
        for name in self._names(version):
            self._fs.rm_file(self._path(version, name))
        self._fs.rm(self._path(version), recursive=True)

    def clean(self) -> list[str]:
        left = []
        for version in map(str, self.versions()):
            try:
                if self.read(version, MARKER) is None:
                    continue
                if parsed(self.read(version, MANIFEST)) is None:
                    self.remove(version)
                else:
                    self._fs.rm_file(self._path(version, MARKER))
            except OSError:
                left.append(f"{self.root}/{version}")
        return left

    @contextlib.contextmanager
    def local(self, version: str) -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix="imagegate-") as folder:
            for name in [MANIFEST, *self._names(version)]:
                path = os.path.join(folder, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                self._fs.get_file(self._path(version, name), path)
            yield folder

    def _names(self, version: str) -> list[str]:
        """A version's files but our own."""
        folder = self._path(version) + "/"
        self._fs.invalidate_cache()
        names = [found.removeprefix(folder) for found in self._fs.find(folder)]
        if any(name.startswith("/") or ".." in name.split("/") for name in names):
            raise OSError(f"{self.root}/{version} holds names that lead out of it")
        return sorted(set(names) - {MANIFEST, MARKER})

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
    """A file system whose errors are OSErrors: each store has some of its own."""

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


def parsed(content: bytes | None) -> dict[str, Any] | None:
    """A manifest, or None where it is none: missing, cut short, or not ours."""
    try:
        manifest = json.loads(content or b"")
    except ValueError:
        return None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        return None
    return manifest


def digests(folder: str) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by path relative to it; manifest and marker left out.

    Raises:
        OSError: a file or folder cannot be read, or there is none.
    """
    found = {}
    for parent, _, names in os.walk(folder, onerror=_raise):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, folder)] = hashlib.file_digest(f, "sha256").hexdigest()
    return {name: found[name] for name in sorted(found) if name not in (MANIFEST, MARKER)}


def _raise(error: OSError) -> None:
    raise error


def _numbers(names: Any) -> list[int]:
    return [int(name) for name in names if name.isascii() and name.isdigit()]


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
            _sync_one(os.path.join(parent, name))
        _sync_one(parent)


def _sync_one(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
