"""The digests of what a stage wrote, taken once when it has ended."""

from __future__ import annotations

import json
import os

from components.base import digests
from components.base.artifact_files import DATASET_MANIFEST, LEDGER
from components.base.values import parsed_json
from components.ingest import manifest

FOLDER = "digests"  # in the output, outside of the artifacts
LEFT_OUT = (LEDGER,)  # a run may refresh its proofs


def take(folder: str) -> dict[str, str]:
    """The SHA-256 of each file of an artifact, by its path in it; shards are not read again."""
    # Ingest took the digests of its shards when it wrote them.
    shards = manifest.read(folder).files if os.path.exists(os.path.join(folder, DATASET_MANIFEST)) else ()
    known = {shard.name: shard.sha256 for shard in shards}
    return digests.of_folder(folder, (*LEFT_OUT, *known)) | known


def record(output: str, folder: str) -> str:
    """Path of the file with the digests of an artifact.

    Args:
        output: folder of all runs.
        folder: of the artifact, below the output.
    """
    return os.path.join(output, FOLDER, os.path.relpath(folder, output) + ".json")


def parse(content: str | bytes) -> dict[str, str] | None:
    """Reads the content of such a file; None if it is damaged."""
    try:
        found = parsed_json(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) and all(isinstance(v, str) for v in found.values()) else None


def render(found: dict[str, str]) -> str:
    """What `parse` reads."""
    return json.dumps(found, indent=1)
