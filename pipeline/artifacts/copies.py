"""The copies on this machine of what lies in the store: folders STAGE/KEY/EXECUTION in the folder `pipeline`."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Mapping

from components.base import digests
from components.base.errors import ImagegateError
from components.data.storage.objects import Objects, each
from pipeline.artifacts import written

FOLDER = "pipeline"  # of the copies, below the output
KEY = "output.artifacts"
_NEW = ".new."  # beginning of a folder in the output that is being filled


class StoreError(ImagegateError):
    """The store cannot be read or written, or its content is not what was written there."""


class Copies:
    """The copies of an output.

    Args:
        objects: of the store.
        output: folder of all runs.
    """

    def __init__(self, objects: Objects, output: str) -> None:
        self._objects, self._output = objects, output

    def folder(self, name: str) -> str:
        """The folder of a copy.

        Args:
            name: of the artifact in the store.
        """
        return os.path.join(self._output, FOLDER, *name.split("/"))

    def earlier(self, name: str) -> dict[str, str]:
        """The files of other executions of the same stage that have a copy: SHA-256 -> name in the store."""
        found: dict[str, str] = {}
        parent, _, own = name.rpartition("/")
        folder = self.folder(parent)
        numbers = [n for n in (os.listdir(folder) if os.path.isdir(folder) else ()) if n.isdecimal() and n != own]
        for number in sorted(numbers, key=int, reverse=True):
            try:
                with open(written.record(self._output, os.path.join(folder, number)), encoding="utf-8") as f:
                    sums = written.parse(f.read()) or {}
            except OSError:
                continue
            for file, digest in sums.items():
                found.setdefault(digest, f"{parent}/{number}/{file}")
        return found

    def fill(self, name: str, files: Collection[str], sums: Mapping[str, str]) -> None:
        """Downloads an artifact; its copy appears as a whole, unless its folder is there already. Files that an earlier
        copy has are linked.

        Args:
            name: of the artifact in the store.
            files: their paths in it.
            sums: SHA-256 by path, of those that must have it.

        Raises:
            OSError: the store cannot be read, or the disk cannot be written.
            StoreError: the store holds something else.
        """
        new = os.path.join(self._output, _NEW + name.replace("/", "-"))
        known = self.earlier(name)

        def get(file: str) -> None:
            path, expected = os.path.join(new, *_inside(file).split("/")), sums.get(file, "")
            if expected in known and _linked(self.folder(known[expected]), expected, path):
                return
            self._objects.get(f"{name}/{file}", path)
            if expected:
                with open(path, "rb") as f:
                    found = hashlib.file_digest(f, "sha256").hexdigest()
                if found != expected:
                    raise StoreError(
                        f"{KEY}: {self._objects.url}/{name}/{file} changed after it was written: expected SHA-256 "
                        f"{expected}, found {found}; run again with --force"
                    )

        shutil.rmtree(new, ignore_errors=True)  # of a run that was killed
        os.makedirs(new)
        try:
            each(get, sorted(files))
            target = self.folder(name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if os.path.isdir(target):  # of an ingest that still runs: its plan and reports are there
                for entry in os.listdir(new):
                    os.rename(os.path.join(new, entry), os.path.join(target, entry))
                os.rmdir(new)
            else:
                os.rename(new, target)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise


def _inside(file: str) -> str:
    """Refuses a name that leads out of its folder."""
    if file.startswith("/") or ".." in file.split("/"):
        raise StoreError(f"{KEY}: a record of the store names {file!r}, which leads out of its folder")
    return file


def _linked(source: str, sha256: str, path: str) -> bool:
    """Puts the file `source` at `path` if it has this digest, and says whether it did."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        if digests.of_file(source) != sha256:
            return False
        os.link(source, path)
    except OSError:
        return False
    return True
