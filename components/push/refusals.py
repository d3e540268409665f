"""Why a model that passed the gates is not pushed after all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.base.errors import ConfigError, ImagegateError

if TYPE_CHECKING:
    from components.push.served import Served


class NotPushed(ImagegateError):
    """The destination does not take this model."""

    exit_code = 4


class Withdrawn(NotPushed):
    """The model was rolled back, so it is not pushed again."""


class Superseded(NotPushed):
    """Another version is served than the one that the model was compared with."""


class AnotherName(ConfigError):
    """The served version was pushed by another configuration."""


class NoChampion(ConfigError):
    """No version is served that a challenger could stand beside."""


def withdrawn(version: str) -> Withdrawn:
    """The refusal of a model that was rolled back when it was `version`."""
    return Withdrawn(
        f"this very model was rolled back as version {version}, so it is not pushed again; change the data or "
        f"the settings, or bring it back: imagegate rollback CONFIG {version}"
    )


def superseded(compared: str, served: Served | None) -> Superseded:
    """The refusal of a model that was compared with another version than the one served now.

    Args:
        compared: version that was served when the run began, "" for none.
        served: what is served now, or None.
    """
    before = f"version {compared}, which was served when it began" if compared else "none, because none was served then"
    if served is None:
        now, then = "no version is served now", "nothing is compared"
    else:
        origin = served.manifest.rolled_back_to
        copied = f", a copy of version {origin}," if origin is not None else ""
        now, then = f"version {served.version}{copied} is served now", f"the model is compared with {served.version}"
    return Superseded(
        f"{now}, but this run compared its model with {before}; nothing was pushed. Run again: then {then}, and the "
        "training is taken from the cache"
    )


def another_name(served: Served, name: str) -> AnotherName:
    """The refusal of a configuration `name` to replace a version that was pushed under another name."""
    return AnotherName(
        f"push.destination: version {served.version}, which is served in it, was pushed by {served.manifest.name!r}, "
        f"and this configuration is {name!r}. Choose another push.destination, or set push.take_over: true if this "
        "configuration is to replace it"
    )
