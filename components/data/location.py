"""Folders and fsspec URLs in settings, and the check that none of them holds a secret."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from components.base.errors import ConfigError
from components.data import storage


def check_url(url: str) -> None:
    """Refuses what would put a secret into manifests and logs, without repeating it.

    Raises:
        ConfigError: a password or a query stands in it.
    """
    if re.search(r"://[^/@]*:[^/]*@", url):
        raise ConfigError(
            "the URL holds a password, which would end up in manifests and logs; leave it out, and give it as the "
            "store expects it: in the environment, or in fsspec's configuration"
        )
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
