"""The registry of label kinds. A new kind is a module beside this one, an entry here and `schemas/TASK.pbtxt`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from components.base.errors import ConfigError
from components.labels import mask, multi, single
from components.labels.kind import LabelKind

KINDS: Mapping[str, LabelKind] = MappingProxyType({k.task: k for k in (single.KIND, multi.KIND, mask.KIND)})


def kind(task: str) -> LabelKind:
    """Looks up the label kind of a task.

    Args:
        task: the task in the configuration.

    Raises:
        ConfigError: there is no such task.

    >>> kind("single_label").main
    'accuracy'
    >>> kind("segmentation").bearer
    'pixel'
    """
    if task not in KINDS:
        raise ConfigError(f"task: {task!r} is none of {', '.join(KINDS)}")
    return KINDS[task]
