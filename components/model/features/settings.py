"""What features depend on, and where they are kept."""

from __future__ import annotations

from components.base.values import Value
from components.labels import kinds
from components.model.settings import TrainerSettings


class FeatureSettings(Value):
    """The backbone that computes features, as the Trainer has it; a part of `TrainerSettings`.

    Attributes:
        backbone: name of a network of keras.applications, or the absolute path of a `.keras` file.
        weights: of a network of keras.applications.
        image_size: height and width in pixels that images are resized to.
        mixed_precision: as in `training`.
        folder: of the features of all backbones; "": none are kept.
        code_fingerprint: changes if the backbone's file or weights change.
    """

    backbone: str
    weights: str | None
    image_size: tuple[int, int]
    mixed_precision: str | bool
    folder: str
    code_fingerprint: str = ""

    @classmethod
    def of(cls, training: TrainerSettings) -> FeatureSettings | None:
        """The features that the Trainer solves its head on.

        None without a pretrained backbone; for masks and for arrays, of which the Trainer stores none; and for a
        network of the user's own: its module is code, which only training runs.
        """
        stored = training.pretrained and not kinds.kind(training.task).per_pixel
        if not stored or training.module is not None or training.bands is not None:
            return None
        return cls(
            backbone=training.backbone,
            weights=training.weights,
            image_size=training.image_size,
            mixed_precision=training.mixed_precision,
            folder=training.features,
            code_fingerprint=training.code_fingerprint,
        )
