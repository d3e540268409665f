"""What no head can have. The configuration refuses most of it before a run."""

from __future__ import annotations

from components.base.errors import ConfigError


def need_two(classes: int) -> None:
    """Refuses a softmax over fewer than two units.

    Raises:
        ConfigError: `classes` is below 2.
    """
    if classes < 2:
        raise ConfigError(
            f"labels.names: {classes} leaves nothing to learn, for a softmax over one unit is always 1; name two or "
            "more (for yes or no: both, and labels.positive for a single sigmoid unit), or use task: multi_label"
        )


def refuse_positive(positive: int | None, task: str) -> None:
    """Refuses `labels.positive` where there is no one of two to decide on.

    Raises:
        ConfigError: `positive` is not None.
    """
    if positive is not None:
        raise ConfigError(f"labels.positive: is for task: single_label with two names, not for {task}; leave it out")
