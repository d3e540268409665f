"""The label kind of a task. A module of its own, so that who needs a weight does not depend on every loss."""

from __future__ import annotations

from types import ModuleType

from components.base.errors import ConfigError
from components.labels import mask, multi, single

_KINDS = {"single_label": single, "multi_label": multi, "segmentation": mask}


def kind(task: str) -> ModuleType:
    """The module of a task.

    Args:
        task: "single_label", "multi_label" or "segmentation".

    Raises:
        ConfigError: there is no such task.
    """
    if task not in _KINDS:
        raise ConfigError(f"task: {task!r} is none of {', '.join(_KINDS)}")
    return _KINDS[task]
