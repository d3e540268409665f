"""The entries of a listing, and the names that it never yields."""

from __future__ import annotations

from dataclasses import dataclass

# Files and folders, in lower case, of file managers, operating systems and servers: no part of a data set.
_LITTER = frozenset(
    {
        "thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "picasa.ini",
        "icon\r",
        "__macosx",
        "desktop db",
        "desktop df",
        "network trash folder",
        "temporary items",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "msocache",
        "@eadir",
        "#recycle",
        "@recycle",
        "#snapshot",
        "@recently-snapshot",
        "lost+found",
        "lost.dir",
        "__pycache__",
    }
)
# Why a URL is refused.
HOLDS_CREDENTIALS = (
    "the URL holds a password, which would end up in manifests and logs; leave it out, and give it as the store "
    "expects it: in the environment, or in fsspec's configuration"
)


@dataclass(frozen=True, slots=True)
class File:
    """One file below a root.

    Attributes:
        path: relative to the root, separated by "/".
        size: bytes.
        version: text that changes with the content; see `base.proof`.
        problem: why the file must not be read, or "".
    """

    path: str
    size: int
    version: str
    problem: str = ""


def is_url(root: str) -> bool:
    """Whether `root` is an fsspec URL rather than a local path.

    >>> is_url("s3://bucket/images"), is_url("/data/images")
    (True, False)
    """
    return "://" in root


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or belongs to a file manager or an operating system.

    >>> is_litter(".DS_Store"), is_litter("Thumbs.db"), is_litter("__MACOSX"), is_litter("cat.png")
    (True, True, True, False)
    """
    return name.startswith(".") or name.lower() in _LITTER


def litter_in(path: str) -> str:
    """Returns the part of a path down to the first hidden folder or file in it, or "".

    >>> litter_in("cat/@eaDir/1.jpg/thumb.jpg"), litter_in("cat/1.jpg")
    ('cat/@eaDir', '')
    """
    parts = path.split("/")
    return next(("/".join(parts[: i + 1]) for i, part in enumerate(parts) if is_litter(part)), "")
