"""The error of a message that was not sent."""

from __future__ import annotations

from components.base.errors import ImagegateError


class NotSent(ImagegateError):
    """A message was not sent. Its text never holds an address, a secret, or what a library says of either."""
