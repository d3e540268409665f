"""Files that appear under their name as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator

# Names of files and folders that a stage writes on its way: of ingest's shards, plan and reports, of files that replace
# others, of TFX, TensorFlow Transform and Beam's file sinks.
_TEMPORARY_BEGINNINGS = (".partial-", ".new.", "beam-temp-")
_TEMPORARY_NAMES = (".plan", ".reports", ".temp", ".temp_path")


def is_temporary(path: str) -> bool:
    """Whether a file in the folder of a stage is no part of its results, by its path in the folder.

    A worker that an engine has given up may still write such files when the stage has ended.
    """
    parts = path.split("/")
    return any(part.startswith(_TEMPORARY_BEGINNINGS) or part in _TEMPORARY_NAMES for part in parts)


def write_atomically(path: str, content: str | bytes, *, shared: bool = False) -> None:
    """Writes a file whose reader sees the old content or the new one, even after a crash or a power failure.

    Args:
        path: of the file.
        content: all of it; text becomes UTF-8.
        shared: whether others may write the same file at the same time, on this machine or another one.

    Raises:
        OSError: the file cannot be written; it names `path`, and the old file is unchanged.
    """
    with replacing(path, shared=shared) as temporary, open(temporary, "wb") as f:
        f.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: str, *, shared: bool = False) -> Iterator[str]:
    """Yields the path of a temporary file that replaces `path` when the block ends; on an error it is removed.

    For writers that open a file themselves. It has the ending of `path`, by which some choose their format. Unless
    others may write the same file (`shared`), it has one name, so that killed writers leave one file at most.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".new.{secrets.token_hex(8)}.{name}" if shared else f".new.{name}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)  # of a writer that was killed
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename == temporary:
            error.filename = path
        raise


def sync(path: str) -> None:
    """Waits until a file or a folder's list of names is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
