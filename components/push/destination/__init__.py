"""Push destinations, which hold versions of a model: a local folder, or an object store behind an fsspec URL.

Both offer the same operations, so that no other code depends on the kind. A version is a folder whose name is a
number. A version without `imagegate.json` is incomplete, or was not pushed by imagegate.
"""

from __future__ import annotations

from components.push.destination.base import (
    MARKER,
    PULLED,
    UNLISTED,
    Content,
    Destination,
    Fetch,
    NoNumber,
    Unreadable,
    digests,
    number,
    parsed,
)
from components.push.destination.folder import Folder, is_local, local_path
from components.push.destination.store import Store
from components.push.signing.trust import NOBODY, Trust

__all__ = [
    "MARKER",
    "PULLED",
    "UNLISTED",
    "Content",
    "Destination",
    "Fetch",
    "Folder",
    "NoNumber",
    "Unreadable",
    "at",
    "digests",
    "is_local",
    "local_path",
    "number",
    "parsed",
]


def at(root: str, trust: Trust = NOBODY) -> Destination:
    """Opens the folder or fsspec URL that holds the versions.

    Args:
        root: of the versions.
        trust: whose signatures they need, and with which key new ones are signed.

    Raises:
        ConfigError: the URL cannot be opened, or holds what should be secret.
    """
    place = Folder(root) if is_local(root) else Store(root)
    place.trust = trust
    return place
