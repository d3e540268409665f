"""The operations of a push destination, and the digests and manifest of a version."""

from __future__ import annotations

import abc
import contextlib
import errno
import hashlib
import io
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from components.base.artifact_files import PUSHED_MANIFEST, SIGNATURE
from components.base.errors import ImagegateError
from components.base.values import parsed_json
from components.push.signing.trust import NOBODY, Trust

MARKER = ".imagegate-incomplete"  # in a version of an object store while it is uploaded or removed
PULLED = ".imagegate-pulled-from"  # in a local folder of pulled versions: the destination that they are from
LARGEST_MANIFEST = 2**26  # bytes; those of 1,000 labels have a few million. Chosen by hand; not measured
LARGEST_SIGNATURE = 2**22  # bytes; one of 20 files has 5,000. Chosen by hand; not measured
LARGEST_FILES = {PUSHED_MANIFEST: LARGEST_MANIFEST, SIGNATURE: LARGEST_SIGNATURE}
UNLISTED = (PUSHED_MANIFEST, SIGNATURE, MARKER)  # files of a version that its manifest does not name
LARGEST = 2**63 - 1  # TensorFlow Serving reads version numbers as int64

Content = str | bytes  # path of a local file, or the content of a file
Fetch = Callable[[str], None]  # writes a file to this path
Seal = Callable[[dict[str, str]], bytes]


class NoNumber(ImagegateError):
    """A destination holds the largest number that a version can have."""


class Unreadable(OSError):
    """What has a file's name is none, such as a link, or is too large."""


class Destination(abc.ABC):
    """A root with versions below it. Errors of the disk or store are raised as OSError.

    Attributes:
        root: folder or URL.
        trust: whose signatures versions need, and with which key new ones are signed.
    """

    root: str
    trust: Trust = NOBODY

    @abc.abstractmethod
    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Excludes other writers, for whom it waits; whoever writes or removes needs it. Creates a local root."""

    @abc.abstractmethod
    def versions(self) -> list[str]:
        """Returns every name that is a version number, the largest first, also of incomplete and foreign versions."""

    def next_version(self) -> str:
        """The name of the next version: seconds since 1970, or one more than the largest where that is not more.

        Raises:
            NoNumber: there is none that is larger.
        """
        taken = self.versions()
        wanted = max(int(time.time()), 1 + (number(taken[0]) or 0) if taken else 0)
        if wanted > LARGEST:
            raise NoNumber(
                f"push.destination: {self.root} holds {taken[0]!r}, and TensorFlow Serving reads no number that is "
                "larger, so no version can follow it; move it away, or choose another folder"
            )
        return str(wanted)

    @abc.abstractmethod
    def read(self, version: str, name: str) -> bytes | None:
        """Reads a file of a version; None if it does not exist.

        Raises:
            Unreadable: it is no file; or the signature or manifest, and larger than that may be.
        """

    @abc.abstractmethod
    def has(self, version: str, name: str) -> bool:
        """Whether a version has a file of this name, or what stands in its place; reads nothing of it."""

    @abc.abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Writes a file beside the versions, or replaces it, as a whole; the destination is locked."""

    @abc.abstractmethod
    def beside(self, folder: str) -> list[str]:
        """Lists the files in a folder beside the versions; none where there is no such folder."""

    @abc.abstractmethod
    def digests(self, version: str) -> dict[str, str]:
        """Computes the SHA-256 of every file of a version by its relative path; see `digests`."""

    @abc.abstractmethod
    def names(self, version: str) -> list[str]:
        """Lists the relative paths of a version's files, and of links in their place; without those of `UNLISTED`."""

    @abc.abstractmethod
    def get(self, version: str, name: str, path: str) -> None:
        """Copies a file of a version to a local path, whose folder exists; one behind a link is an OSError."""

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

    @contextlib.contextmanager
    def copied(self, version: str) -> Iterator[str]:
        """Provides a copy of the version's files, but for its signature, which nobody else can change."""
        with tempfile.TemporaryDirectory(prefix="imagegate-") as folder:
            for name in (PUSHED_MANIFEST, *self.names(version)):
                path = os.path.join(folder, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                self.get(version, name, path)
            yield folder


def parsed(content: bytes | None) -> dict[str, Any] | None:
    """Parses a manifest; None if it is missing, truncated, too large or deep, or not one of imagegate.

    >>> parsed(b'{"files": {"saved_model.pb": "ab12"}}')
    {'files': {'saved_model.pb': 'ab12'}}
    >>> parsed(b'{"files": {"saved_mo')
    """
    if content is None or len(content) > LARGEST_MANIFEST:
        return None
    try:
        manifest = parsed_json(content)
    except ValueError:
        return None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        return None
    return manifest


def digests(folder: str) -> dict[str, str]:
    """Computes the SHA-256 of every file below `folder`, except those of `UNLISTED`, by path relative to it.

    Raises:
        Unreadable: a file or folder in it is a link, or a file is not a regular one.
        OSError: a file or folder cannot be read or does not exist.
    """
    by_path = {}
    for name in listed(folder):
        with open_regular(os.path.join(folder, name)) as f:
            by_path[name] = hashlib.file_digest(f, "sha256").hexdigest()
    return by_path


def listed(folder: str) -> list[str]:
    """Lists every file below `folder`, and every link, also to a folder, except those of `UNLISTED`; sorted.

    Raises:
        OSError: a folder cannot be read or does not exist.
    """
    found = set()
    for parent, folders, names in os.walk(folder, onerror=raise_):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        found |= {os.path.relpath(os.path.join(parent, name), folder) for name in (*names, *links)}
    return sorted(found - {*UNLISTED})


def open_regular(path: str) -> io.BufferedReader:
    """Opens a file to read it. A link might lead anywhere, and a pipe would make its reader wait.

    Raises:
        Unreadable: it is a link, or no regular file, such as a folder.
        OSError: it does not exist, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Unreadable(f"{path} is a link, which is not followed") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable(f"{path} is not a regular file")
    return open(descriptor, "rb")


def check_size(path: str, name: str, size: int) -> None:
    """Requires that a file of that name may have so many bytes; it is read into memory as a whole.

    Raises:
        Unreadable: it has more.
    """
    if size > (largest := LARGEST_FILES.get(name, size)):
        raise Unreadable(f"{path} has {size:,} bytes, expected {largest:,} at most")


def raise_(error: OSError) -> None:
    """For `os.walk`, which otherwise goes on without what it cannot read."""
    raise error


def number(name: str) -> int | None:
    """The version number that TensorFlow Serving reads in a name, as int64; None if it ignores the name.

    As `ParseVersionNumber` in file_system_storage_path_source.cc does: spaces around and leading zeros are allowed, and
    whether the name is that of a folder is not asked.

    >>> [number(n) for n in ("1700000000", "0012", "-7", "12.tmp", "latest", "9223372036854775808")]
    [1700000000, 12, -7, None, None, None]
    """
    if not re.fullmatch(r"[ \t\n\v\f\r]*[-+]?[0-9]{1,4000}[ \t\n\v\f\r]*", name):
        return None
    value = int(name)
    return value if -LARGEST - 1 <= value <= LARGEST else None


def served_first(names: Iterable[str]) -> list[str]:
    """Picks the names that are version numbers, the largest number first; of equal ones the one that is served first.

    >>> served_first(["9", "12", "0012", ".staging-7", "latest"])
    ['12', '0012', '9']
    """
    found = [(value, name) for name in names if (value := number(name)) is not None]
    return [name for _, name in sorted(found, reverse=True)]
