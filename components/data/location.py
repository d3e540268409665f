"""Folders and fsspec URLs in settings, and the check that none of them holds a secret."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from components.base.errors import ConfigError
from components.base.text import holds_password
from components.data import storage
from components.data.storage.entry import HOLDS_CREDENTIALS


def check_url(url: str) -> None:
    """Refuses what would put a secret into manifests and logs, without repeating it.

    Raises:
        ConfigError: a password or a query stands in it.
    """
    if holds_password(url):
        raise ConfigError(HOLDS_CREDENTIALS)
    if "?" in url:
        raise ConfigError("the URL has a query (?...), behind which no folder can lie; leave it out")


def _checked(path: str) -> str:
    if storage.is_url(path):
        try:
            check_url(path)
        except ConfigError as error:
            raise ValueError(str(error)) from None
    return path


Location = Annotated[str, AfterValidator(_checked)]  # a path or an fsspec URL
