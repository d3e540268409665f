"""The methods that can be compared, by name: this table is all that a further method has to be added to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

from components.model.settings import Imbalance
from components.model.tuning.space import Overlay


def _of_imbalance(name: str) -> dict[str, Any]:
    """A method for rare labels; those besides weights cannot be used together with configured weights.

    All of them learn from labelled images alone, so that trainings cost the same and nothing else makes a difference.
    """
    alone: dict[str, Any] = {"imbalance": name, "unlabelled": "none", "synthetic": None}
    return alone if name == "weights" else {**alone, "label_weights": None}


_IMBALANCE: tuple[str, ...] = get_args(Imbalance)

# Ways to learn from images without labels, and the training that they are compared with.
WITHOUT_LABELS = ("propagation", "consistency", "autoencoder")
SYNTHETIC = "synthetic"  # images of rare labels are made as `training.synthetic` says
_UNLABELLED = {"labelled_only": "none", **{name: name for name in WITHOUT_LABELS}}

# Name -> the keys of `training` that make up the method. Where the configuration is refused with these keys, the method
# does not apply to the task.
METHODS: Mapping[str, Overlay] = MappingProxyType(
    {name: _of_imbalance(name) for name in _IMBALANCE}
    | {name: {"unlabelled": value, "synthetic": None} for name, value in _UNLABELLED.items()}
    | {SYNTHETIC: {"unlabelled": "none"}}
)
BY_DEFAULT = _IMBALANCE
