"""A mark in the output while images are read, by which the next command knows that the last one died over them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from components.base import progress

_NAME = "reading-images"


@contextlib.contextmanager
def reading(output: str, command: str) -> Iterator[bool]:
    """Marks the output while the block runs. Yields whether a mark was left there.

    A decoder that crashes ends its process at once, and the mark stays, as it does after a kill. Then each image should
    be read in another process, so that the next crash takes that image and not the command; after a kill for any other
    reason that costs seconds.

    Args:
        output: folder of all runs, made if missing; "": nothing is marked. One that cannot be written has no mark.
        command: that reads. Others may read at the same time; each has a mark of its own and heeds all.
    """
    if not output:
        yield False
        return
    died = any(os.path.exists(_mark(output, name)) for name in ("run", "check"))
    mark = _mark(output, command)
    with contextlib.suppress(OSError):
        os.makedirs(output, exist_ok=True)
        with open(mark, "w", encoding="ascii"):
            pass
    if died:
        progress.announce(
            "the last command ended while it read the images; in case that was a decoder that crashed, each image is "
            "now read in another process, and one that crashes it goes to quarantine"
        )
    try:
        yield died
    finally:
        with contextlib.suppress(OSError):
            os.unlink(mark)


def _mark(output: str, command: str) -> str:
    return os.path.join(output, f"{_NAME}.{command}")
