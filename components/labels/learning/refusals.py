"""Checks of a head's arguments. The configuration refuses most of these errors before a run."""

from __future__ import annotations

from components.base.errors import ConfigError


def need_two(classes: int) -> None:
    """Refuses a softmax over fewer than two units.

    Raises:
        ConfigError: `classes` is below 2.
    """
    if classes < 2:
        raise ConfigError(
            f"labels.names: with {classes} there is nothing to learn, because a softmax over one unit is always 1; "
            "name at least two labels (for yes and no: both, and labels.positive), or use task: multi_label"
        )


def refuse_positive(positive: int | None, task: str) -> None:
    """Refuses `labels.positive` for tasks whose labels are not a choice between two.

    Raises:
        ConfigError: `positive` is not None.
    """
    if positive is not None:
        raise ConfigError(
            f"labels.positive: only task: single_label with two names has it, not task: {task}; leave it out"
        )
