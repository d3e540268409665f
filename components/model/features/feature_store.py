"""Features of a frozen backbone, kept between runs, so that each image is computed once for a backbone and a size.

A folder per key holds parts: files of digests of encoded images and their features. A part is named by its own digest,
is written in one step and never changed, so several runs may write at once, and a damaged part is not used.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Container, Mapping

import numpy as np
from numpy.typing import NDArray

from components.base.files import write_atomically

COMPARED = "copies-"  # begins the keys under which pairs of images have a number instead; see `agreements`
_ENDING = ".npz"


class FeatureStore:
    """The features of one key.

    Args:
        folder: folder of all keys; "": nothing is kept.
        key: of the network, its input size and everything else that the features depend on; a file name.
    """

    def __init__(self, folder: str, key: str) -> None:
        self._folder = os.path.join(folder, key) if folder else ""

    def read(self, wanted: Container[bytes] | None = None) -> dict[bytes, NDArray[np.float32]]:
        """Returns digest -> features [F] of all images, or of those that are wanted; marks the key as used now."""
        found: dict[bytes, NDArray[np.float32]] = {}
        if not self._folder or not os.path.isdir(self._folder):
            return found
        os.utime(self._folder)
        for name in sorted(os.listdir(self._folder)):
            if name.endswith(_ENDING):
                part = _part(os.path.join(self._folder, name))
                # Copied, since a row would keep the whole part in memory.
                found |= part if wanted is None else {key: row.copy() for key, row in part.items() if key in wanted}
        return found

    def add(self, rows: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Writes features in a part of their own.

        Raises:
            OSError: the part cannot be written.
        """
        if not self._folder or not rows:
            return
        content = io.BytesIO()
        digests = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)
        np.savez(content, digests=digests, features=np.stack(list(rows.values())).astype(np.float32))
        os.makedirs(self._folder, exist_ok=True)
        name = hashlib.sha256(content.getvalue()).hexdigest()
        write_atomically(os.path.join(self._folder, name + _ENDING), content.getvalue())


def digest(encoded: bytes) -> bytes:
    """Digest of an encoded image, 32 bytes."""
    return hashlib.sha256(encoded).digest()


def _part(path: str) -> dict[bytes, NDArray[np.float32]]:
    """Reads a part; nothing if its content is not what its name says."""
    try:
        with open(path, "rb") as f:
            content = f.read()
    except OSError:
        return {}
    if hashlib.sha256(content).hexdigest() + _ENDING != os.path.basename(path):
        return {}
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {row.tobytes(): f for row, f in zip(arrays["digests"], arrays["features"], strict=True)}
    except (ValueError, LookupError, EOFError, zipfile.BadZipFile):  # another program's file, or a pickle
        return {}
