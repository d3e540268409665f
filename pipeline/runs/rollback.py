"""`imagegate rollback`: serves an older version again, under a new version number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.base.text import truncated_list
from components.push import rollback

if TYPE_CHECKING:
    from pipeline.config import Config


def run(config: Config, version: str | None) -> str:
    """Rolls back and returns the message for the user; see `rollback.roll_back` for the errors."""
    now, before = rollback.roll_back(
        config.destination,
        version,
        name=config.name,
        take_over=config.push.take_over,
        trust=config.trust_to_write(),
    )
    origin = now.manifest.rolled_back_to
    copied = f", a copy of version {origin}" if origin is not None else ""
    if not now.new:
        return f"nothing was added: version {now.version} is served already{copied} -> {now.path}"
    lines = [f"version {now.version} is served now{copied} -> {now.path}"]
    if before.identity in now.manifest.withdrawn:
        lines.append(f"withdrawn: version {before.version}; this very model is not pushed again")
    if now.passed_over:
        passed = truncated_list(now.passed_over)
        lines.append(f"passed over: {passed}, which cannot be used; `imagegate served CONFIG` says why")
    return "\n".join(lines)
