"""What a training learns from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.data import schema
from components.labels import kinds
from components.labels.kind import LabelKind

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

    from components.model.settings import TrainerSettings

# In `custom_config`, where the stage Trainer puts them.
UNLABELLED_FOLDER, SYNTHETIC_FOLDER = "unlabelled_folder", "synthetic_folder"
FOLDERS = (UNLABELLED_FOLDER, SYNTHETIC_FOLDER)


@dataclass(frozen=True)
class Given:
    """What a training learns from.

    Attributes:
        folder: folder of the shards.
        transform: output of Transform.
        logs: folder of TensorBoard's logs.
        kind: the label kind.
        names: labels, in the order of the outputs.
        positive: index of the positive label, or None.
        unlabelled: folder of the shards of images without labels, or "".
        synthetic: folder of the images that were made for rare labels, or "".
    """

    folder: str
    transform: str
    logs: str
    kind: LabelKind
    names: Sequence[str]
    positive: int | None
    unlabelled: str = ""
    synthetic: str = ""

    @classmethod
    def of(cls, fn_args: FnArgs, settings: TrainerSettings, logs: str) -> Given:
        """Finds the inputs of a Trainer or Tuner."""
        names = schema.labels(os.path.dirname(fn_args.schema_path))
        return cls(
            folder=os.path.dirname(os.path.dirname(fn_args.train_files[0])),
            transform=fn_args.transform_graph_path,
            logs=logs,
            kind=kinds.kind(settings.task),
            names=names,
            positive=None if settings.positive is None else names.index(settings.positive),
            unlabelled=fn_args.custom_config.get(UNLABELLED_FOLDER, ""),
            synthetic=fn_args.custom_config.get(SYNTHETIC_FOLDER, ""),
        )
