"""Checks the key `beam` before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.base.errors import ConfigError
from pipeline.config.beam import java, options, runners

if TYPE_CHECKING:
    from pipeline.config.config import Config


def check(config: Config, *, here: bool = True) -> list[str]:
    """Returns a sentence, which begins with "note: " or "warning: ", for each thing that the user should know.

    Imports Beam, which takes seconds, unless the key is empty.

    Args:
        config: the settings.
        here: whether the stages are started on this machine, so that its files can be looked at.

    Raises:
        ConfigError: Beam cannot read the options, or the runner lacks something; the message says what to write.
    """
    if not config.beam:
        return []
    given = options.given(config.beam)
    name = next((one.value for one in reversed(given) if one.name == "--runner"), None)
    kinds = _kinds(name)  # first, since a runner's module declares the options of the runner
    java_parts = {java.FLINK, java.SPARK} if kinds[:1] == ["PortableRunner"] else kinds
    notes = list(options.check(given, java_parts))
    return [*notes, *runners.check(config, kinds, given, here=here)] if kinds else notes


def _kinds(name: str | None) -> list[str]:
    """Returns the names of a runner's class and its bases; none if no runner is named.

    Raises:
        ConfigError: there is no such runner.
    """
    if name is None:
        return []
    from apache_beam.runners.runner import create_runner

    try:
        return [kind.__name__ for kind in type(create_runner(name)).__mro__]
    except (ValueError, ImportError, AttributeError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise ConfigError(f"beam: the runner {name!r} cannot be used: {reason}") from None
