"""Versions of a model in a push destination, as they are read: found, identified and verified."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from components.base.artifact_files import KNOWN_IMAGES, MODEL_CARD, PUSHED_MANIFEST, SIGNATURE
from components.base.digests import of_file
from components.base.errors import ImagegateError
from components.push.destination import (
    MARKER,
    Destination,
    Unreadable,
    at,
    digests,
    is_local,
    local_path,
    number,
    parsed,
)
from components.push.manifest import PushedManifest
from components.push.signing.errors import NotSigned, NotVerified
from components.push.signing.trust import NOBODY, Trust

DAMAGED, NOT_SIGNED = "damaged", "not signed"  # see `Served.flaw`


class Damaged(ImagegateError):
    """A version's files are not those that were pushed."""


@dataclass(frozen=True)
class Served:
    """A version in a push destination.

    Attributes:
        version: its number, as text.
        path: its folder, or URL.
        manifest: its `imagegate.json`.
        problem: why the manifest cannot be used, so that nothing is known of the version; "" if it can. One that
            nobody who is trusted has signed is not used either.
        flaw: the same in a word or two, for lists; "" if it can be used.
        signed_by: fingerprint of the trusted key that signed it; "" if none did, or nobody asked.
        digest: SHA-256 of the manifest; "" if it was not read from the destination.
        new: whether the call that returned this has just written it.
        passed_over: newer versions that a rollback to this one did not bring back, because they cannot be used.
    """

    version: str
    path: str
    manifest: PushedManifest
    problem: str = ""
    flaw: str = field(default="", compare=False)
    signed_by: str = field(default="", compare=False)
    digest: str = field(default="", compare=False)
    new: bool = field(default=False, compare=False)
    passed_over: tuple[str, ...] = field(default=(), compare=False)

    @property
    def model(self) -> dict[str, str]:
        """SHA-256 of each of the model's own files by its path, without those that were put beside it."""
        return {name: digest for name, digest in self.manifest.files.items() if name not in self.manifest.beside}

    @property
    def identity(self) -> str:
        """Equal for equal models, whatever is random in their files."""
        return self.manifest.identity or identity(self.model)


def current(root: str, trust: Trust = NOBODY) -> Served | None:
    """Finds the newest version that imagegate pushed to the folder or URL `root`; None if there is none.

    Raises:
        Damaged: its manifest cannot be used, so nobody knows what is served; or nobody who is trusted signed it.
        ImagegateError: the destination cannot be read.
    """
    with readable_errors(f"cannot read {root}"):
        return usable(next(newest_first(at(root, trust)), None))


def usable(served: Served | None) -> Served | None:
    """Returns the served version as it is.

    Raises:
        Damaged: its manifest cannot be used.
    """
    if served is not None and served.problem:
        sign = ""
        if served.flaw == NOT_SIGNED:
            sign = (
                "If it was pushed before you signed versions, run once with push.sign and without push.verify, which "
                "signs it. Otherwise: "
            )
        raise Damaged(
            f"version {served.version} is served, but nothing is known of it: {served.problem}. {sign}Bring an older "
            f"version back (imagegate rollback CONFIG), or remove {served.path}"
        )
    return served


def newest_first(place: Destination) -> Iterator[Served]:
    """Yields the versions that are or were served, without remains of killed pushes and challengers, the newest first.

    The first one is served.
    """
    for version in place.versions():
        found = _read(place, version)
        # A challenger that somebody copied to another number is no challenger any more: a server loads the largest.
        if found is not None and not (found.manifest.challenger and found.manifest.version == version):
            yield found


def challengers(place: Destination) -> Iterator[Served]:
    """Yields the versions that were pushed to stand beside the served one, the newest first."""
    for version in place.versions():
        found = _read(place, version)
        if found is not None and found.manifest.challenger and found.manifest.version == version:
            yield found


