"""The files of shards: each appears under its name only when it is complete and on disk.

A file that an earlier ingest wrote with the same content is linked instead of kept twice. Nobody changes a shard in
place, and deleting one of two links leaves the other.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from types import MappingProxyType

from components.base import digests
from components.base.files import sync
from components.data.manifest import Shard

PARTIAL = ".partial-"  # with it begin the names of files that are being written
_NOTHING: Mapping[str, str] = MappingProxyType({})


class ShardFile:
    """A TFRecord file that is being written.

    Args:
        folder: of all shards.
        split: name of the split.
        name: of the file within the folder of its split.
        there: SHA-256 -> path of a file that an earlier ingest wrote.
    """

    def __init__(self, folder: str, split: str, name: str, there: Mapping[str, str] = _NOTHING) -> None:
        import tensorflow as tf

        self.split, self.name, self.records = split, f"Split-{split}/{name}", 0
        self._path, self._temporary = _places(folder, split, name)
        self._there = there
        self._writer = tf.io.TFRecordWriter(self._temporary)

    def write(self, example: bytes) -> None:
        self._writer.write(example)
        self.records += 1

    def commit(self) -> Shard:
        self._writer.close()  # raises where the disk is full
        with open(self._temporary, "rb") as f:
            sha256 = hashlib.file_digest(f, "sha256").hexdigest()
            size = f.tell()
        earlier = self._there.get(sha256)
        if earlier is None or not _linked(earlier, sha256, self._temporary):
            sync(self._temporary)
        os.rename(self._temporary, self._path)
        return Shard(name=self.name, split=self.split, records=self.records, bytes=size, sha256=sha256)

    def discard(self) -> None:
        """Removes the partial file of an interrupted write; does nothing after `commit`."""
        if os.path.exists(self._temporary):
            self._writer.close()
            os.unlink(self._temporary)


def link(source: str, folder: str, name: str, entry: Shard) -> Shard | None:
    """Puts a file of an earlier ingest among the shards, as a link or where that cannot be as a copy.

    Args:
        source: folder of the earlier shards.
        folder: of all shards.
        name: of the file within the folder of its split.
        entry: the earlier manifest's, under which it lies below `source`.

    Returns:
        its entry in the new manifest, or None if it is not there any more as it was written.
    """
    path, temporary = _places(folder, entry.split, name)
    if not _linked(os.path.join(source, entry.name), entry.sha256, temporary):
        return None
    os.rename(temporary, path)
    return entry.model_copy(update={"name": f"Split-{entry.split}/{name}"})


def _places(folder: str, split: str, name: str) -> tuple[str, str]:
    """The path of a file, and the unique one that it is written as: two workers may write the same shard."""
    os.makedirs(os.path.join(folder, f"Split-{split}"), exist_ok=True)
    # Beside the split folders rather than in them, where every file is read as data.
    partial = f"{PARTIAL}{split}-{name}.{secrets.token_hex(8)}"
    return os.path.join(folder, f"Split-{split}", name), os.path.join(folder, partial)


def _linked(earlier: str, sha256: str, path: str) -> bool:
    """Puts the file `earlier` at `path` if it has this digest, and says whether it did; a file there is replaced."""
    other = f"{path}.link"
    try:
        if digests.of_file(earlier) != sha256:
            return False
        try:
            os.link(earlier, other)
        except OSError:  # another file system, one without links, or too many of them
            shutil.copyfile(earlier, other)
            sync(other)
        os.replace(other, path)
    except OSError:
        if os.path.exists(other):
            os.unlink(other)
        return False
    return True
