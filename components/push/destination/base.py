"""The operations of a push destination, and the digests and manifest of a version."""

from __future__ import annotations

import abc
import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from components.base.artifact_files import PUSHED_MANIFEST

MARKER = ".imagegate-incomplete"  # in a version of an object store while it is uploaded or removed

Content = str | bytes  # path of a local file, or the content of a file
Seal = Callable[[dict[str, str]], bytes]


class Destination(abc.ABC):
    """A root with versions below it. Errors of the disk or store are raised as OSError."""

    root: str

    @abc.abstractmethod
    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Creates the root, and excludes other writers where that is possible."""

    @abc.abstractmethod
    def versions(self) -> list[int]:
        """Returns every number that is taken, in no order, including incomplete and foreign versions."""

    @abc.abstractmethod
    def read(self, version: str, name: str) -> bytes | None:
        """Reads a file of a version; None if it does not exist."""

    @abc.abstractmethod
    def digests(self, version: str) -> dict[str, str]:
        """Computes the SHA-256 of every file of a version by its relative path; see `digests`."""

    @abc.abstractmethod
    def put(self, version: str, files: Mapping[str, Content], seal: Seal) -> None:
        """Writes a version. `seal` turns the digests of the files that arrived into the manifest, or raises."""

    @abc.abstractmethod
    def remove(self, version: str) -> None:
        """Removes a version; readers no longer see it once the removal begins."""

    @abc.abstractmethod
    def clean(self) -> list[str]:
        """Removes the remains of killed pushes and removals; returns the paths that could not be removed."""

    @abc.abstractmethod
    def local(self, version: str) -> contextlib.AbstractContextManager[str]:
        """Provides a local folder with the version's files, for as long as the context lasts."""


def parsed(content: bytes | None) -> dict[str, Any] | None:
    """Parses a manifest; None if it is missing, truncated, or not one of imagegate.

    >>> parsed(b'{"files": {"saved_model.pb": "ab12"}}')
    {'files': {'saved_model.pb': 'ab12'}}
    >>> parsed(b'{"files": {"saved_mo')
    """
    try:
        manifest = json.loads(content or b"")
    except ValueError:
        return None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        return None
    return manifest


def digests(folder: str) -> dict[str, str]:
    """Computes the SHA-256 of every file below `folder`, except manifest and marker, by path relative to it.

    Raises:
        OSError: a file or folder cannot be read or does not exist.
    """
    by_path = {}
    for parent, _, names in os.walk(folder, onerror=_raise):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, "rb") as f:
                by_path[os.path.relpath(path, folder)] = hashlib.file_digest(f, "sha256").hexdigest()
    return {name: by_path[name] for name in sorted(by_path) if name not in (PUSHED_MANIFEST, MARKER)}


def _raise(error: OSError) -> None:
    raise error


def numbers(names: Iterable[str]) -> list[int]:
    """Picks the names that are version numbers.

    >>> numbers(["1700000000", ".staging-7", "latest", "12"])
    [1700000000, 12]
    """
    return [int(name) for name in names if name.isascii() and name.isdigit()]
