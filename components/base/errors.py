"""Errors that are answers, not bugs: each is one sentence for the user and carries the exit code it ends in."""

from __future__ import annotations


class ImagegateError(Exception):
    """Something the user can act on. `str(error)` is the whole message; no stack trace is shown."""

    exit_code = 1


class ConfigError(ImagegateError):
    """The configuration or the command line is wrong."""

    exit_code = 2
