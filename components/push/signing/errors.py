"""Why a version is not trusted."""

from __future__ import annotations

from components.base.errors import ImagegateError


class NotVerified(ImagegateError):
    """A version is not signed by a trusted key, or is not what was signed."""


class NotSigned(NotVerified):
    """A version has no signature at all."""
