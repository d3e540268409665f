"""The manifest beside the shards: one JSON object that says what they hold; see `census.merge`. Every reader checks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from components.base.artifact_files import DATASET_MANIFEST
from components.base.errors import ImagegateError
from components.base.files import write_atomically


def write(folder: str, manifest: Mapping[str, Any]) -> None:
    """Puts the manifest beside the shards, in one step."""
    write_atomically(os.path.join(folder, DATASET_MANIFEST), json.dumps(manifest, ensure_ascii=True, indent=1))


def read(folder: str) -> dict[str, Any]:
    """The manifest of the shards in `folder`, unchecked; see `verify`."""
    with open(os.path.join(folder, DATASET_MANIFEST), encoding="utf-8") as f:
        manifest: dict[str, Any] = json.load(f)
    return manifest


def verify(folder: str, split: str) -> list[str]:
    """The shard files of one split, after comparing each with the manifest.

    A shard cut at a record boundary reads without any error; only size and digest tell.

    Returns:
        paths, sorted.

    Raises:
        ImagegateError: a file is missing, changed, or one too many.
    """
    wanted = {f["name"]: f for f in read(folder)["files"] if f["split"] == split}
    split_folder = os.path.join(folder, f"Split-{split}")
    there = {f"Split-{split}/{name}" for name in (os.listdir(split_folder) if os.path.isdir(split_folder) else ())}
    again = "run again with --force"
    for name in sorted(there ^ set(wanted)):
        what = "is missing" if name in wanted else "is not in the manifest"
        raise ImagegateError(f"{folder}: shard {name} {what}; {again}")
    for name, entry in sorted(wanted.items()):
        with open(os.path.join(folder, name), "rb") as f:
            sha256 = hashlib.file_digest(f, "sha256").hexdigest()
        if sha256 != entry["sha256"]:
            raise ImagegateError(
                f"{folder}: shard {name} changed after it was written: expected SHA-256 {entry['sha256']}, "
                f"found {sha256}; {again}"
            )
    return [os.path.join(folder, name) for name in sorted(wanted)]
