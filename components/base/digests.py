"""SHA-256 of files. A file whose digest this process knows is not read again while its proof is the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection

from components.base import proof
from components.base.files import is_temporary

_known: dict[str, tuple[str, str]] = {}  # path -> (proof, digest)


def of_file(path: str) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    trusted = proof.has_change_times(os.path.dirname(path))
    with open(path, "rb") as f:
        status = os.fstat(f.fileno())
        version = f"{status.st_dev} {status.st_size} {proof.of_status(status, trusted=trusted)}"
        known = _known.get(path)
        if known and known[0] == version and proof.proves(version):
            return known[1]
        digest = hashlib.file_digest(f, "sha256").hexdigest()
    _known[path] = version, digest
    return digest


def of_folder(folder: str, leave_out: Collection[str] = ()) -> dict[str, str]:
    """The SHA-256 of each file below the folder of a stage, by its path relative to the folder, sorted.

    Temporary files are left out, see `files.is_temporary`.

    Args:
        folder: need not exist.
        leave_out: relative paths.
    """
    paths = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]
    relative = sorted(os.path.relpath(path, folder) for path in paths)
    wanted = [name for name in relative if name not in leave_out and not is_temporary(name)]
    return {name: of_file(os.path.join(folder, name)) for name in wanted}
