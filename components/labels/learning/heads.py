"""The choice of the head for a label kind."""

from __future__ import annotations

from types import ModuleType

from components.labels.kind import LabelKind
from components.labels.learning import pixels, sigmoid, softmax


def head_of(kind: LabelKind) -> ModuleType:
    """Returns the module that encodes, counts and learns the labels of a kind.

    >>> from components.labels import kinds
    >>> head_of(kinds.kind("multi_label")).__name__
    'components.labels.learning.sigmoid'
    """
    if kind.per_pixel:
        return pixels
    return softmax if kind.exclusive else sigmoid