def challenger(root: str, trust: Trust = NOBODY) -> Served | None:
    """Finds the newest challenger in the folder or URL `root`; None if there is none.

    Raises:
        ImagegateError: the destination cannot be read.
    """
    with readable_errors(f"cannot read {root}"):
        return next(challengers(at(root, trust)), None)


def find(model: str, trust: Trust = NOBODY) -> Served | None:
    """Finds the version that `model` names: its folder or URL, or a destination, which stands for what is served there.

    Raises:
        Damaged: its manifest cannot be used, or nobody who is trusted signed it.
    """
    path = os.path.abspath(local_path(model)) if is_local(model) else model.rstrip("/")
    above, _, name = path.rpartition("/")
    # A version first: somebody may have put another one into it. A bucket may be a destination, but is no version.
    if number(name) is not None and not above.endswith(":/"):
        return read(path, trust) or current(model, trust)
    return current(model, trust) or read(path, trust)


def read(path: str, trust: Trust = NOBODY) -> Served | None:
    """Reads the version in the folder or URL `path`; None if imagegate did not push one there.

    Raises:
        Damaged: its manifest cannot be used, or nobody who is trusted signed it.
    """
    place, version = _split(path, trust)
    with readable_errors(f"cannot read {path}"):
        found = _read(place, version)
    if found is not None and found.problem:
        raise Damaged(f"{found.problem}; the model is not loaded")
    return found


def _read(place: Destination, version: str) -> Served | None:
    path = f"{place.root.rstrip('/')}/{version}"
    try:
        content = place.read(version, PUSHED_MANIFEST)
    except Unreadable as error:
        return _flawed(version, path, str(error), DAMAGED)
    told = parsed(content)
    if told is None:
        problem = _damage(place, version, path, content)
        return _flawed(version, path, problem, DAMAGED) if problem else None
    assert content is not None
    try:
        manifest = PushedManifest.model_validate(told)
        signed_by = _signed_by(place, version, content, manifest)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        problem = f"{path}/{PUSHED_MANIFEST} was written by another release, which is needed to read its key {key!r}"
        return _flawed(version, path, problem, "of another release")
    except NotVerified as error:
        return _flawed(version, path, f"{path}/{error}", NOT_SIGNED if isinstance(error, NotSigned) else "not trusted")
    return Served(version, path, manifest, signed_by=signed_by, digest=hashlib.sha256(content).hexdigest())


def _flawed(version: str, path: str, problem: str, flaw: str) -> Served:
    return Served(version, path, PushedManifest(), problem, flaw=flaw)


def _signed_by(place: Destination, version: str, content: bytes, manifest: PushedManifest) -> str:
    """The fingerprint of the trusted key that signed a version; "" if nobody asks for one.

    The manifest names the digests of all files, so with its own the signature stands for the whole version: whoever
    reads a file compares it with the manifest that was verified here.

    Raises:
        NotVerified: it needs a signature of one of the trusted keys, and has none.
    """
    trust = place.trust
    if not trust.looks:
        return ""
    try:
        try:
            signature = place.read(version, SIGNATURE)
        except Unreadable as error:
            raise NotVerified(f"{SIGNATURE} cannot be read: {error}") from None
        signed_by = trust.signed_by(content, manifest.files, signature)
        if manifest.version != version and number(version) is not None:
            raise NotVerified(
                f"{PUSHED_MANIFEST} is signed for version {manifest.version}, and somebody copied it to this number"
            )
    except NotVerified:
        if trust.keys:
            raise
        return ""
    return signed_by


def _damage(place: Destination, version: str, path: str, content: bytes | None) -> str:
    """Says what became of the manifest of a version that imagegate pushed; "" for what others put there.

    A killed upload or removal leaves no manifest, or a part of one, beside its marker.
    """
    if place.has(version, MARKER):
        return ""
    if content is not None:
        return f"{path}/{PUSHED_MANIFEST} is damaged"
    left = next((name for name in (KNOWN_IMAGES, MODEL_CARD) if place.has(version, name)), None)
    return f"{path}/{PUSHED_MANIFEST} is missing, but {left} is there" if left else ""


