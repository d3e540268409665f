"""`imagegate rollback`: an older version is served again, as a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.push import rollback

if TYPE_CHECKING:
    from pipeline.config import Config


def run(config: Config, version: str | None) -> str:
    """Rolls back and returns a sentence; see `rollback.roll_back`."""
    now, before = rollback.roll_back(config.destination, version)
    return (
        f"version {now.version} is served now, a copy of version {now.manifest[rollback.TO]} -> {now.path}\n"
        f"withdrawn: version {before.version}; this very model is not pushed again"
    )
