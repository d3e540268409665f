"""`imagegate promote`: a challenger becomes the served version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.push import promotion, versions

if TYPE_CHECKING:
    from pipeline.config import Config


def run(config: Config, version: str | None) -> str:
    """Promotes a challenger and returns the message for the user; see `promotion.promote` for the errors."""
    trust = config.trust_to_write()
    now, before, note = promotion.promote(
        config.destination, version, name=config.name, take_over=config.push.take_over, trust=trust
    )
    if not now.new:
        served = f"nothing was added: version {now.version} is served, and is this model already -> {now.path}"
        return "\n".join([served, *_warnings(note)])
    told = f"version {now.version} is served now, promoted from challenger {now.manifest.promoted_from} -> {now.path}"
    removed, problem = versions.tidy(config.destination, config.push.keep, trust)
    lines = [told, f"before: version {before.version}; imagegate rollback serves it again"]
    lines += [f"removed older versions: {', '.join(removed)}"] if removed else []
    return "\n".join([*lines, *_warnings(note, problem)])


def _warnings(*problems: str) -> list[str]:
    return [f"warning: {problem}" for problem in problems if problem]
