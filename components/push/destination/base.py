"""What both kinds of destination have in common, and what is known of a version's files."""

from __future__ import annotations

import abc
import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from components.base.artifact_files import PUSHED_MANIFEST

MARKER = ".imagegate-incomplete"  # in a version of an object store while it is uploaded, and while it is removed

Content = str | bytes  # a file of this machine, or what stands in it
Seal = Callable[[dict[str, str]], bytes]


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
    return {name: found[name] for name in sorted(found) if name not in (PUSHED_MANIFEST, MARKER)}


def _raise(error: OSError) -> None:
    raise error


def numbers(names: Iterable[str]) -> list[int]:
    """Of all names those of versions."""
    return [int(name) for name in names if name.isascii() and name.isdigit()]
