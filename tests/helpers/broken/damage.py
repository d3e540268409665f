"""Files that a disk has damaged: at random positions, in the ways in which disks and people do it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

KINDS = ("a bit", "a cut", "a zeroed block", "another file in its place", "more at the end", "nothing left")
_BLOCK = 512


def damaged(content: bytes, others: Sequence[bytes], kind: str, draws: random.Random) -> bytes:
    """The content of a file after it was damaged; never what it was.

    Args:
        content: of the file.
        others: contents of the files that another one may be swapped with.
        kind: one of `KINDS`.
        draws: random numbers.
    """
    place = draws.randrange(len(content)) if content else 0
    different = [other for other in others if other != content]
    if kind == "a bit" and content:
        flipped = bytearray(content)
        flipped[place] ^= 1 << draws.randrange(8)
        return bytes(flipped)
    if kind == "a cut" and content:
        return content[:place]
    if kind == "a zeroed block" and any(content[place : place + _BLOCK]):
        end = min(place + _BLOCK, len(content))
        return content[:place] + bytes(end - place) + content[end:]
    if kind == "another file in its place" and different:
        return draws.choice(different)
    if kind == "nothing left" and content:
        return b""
    return content + draws.randbytes(draws.randint(1, _BLOCK))


class Files:
    """The files below a folder, of which one at a time is damaged.

    Args:
        folder: the folder.
        pattern: which files.
        leave_out: the name of those that are left alone.
    """

    def __init__(self, folder: Path, pattern: str = "**/*", leave_out: str = "") -> None:
        paths = [path for path in sorted(folder.glob(pattern)) if path.is_file() and path.name != leave_out]
        self._whole = {path: path.read_bytes() for path in paths}
        assert self._whole, f"nothing like {pattern} in {folder}"
        self.path = Path()

    def damage(self, draws: random.Random) -> str:
        """Damages one of them; returns what was done, for messages."""
        self.path = draws.choice(list(self._whole))
        kind = draws.choice(KINDS)
        self.path.write_bytes(damaged(self._whole[self.path], list(self._whole.values()), kind, draws))
        return f"{self.path}: {kind}"

    def mend(self) -> None:
        """Brings the damaged one back."""
        self.path.write_bytes(self._whole[self.path])
