"""Temporary files: a run has a folder of its own for them, and removes what killed runs left."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator

from components.base.files import is_temporary
from pipeline.artifacts.copies import FOLDER as ARTIFACTS


def sweep(output: str) -> None:
    """Removes what killed runs left half written in the folders of the stages. The caller holds the output's lock.

    Args:
        output: folder of all runs.
    """
    for folder, folders, files in os.walk(os.path.join(output, ARTIFACTS)):
        for name in (*folders, *files):
            if is_temporary(name):
                _remove(os.path.join(folder, name))
        folders[:] = [name for name in folders if os.path.isdir(os.path.join(folder, name))]


@contextlib.contextmanager
def own_folder(output: str) -> Iterator[None]:
    """Has this process, and those that it starts, write temporary files to a folder that is removed at the end.

    Libraries leave files and folders behind when a process is killed. The folder has a name that follows from the
    output, so the next run finds and empties it; the caller holds the output's lock, so nobody uses it. Where the
    folder belongs to somebody else, files go to where they would otherwise.

    Args:
        output: folder of all runs.
    """
    digest = hashlib.sha256(os.fsencode(os.path.realpath(output))).hexdigest()[:16]
    place = os.path.join(tempfile.gettempdir(), f"imagegate-{os.getuid()}-{digest}")
    before, named = tempfile.tempdir, os.environ.get("TMPDIR")
    try:
        _remove(place)
        os.mkdir(place, 0o700)
    except OSError:
        yield
        return
    tempfile.tempdir = os.environ["TMPDIR"] = place
    try:
        yield
    finally:
        tempfile.tempdir = before
        if named is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = named
        _remove(place)


def _remove(path: str) -> None:
    """Removes a file, a link or a folder as far as that is possible; follows no link."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(path)
