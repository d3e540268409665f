"""Versions of a model in a push destination, where TensorFlow Serving finds them: pushes, reads and verifies them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import ValidationError

from components.base.artifact_files import PUSHED_MANIFEST
from components.base.errors import ImagegateError
from components.push.destination import Content, Destination, at, digests, parsed
from components.push.manifest import PushedManifest
from components.push.refusals import NotPushed, Superseded, Withdrawn, superseded, withdrawn

__all__ = [
    "NotPushed",
    "Served",
    "Superseded",
    "Withdrawn",
    "add",
    "at_start",
    "content",
    "current",
    "digests",
    "identity",
    "local",
    "newest_first",
    "push",
    "read",
    "readable_errors",
    "tidy",
    "verify",
]

_NOTHING: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True)
class Served:
    """A version in a push destination.

    Attributes:
        version: its number, as text.
        path: its folder, or URL.
        manifest: its `imagegate.json`.
    """

    version: str
    path: str
    manifest: PushedManifest

    @property
    def model(self) -> dict[str, str]:
        """SHA-256 of the model's own files."""
        return {name: digest for name, digest in self.manifest.files.items() if name not in self.manifest.beside}


def current(destination: str) -> Served | None:
    """Finds the newest version that imagegate pushed to `destination`, or None; checks no files, see `verify`.

    Raises:
        ImagegateError: the destination cannot be read.
    """
    with readable_errors(f"cannot read {destination}"):
        return next(newest_first(at(destination)), None)


def at_start(root: str, version: str) -> Served | None:
    """Reads the version that was served when a run began: everything in the run is compared with that one.

    Args:
        root: folder or fsspec URL of the versions.
        version: its number, "" for none.

    Raises:
        Superseded: it was removed since.
    """
    if not version:
        return None
    found = read(f"{root.rstrip('/')}/{version}")
    if found is None:
        raise superseded(version, current(root))
    return found


def newest_first(place: Destination) -> Iterator[Served]:
    """Yields every version that has a manifest; without one it is incomplete, or was not pushed by imagegate."""
    for version in sorted(place.versions(), reverse=True):
        served = _read(place, str(version))
        if served is not None:
            yield served


def read(path: str) -> Served | None:
    """Reads the version in the folder or URL `path`; None if its manifest is missing or broken."""
    place, version = _split(path)
    with readable_errors(f"cannot read {path}"):
        return _read(place, version)


def _read(place: Destination, version: str) -> Served | None:
    path, manifest = f"{place.root.rstrip('/')}/{version}", parsed(place.read(version, PUSHED_MANIFEST))
    if manifest is None:
        return None
    try:
        return Served(version, path, PushedManifest.model_validate(manifest))
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise ImagegateError(
            f"{path}/{PUSHED_MANIFEST} was written by another release, and this one cannot read its key {key!r}; "
            "remove that version, or use the release that pushed it"
        ) from None


def content(served: Served, name: str) -> bytes:
    """Reads a file of a version.

    Raises:
        ImagegateError: the file is missing, or differs from the one that was pushed.
    """
    place, version = _split(served.path)
    with readable_errors(f"cannot read {served.path}"):
        found = place.read(version, name)
    if found is None or hashlib.sha256(found).hexdigest() != served.manifest.files.get(name):
        raise ImagegateError(f"{served.path}/{name} is missing or does not match the model's {PUSHED_MANIFEST}")
    return found


@contextlib.contextmanager
def local(served: Served) -> Iterator[str]:
    """Provides a local folder with the version's verified files; for a URL, a copy that is removed afterwards.

    Raises:
        ImagegateError: see `verify`.
    """
    place, version = _split(served.path)
    with contextlib.ExitStack() as stack:
        with readable_errors(f"cannot read {served.path}"):
            folder = stack.enter_context(place.local(version))
            verify(served, folder)
        yield folder


def verify(served: Served, folder: str | None = None) -> None:
    """Checks a version's files against its manifest. A SavedModel is code, so a changed one must not be loaded.

    Args:
        served: the version.
        folder: a copy of it, to check instead.

    Raises:
        ImagegateError: a file is missing, was changed, or is not in the manifest.
    """
    place, version = _split(served.path)
    with readable_errors(f"cannot read {served.path}"):
        there = place.digests(version) if folder is None else digests(folder)
    wanted = served.manifest.files
    for name in sorted(wanted.keys() | there.keys()):
        if wanted.get(name) != there.get(name):
            what = "is missing, but is in" if name not in there else "does not match" if name in wanted else "is not in"
            raise ImagegateError(
                f"{served.path}/{name} {what} the model's {PUSHED_MANIFEST}; the model was changed after it was pushed "
                "and is not loaded"
            )