def content(served: Served, name: str) -> bytes:
    """Reads a file of a version.

    Raises:
        Damaged: the file is missing, or differs from the one that was pushed.
    """
    place, version = _split(served.path)
    with readable_errors(f"cannot read {served.path}"):
        found = place.read(version, name)
    if found is None or hashlib.sha256(found).hexdigest() != served.manifest.files.get(name):
        raise Damaged(f"{served.path}/{name} is missing or does not match the model's {PUSHED_MANIFEST}")
    return found


@contextlib.contextmanager
def local(served: Served) -> Iterator[str]:
    """Provides a local folder with the version's verified files; for a URL, a copy that is removed afterwards.

    A signed version is copied from a folder, too: what was verified is then what is loaded, whatever happens there.

    Raises:
        Damaged: see `verify`.
    """
    place, version = _split(served.path)
    with contextlib.ExitStack() as stack:
        with readable_errors(f"cannot read {served.path}"):
            _require_listed(served, place)  # before anything is copied
            held = place.copied(version) if served.signed_by else place.local(version)
            folder = stack.enter_context(held)
            verify(served, folder)
        yield folder


def verify(served: Served, folder: str | None = None) -> None:
    """Checks a version's files against its manifest. A SavedModel is code, so a changed one must not be loaded.

    Args:
        served: the version.
        folder: a copy of it, to check instead.

    Raises:
        Damaged: a file is missing, was changed, or is not in the manifest.
        ImagegateError: a file cannot be read, so nobody knows.
    """
    place, version = _split(served.path)
    with readable_errors(f"cannot read {served.path}"):
        if folder is None:
            _require_listed(served, place)
        try:
            there = place.digests(version) if folder is None else digests(folder)
        except Unreadable as error:
            raise Damaged(f"{error}; the model was changed after it was pushed and is not loaded") from None
        if folder is not None and served.digest and of_file(os.path.join(folder, PUSHED_MANIFEST)) != served.digest:
            raise Damaged(f"{served.path}/{PUSHED_MANIFEST} was changed while it was read; the model is not loaded")
    _require_same(served, there, served.manifest.files)


def _require_listed(served: Served, place: Destination) -> None:
    """Requires that a version holds the files that its manifest names, and no others; reads none of them."""
    _require_same(served, dict.fromkeys(place.names(served.version), ""), dict.fromkeys(served.manifest.files, ""))


def _require_same(served: Served, there: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    for name in sorted(wanted.keys() | there.keys()):
        if wanted.get(name) != there.get(name):
            what = "is missing, but is in" if name not in there else "does not match" if name in wanted else "is not in"
            raise Damaged(
                f"{served.path}/{name} {what} the model's {PUSHED_MANIFEST}; the model was changed after it was pushed "
                "and is not loaded"
            )


def intact(served: Served) -> bool:
    """Whether the files of a version are those that were pushed.

    Raises:
        ImagegateError: a file cannot be read, so nobody knows.
    """
    try:
        verify(served)
    except Damaged:
        return False
    return True


def identity(model: Mapping[str, str]) -> str:
    """Combines the SHA-256 of a model's files into one for the model."""
    return hashlib.sha256(json.dumps(sorted(model.items())).encode()).hexdigest()


def _split(path: str, trust: Trust = NOBODY) -> tuple[Destination, str]:
    root, _, version = path.rstrip("/").rpartition("/")
    return at(root or "/", trust), version


@contextlib.contextmanager
def readable_errors(what: str) -> Iterator[None]:
    """Turns an OSError into an ImagegateError that starts with `what`."""
    try:
        yield
    except OSError as error:
        raise ImagegateError(f"push: {what}: {error.strerror or error}") from error
