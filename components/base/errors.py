"""Errors that the user can act on: each has a one-sentence message and the exit code of the command."""

from __future__ import annotations

import sys
import traceback

from components.base.text import without_passwords

_LONGEST = 10_000  # characters of a message


class ImagegateError(Exception):
    """An error that the user can act on. `str(error)` is the whole message; no stack trace is shown.

    Args:
        message: a sentence; a password in a URL, which the words of a library may hold, is left out.

    >>> ConfigError("data.root: does not exist").exit_code
    2
    >>> ImagegateError("no answer from http://me:secret@proxy:3128")
    ImagegateError('no answer from http://***@proxy:3128')
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(without_passwords(message))

    def __str__(self) -> str:
        """The message; of one that quotes megabytes of a file, the beginning."""
        text = super().__str__()
        more = len(text) - _LONGEST
        return text if more <= 0 else f"{text[:_LONGEST]} … and {more:,} more characters"


class ConfigError(ImagegateError):
    """The configuration or the command line is wrong."""

    exit_code = 2


class OwnCodeError(ConfigError):
    """Code of the user's own broke. The message names the file and the line; the log has the trace."""


def print_trace() -> None:
    """Prints the trace of the error that is being handled, without the passwords of URLs in it."""
    print(without_passwords(traceback.format_exc()), end="", file=sys.stderr)