def push(
    model: str,
    destination: str,
    manifest: PushedManifest,
    beside: Mapping[str, bytes] = _NOTHING,
    evaluated: Mapping[str, str] | None = None,
    compared: str | None = None,
) -> Served:
    """Copies a SavedModel to a new version below `destination`; a reader sees the whole version or none.

    Version numbers are seconds since 1970, or one more than the largest where that is not more. Everything that the
    push depends on is read under the destination's lock.

    Args:
        model: folder of the SavedModel.
        destination: folder or fsspec URL; made if missing.
        manifest: what to write beside the model; files, version, `beside`, `withdrawn` and `compared_with` are added.
        beside: name -> content of further files to put there.
        evaluated: SHA-256 of each file of the model as it was judged; default: as it is.
        compared: the version that was served when the model was judged, "" for none. It must still be the one served.
            None: the model was not judged by any other.

    Raises:
        Withdrawn: this model was rolled back.
        Superseded: another version than `compared` is served.
        ImagegateError: what arrived is not that model, or the disk is full.
    """
    place = at(destination)
    with readable_errors(f"cannot read {model}"):
        there = digests(model)
    with readable_errors(f"cannot write to {destination}"), place.locked():
        wanted = dict(there if evaluated is None else evaluated)
        served = next(newest_first(place), None)
        gone = {} if served is None else served.manifest.withdrawn
        if identity(wanted) in gone:
            raise withdrawn(gone[identity(wanted)])
        if compared is not None and compared != (served.version if served else ""):
            raise superseded(compared, served)
        files: dict[str, Content] = {name: os.path.join(model, name) for name in there}
        wanted |= {name: hashlib.sha256(content).hexdigest() for name, content in beside.items()}
        facts = {"beside": tuple(sorted(beside)), "withdrawn": gone}
        facts |= {} if compared is None else {"compared_with": compared}
        full = manifest.model_copy(update=facts)
        return add(place, {**files, **beside}, wanted, full)


def add(
    place: Destination, files: Mapping[str, Content], wanted: Mapping[str, str], manifest: PushedManifest
) -> Served:
    """Writes a new version; the destination is locked.

    Args:
        place: where to.
        files: relative path -> the file or its content.
        wanted: SHA-256 that each file must have there.
        manifest: what to write beside them.
    """
    version = str(max(int(time.time()), max(place.versions(), default=0) + 1))  # also than what is removed now
    place.clean()
    full = manifest.model_copy(update={"version": version, "files": {name: wanted[name] for name in sorted(wanted)}})
    sealed = full.to_json(indent=1).encode()

    def seal(arrived: Mapping[str, str]) -> bytes:
        for name in sorted(wanted.keys() | arrived.keys()):
            expected, found = wanted.get(name, "no such file"), arrived.get(name, "no such file")
            if expected != found:
                raise ImagegateError(
                    f"push: {name} is not the file of the model that was evaluated: expected SHA-256 {expected}, "
                    f"found {found}; nothing was pushed, run again with --force"
                )
        return sealed

    place.put(version, files, seal)
    return Served(version, f"{place.root.rstrip('/')}/{version}", full)


def tidy(destination: str, keep: int | None) -> tuple[list[str], str]:
    """Removes what killed pushes left, and of the versions that imagegate pushed all but the newest `keep`.

    Returns:
        the versions that were removed, and a sentence where something could not be: that is no reason to fail.
    """
    removed, problems = [], []
    try:
        place = at(destination)
        with place.locked():
            problems += [f"{path} cannot be removed" for path in place.clean()]
            ours = [served for served in newest_first(place) if served.manifest.version == served.version]
            for served in ours[keep:] if keep else ():
                try:
                    place.remove(served.version)
                    removed.append(served.version)
                except OSError as error:
                    problems.append(f"{served.path} cannot be removed: {error.strerror or error}")
    except OSError as error:
        problems.append(f"{destination} cannot be tidied: {error.strerror or error}")
    return removed, "; ".join(problems)


def identity(model: Mapping[str, str]) -> str:
    """Combines the SHA-256 of a model's files into one for the model."""
    return hashlib.sha256(json.dumps(sorted(model.items())).encode()).hexdigest()


def _split(path: str) -> tuple[Destination, str]:
    root, _, version = path.rstrip("/").rpartition("/")
    return at(root or "/"), version


@contextlib.contextmanager
def readable_errors(what: str) -> Iterator[None]:
    """Turns an OSError into an ImagegateError that starts with `what`."""
    try:
        yield
    except OSError as error:
        raise ImagegateError(f"push: {what}: {error.strerror or error}") from error
