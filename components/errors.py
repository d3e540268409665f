"""Errors that are answers, not bugs: each is one sentence for the user and carries the exit code it ends in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.census import Images
    from components.gates import Verdict


class ImagegateError(Exception):
    """Something the user can act on. `str(error)` is the whole message; no stack trace is shown."""

    exit_code = 1


class ConfigError(ImagegateError):
    """The configuration or the command line is wrong."""

    exit_code = 2


def shown(text: str) -> str:
    """`text` without anything that a terminal would obey: file names are other people's, and may hold escapes."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


_NAMED = 5  # how many files or labels a sentence names


def some(items: Iterable[str]) -> str:
    """The first few of a list of names, made safe for a terminal, and how many more there are."""
    listed = list(map(shown, items))
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f", and {more} more" if more > 0 else "")


class ModelRefused(ImagegateError):
    """The model gate refuses."""

    exit_code = 4


class DataRejected(ImagegateError):
    """The data gate refuses. `verdicts` says why; `manifest` and `images` hold what was counted, see `census.merge`."""

    exit_code = 3

    def __init__(
        self, verdicts: Sequence[Verdict], manifest: dict[str, Any] | None = None, images: Images | None = None
    ) -> None:
        super().__init__("\n".join(v.reason for v in verdicts if not v.passed))
        self.verdicts = list(verdicts)
        self.manifest, self.images = manifest or {}, images
