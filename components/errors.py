"""Errors that are answers, not bugs: each is one sentence for the user and carries the exit code it ends in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


class DataRejected(ImagegateError):
    """The data gate refuses. `verdicts` says why, `data` holds what was counted (see `balance.Data.to_json`)."""

    exit_code = 3

    def __init__(self, verdicts: Sequence[Verdict], data: dict[str, Any] | None = None) -> None:
        super().__init__("\n".join(v.reason for v in verdicts if not v.passed))
        self.verdicts = list(verdicts)
        self.data = data or {}
