"""Puts a model where TensorFlow Serving finds it: staged, digested, and visible in one step or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from components.errors import ImagegateError

MANIFEST = "imagegate.json"
_NOTHING: Mapping[str, bytes] = MappingProxyType({})
_STAGING = ".staging-"  # TensorFlow Serving looks at numbers only


@dataclass(frozen=True)
class Served:
    """One version in a push destination.

    Attributes:
        version: its number, as text.
        path: its folder.
        manifest: its `imagegate.json`.
    """

    version: str
    path: str
    manifest: dict[str, Any]


def current(destination: str) -> Served | None:
    """The newest version that imagegate pushed to `destination`, or None. Its files are not checked; see `verify`."""
    versions = sorted(_versions(destination), reverse=True)
    found = (read(os.path.join(destination, str(version))) for version in versions)
    return next((served for served in found if served is not None), None)


def read(path: str) -> Served | None:
    """The version in the folder `path`, or None where there is no manifest, or a broken one."""
    try:
        with open(os.path.join(path, MANIFEST), encoding="utf-8") as f:
            manifest = json.load(f)
    except (OSError, ValueError):
        return None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        return None
    return Served(os.path.basename(path), path, manifest)


def push(model: str, destination: str, manifest: Mapping[str, Any], beside: Mapping[str, bytes] = _NOTHING) -> Served:
    """Copies a SavedModel to a new version below `destination`.

    The copy is made under another name, digested, synced to disk and renamed: a reader sees the whole version or
    none. Version numbers are seconds since 1970, or one more than the newest where that is not more.

    Args:
        model: folder of the SavedModel.
        destination: folder of versions; made if missing.
        manifest: what to write beside the model; `files` {path: SHA-256} and `version` are added.
        beside: name -> content of further files to put there.

    Raises:
        ImagegateError: the copy differs from the model, or the disk is full.
    """
    try:
        os.makedirs(destination, exist_ok=True)
        with _locked(destination):
            return _push(model, destination, manifest, beside)
    except OSError as error:
        reason = error.strerror or error
        if isinstance(error, shutil.Error):  # copytree's list of (from, to, reason)
            reason = error.args[0][0][2]
        raise ImagegateError(f"push: cannot write to {destination}: {reason}") from error


def _push(model: str, destination: str, manifest: Mapping[str, Any], beside: Mapping[str, bytes]) -> Served:
    for name in os.listdir(destination):
        if name.startswith(_STAGING):  # of a push that was killed; nobody else is pushing now
            shutil.rmtree(os.path.join(destination, name))
    version = str(max(int(time.time()), max(_versions(destination), default=0) + 1))
    staging, path = os.path.join(destination, _STAGING + version), os.path.join(destination, version)
    try:
        shutil.copytree(model, staging)
        files = digests(staging)
        if files != digests(model):
            raise ImagegateError(f"push: the copy in {staging} differs from {model}; the disk may be failing")
        for name, content in beside.items():
            with open(os.path.join(staging, name), "wb") as f:
                f.write(content)
        full = {**manifest, "version": version, "files": digests(staging)}
        with open(os.path.join(staging, MANIFEST), "w", encoding="utf-8") as f:
            json.dump(full, f, ensure_ascii=False, indent=1, allow_nan=False)
        _sync(staging)
        os.rename(staging, path)
        _sync_folder(destination)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Served(version, path, full)


def digests(folder: str) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by path relative to it; the manifest left out."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            found[os.path.relpath(path, folder)] = digest(path)
    found.pop(MANIFEST, None)
    return dict(sorted(found.items()))


def digest(path: str) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def verify(served: Served) -> None:
    """Checks a version's files against its manifest. A SavedModel is code: one that changed must not be loaded.

    Raises:
        ImagegateError: a file is missing, changed or one too many.
    """
    wanted, there = served.manifest["files"], digests(served.path)
    for name in sorted(wanted.keys() | there.keys()):
        if wanted.get(name) != there.get(name):
            what = "is missing" if name not in there else "is not in" if name not in wanted else "does not match"
            raise ImagegateError(
                f"{os.path.join(served.path, name)} {what} the model's {MANIFEST}; the model was changed after it was "
                "pushed and is not loaded"
            )


def _versions(destination: str) -> list[int]:
    if not os.path.isdir(destination):
        return []
    return [int(n) for n in os.listdir(destination) if n.isascii() and n.isdigit()]


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    """One push at a time; the kernel lets go of the lock when a process dies."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync(folder: str) -> None:
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync_folder(os.path.join(parent, name))
        _sync_folder(parent)


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
