"""The error for a file that is not a usable image."""

from __future__ import annotations


class BadImage(ValueError):
    """The file is not a usable image. The message is the reason, without the name of the file."""
