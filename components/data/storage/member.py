"""One entry of an archive, of any format."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class Kind(enum.Enum):
    FILE = enum.auto()
    FOLDER = enum.auto()
    LINK = enum.auto()  # by a path, as `ln -s` makes it
    SAME = enum.auto()  # another name of a file that is in the archive, as `ln` makes it
    OTHER = enum.auto()  # devices and pipes


@dataclass(slots=True)
class Member:
    """Attributes:
    name: as the archive spells it.
    kind: what it is.
    size: bytes of the content, as the archive declares it; a reader never returns more.
    version: text that changes with the content.
    offset: where in the archive it is: the content in a tar archive, the header before it in a ZIP archive.
    target: of a link: path from the top of the archive, which may lead out of it.
    problem: why it must not be read, or "".
    packed, method, crc: of a ZIP archive: bytes as stored, how they are compressed, CRC-32 of the content.
    """

    name: str
    kind: Kind
    size: int
    version: str
    offset: int
    target: str = ""
    problem: str = ""
    packed: int = 0
    method: int = 0
    crc: int = 0


class Format(Protocol):
    """Attributes:
    notes: sentences on what had to be guessed, complete after `members` ended.
    """

    notes: list[str]

    def members(self) -> Iterator[Member]:
        """Yields every entry in order.

        Raises:
            Damaged: the archive cannot be listed.
        """
        ...

    def content(self, member: Member) -> bytes:
        """Returns the content of a file. Threads may call it at once.

        Raises:
            OSError: it cannot be read.
        """
        ...


class Damaged(Exception):
    """An archive is truncated, damaged or of another kind; the message completes "PATH …"."""


def clean(name: str) -> str | None:
    """Returns the path of a name without needless parts; "" for the top, and None if it leads out of the archive.

    >>> clean("./cat//1.png"), clean("../1.png"), clean("/etc/passwd"), clean("C:/1.png")
    ('cat/1.png', None, None, None)
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:[/\\]", name):
        return None
    return "/".join(parts)
