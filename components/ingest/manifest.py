"""Reads, writes and verifies the manifest beside the shards."""

from __future__ import annotations

import os

from components.base import digests
from components.base.artifact_files import DATASET_MANIFEST
from components.base.errors import ImagegateError
from components.base.files import write_atomically
from components.data.manifest import DatasetManifest


def write(folder: str, manifest: DatasetManifest) -> None:
    """Writes the manifest beside the shards, in one step."""
    write_atomically(os.path.join(folder, DATASET_MANIFEST), manifest.to_json(indent=1))


def read(folder: str) -> DatasetManifest:
    """Reads the manifest of the shards in `folder`, which are not checked; see `verify`.

    Raises:
        ImagegateError: it is not a manifest, or that of another release.
    """
    path = os.path.join(folder, DATASET_MANIFEST)
    with open(path, encoding="utf-8") as f:
        content = f.read()
    try:
        return DatasetManifest.from_json(content)
    except ValueError:
        raise ImagegateError(f"{path} was damaged or written by another release; run again with --force") from None


def verify(folder: str, split: str) -> list[str]:
    """Compares the shard files of one split with the manifest.

    TensorFlow reads a shard that was truncated at a record boundary without an error; only the digest reveals it.

    Returns:
        paths of the files, sorted.

    Raises:
        ImagegateError: a file is missing, was changed, or is not in the manifest.
    """
    wanted = {file.name: file for file in read(folder).files if file.split == split}
    split_folder = os.path.join(folder, f"Split-{split}")
    there = {f"Split-{split}/{name}" for name in (os.listdir(split_folder) if os.path.isdir(split_folder) else ())}
    again = "run again with --force"
    for name in sorted(there ^ set(wanted)):
        what = "is missing" if name in wanted else "is not in the manifest"
        raise ImagegateError(f"{folder}: shard {name} {what}; {again}")
    for name, entry in sorted(wanted.items()):
        sha256 = digests.of_file(os.path.join(folder, name))
        if sha256 != entry.sha256:
            raise ImagegateError(
                f"{folder}: shard {name} changed after it was written: expected SHA-256 {entry.sha256}, "
                f"found {sha256}; {again}"
            )
    return [os.path.join(folder, name) for name in sorted(wanted)]
