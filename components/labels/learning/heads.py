"""The head of a label kind, by what its labels are."""

from __future__ import annotations

from types import ModuleType

from components.labels.kind import LabelKind
from components.labels.learning import pixels, sigmoid, softmax


def head_of(kind: LabelKind) -> ModuleType:
    """The module that encodes, counts and learns the labels of a kind."""
    if kind.per_pixel:
        return pixels
    return softmax if kind.exclusive else sigmoid
