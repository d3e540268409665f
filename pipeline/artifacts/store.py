"""The store of `output.artifacts`: what the stages wrote, and the copies of it on this machine.

In the store, an artifact is the folder STAGE/KEY/EXECUTION, as in the folder `pipeline` of the output, where its copy
is. Beside it, below `.complete`, is a record with the digests of its files. It is written last and removed first, so an
artifact without it is the remains of an upload or a removal that was killed, and nobody takes it for a result.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from components.base.errors import ConfigError
from components.base.files import is_temporary, write_atomically
from components.base.text import truncated_list
from components.data.storage import calls
from components.data.storage.objects import Objects, each
from pipeline import stages
from pipeline.artifacts import written
from pipeline.artifacts.copies import FOLDER, KEY, Copies, StoreError
from pipeline.artifacts.owner import Owner

_COMPLETE = ".complete"


@dataclass(frozen=True)
class Stored:
    """An artifact in the store.

    Attributes:
        size: bytes.
        complete: whether its record is there.
    """

    size: int
    complete: bool


class ArtifactStore:
    """The artifacts of one output behind a URL.

    Args:
        url: `output.artifacts`.
        output: folder of all runs.

    Raises:
        ConfigError: fsspec cannot open such a URL.
    """

    def __init__(self, url: str, output: str) -> None:
        self.url, self._output = url.rstrip("/"), output
        self._left_none = set[str]()  # URLs of artifacts whose stage left no folder, see `Baseline`
        self._objects = Objects(self.url, KEY)
        self._owner, self._copies = Owner(self._objects, output), Copies(self._objects, output)

    def check(self) -> None:
        """Says before a run what would keep it from writing; leaves no file behind.

        Raises:
            ConfigError: the store cannot be reached, read or written, or others write to this URL.
        """
        try:
            self._objects.check()
            other = self._owner.other()
            foreign = "" if self._owner.exists() else next(iter(self._objects.names()), "")
        except OSError as error:
            raise ConfigError(
                f"{KEY}: {self.url} cannot be written: {calls.reason(error)}; check that the bucket exists, and the "
                "credentials in the environment"
            ) from None
        if other:
            raise ConfigError(
                f"{KEY}: {self.url} holds what another output wrote ({other}); choose another folder or, if that "
                f"output is gone, remove all of {self.url}"
            )
        if foreign:
            raise ConfigError(
                f"{KEY}: {self.url} holds files that no run wrote there, such as {foreign}; choose a folder of its own"
            )

    def begin(self, name: str) -> None:
        """Takes the URL for this output, and sweeps what killed uploads left there. The caller holds the output's lock.

        Args:
            name: of the configuration, for people who look who writes there.

        Raises:
            ConfigError: see `check`.
            StoreError: the store cannot be written.
        """
        self.check()
        with self._told("written"):
            self._owner.take(name)
        self.check()  # of two that came at once, one goes on
        for path, stored in self.artifacts().items():
            if not stored.complete:
                self.remove(path)

    def probe(self) -> None:
        """Says before a stage, which may take hours, that its results could not be stored, as with expired credentials.

        Raises:
            StoreError: the store cannot be read or written.
        """
        with self._told("written"):
            self._objects.check()

    def is_own(self) -> bool:
        """Whether what lies in the store is this output's.

        Raises:
            StoreError: the store cannot be read.
        """
        with self._told("read"):
            return self._owner.is_own()

    def uri(self, path: str) -> str:
        """The URL of an artifact.

        Args:
            path: relative to the output, as in `artifacts`.
        """
        return "/".join([self.url, *path.split(os.sep)[1:]])

    def local(self, uri: str) -> str:
        """The path of the copy of what lies at a URL below that of the store."""
        return self._copies.folder(self._name_of(uri))

    def artifacts(self) -> dict[str, Stored]:
        """What lies in the store, by its path relative to the output; also what is incomplete.

        Raises:
            StoreError: it cannot be listed.
        """
        with self._told("listed"):
            names = self._objects.names()
        sizes, complete = dict[str, int](), set[str]()
        for name, size in names.items():
            record = name.startswith(f"{_COMPLETE}/")
            parts = (name.removeprefix(f"{_COMPLETE}/").removesuffix(".json") if record else name).split("/")
            if len(parts) >= 3 and parts[0] in stages.BY_NAME and parts[2].isdecimal():
                path = os.path.join(FOLDER, *parts[:3])
                sizes[path] = sizes.get(path, 0) + (0 if record else size)
                complete |= {path} if record else set()
        return {path: Stored(size, path in complete) for path, size in sorted(sizes.items())}

    def is_complete(self, uri: str) -> bool:
        """Whether the artifact at a URL is there as a whole."""
        with self._told("read"):
            return self._objects.read(f"{_COMPLETE}/{self._name_of(uri)}.json") is not None

    def send(self, uri: str, there: Mapping[str, str] | None = None) -> None:
        """Uploads an artifact from its copy. A file that an earlier one of the stage has, too, is copied in the store.

        A stage that left no folder has no result: then there is nothing in the store either.

        Args:
            uri: of the artifact.
            there: digests of the files that are in the store already, as workers wrote them.

        Raises:
            StoreError: the store cannot be written.
        """
        folder, name = self.local(uri), self._name_of(uri)
        if not os.path.isdir(folder):
            self._left_none.add(uri)
            return
        sums = written.take(folder)
        files = sorted({*sums, *(f for f in written.LEFT_OUT if os.path.exists(os.path.join(folder, f)))})
        known, there = self._copies.earlier(name), there or {}

        def put(file: str) -> None:
            digest = sums.get(file, "")
            if digest and there.get(file) == digest:
                return
            if (source := known.get(digest)) is not None:
                with contextlib.suppress(FileNotFoundError):
                    self._objects.copy(source, f"{name}/{file}")
                    return
            self._objects.put(f"{name}/{file}", os.path.join(folder, *file.split("/")))

        with self._told("written", uri):
            for left in set(self._objects.names(name)) - set(there):  # of a run whose metadata are gone
                self._objects.remove(f"{name}/{left}")
            each(put, files)
            sizes = {file: os.path.getsize(os.path.join(folder, *file.split("/"))) for file in files}
            if (found := self._objects.names(name)) != sizes:
                wrong = truncated_list(sorted(f for f in {*found, *sizes} if found.get(f) != sizes.get(f)))
                raise StoreError(f"{KEY}: {uri} was not stored as it was written: {wrong}; run again")
            self._objects.put(f"{_COMPLETE}/{name}.json", written.render(sums).encode())

    def fetch(self, uri: str) -> str:
        """The folder with the copy of an artifact, which is downloaded if it is not there.

        Raises:
            StoreError: the store cannot be read, or holds something else than what was written there.
        """
        folder = self.local(uri)
        if os.path.isdir(folder) or uri in self._left_none:
            return folder
        name = self._name_of(uri)
        with self._told("read", uri):
            content = self._objects.read(f"{_COMPLETE}/{name}.json")
            if content is None or (sums := written.parse(content)) is None:
                raise StoreError(f"{KEY}: {uri} is not complete; run again with --force")
            files = [*sums, *(f for f in written.LEFT_OUT if f in self._objects.names(name))]
        self.download(uri, files, sums)
        write_atomically(_made(written.record(self._output, folder)), written.render(sums))
        return folder

    def restore(self, stage: str, key: str) -> None:
        """Fetches the newest artifact of a stage, unless there is a copy of any.

        Raises:
            StoreError: as in `fetch`.
        """
        folder = self.local(f"{self.url}/{stage}/{key}")
        if os.path.isdir(folder) and any(name.isdecimal() for name in os.listdir(folder)):
            return
        with self._told("listed"):
            records = self._objects.names(f"{_COMPLETE}/{stage}/{key}")
        if numbers := [int(name.removesuffix(".json")) for name in records if name.removesuffix(".json").isdecimal()]:
            self.fetch(f"{self.url}/{stage}/{key}/{max(numbers)}")

    def download(self, uri: str, files: Collection[str], sums: Mapping[str, str]) -> None:
        """Makes the copy of an artifact; see `Copies.fill`.

        Args:
            uri: of the artifact.
            files: their paths in it.
            sums: SHA-256 by path, of those that must have it.

        Raises:
            StoreError: the store cannot be read, or holds something else.
        """
        with self._told("read", uri):
            self._copies.fill(self._name_of(uri), files, sums)

    def compare(self, uri: str) -> None:
        """Compares the sizes of an artifact's files in the store with those of its copy, before workers read it there.

        Raises:
            StoreError: they differ, or the store cannot be read.
        """
        folder, name = self.local(uri), self._name_of(uri)
        with self._told("read", uri):
            found = self._objects.names(name)
        for file in written.take(folder):
            size = os.path.getsize(os.path.join(folder, *file.split("/")))
            if found.get(file) != size:
                raise StoreError(
                    f"{KEY}: {uri}/{file} changed after it was written: expected {size:,} bytes, found "
                    f"{found.get(file, 0):,}; run again with --force"
                )

    def settle(self, uri: str) -> None:
        """Makes the copy of an artifact that workers wrote to the store, and completes it.

        Raises:
            StoreError: the store cannot be read or written.
        """
        folder, name = self.local(uri), self._name_of(uri)
        shutil.rmtree(folder, ignore_errors=True)
        with self._told("read", uri):
            files = [file for file in self._objects.names(name) if not is_temporary(file)]
        self.download(uri, files, {})
        with self._told("written", uri):
            self._objects.put(f"{_COMPLETE}/{name}.json", written.render(written.take(folder)).encode())

    def remove(self, path: str) -> None:
        """Removes an artifact from the store, if it is there.

        Args:
            path: relative to the output, as in `artifacts`.

        Raises:
            StoreError: it cannot be removed.
        """
        self.remove_at(self.uri(path))

    def remove_at(self, uri: str) -> None:
        """Removes what lies at a URL below that of the store, if anything does: an artifact, or a folder of TFX's own.

        Raises:
            StoreError: it cannot be removed.
        """
        name = self._name_of(uri.rstrip("/"))
        with self._told("removed", uri):
            self._objects.remove(f"{_COMPLETE}/{name}.json")
            self._objects.remove_folder(name)

    def _name_of(self, uri: str) -> str:
        name = uri.removeprefix(self.url + "/")
        if name == uri or ".." in name.split("/"):
            raise StoreError(f"{uri} does not lie below {KEY} {self.url}; run again with --force")
        return name

    @contextlib.contextmanager
    def _told(self, what: str, uri: str = "") -> Iterator[None]:
        """Turns an error of the store into a sentence."""
        try:
            yield
        except OSError as error:
            of_disk = error.filename and os.path.isabs(str(error.filename)) and os.path.lexists(error.filename)
            if of_disk or error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # of this machine
            raise StoreError(
                f"{KEY}: {uri or self.url} cannot be {what}: {calls.reason(error)}; run again once it can, and the "
                "run goes on from there"
            ) from error


def of(url: str, output: str) -> ArtifactStore | None:
    """The store of a configuration; None if stages write to this machine alone."""
    return ArtifactStore(url, output) if url else None


def _made(path: str) -> str:
    """The path, whose folder is made."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path
