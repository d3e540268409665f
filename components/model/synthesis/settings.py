"""All settings of the stage that makes images of rare labels."""

from __future__ import annotations

from components.base.values import Value
from components.model.settings import Synthetic


class SynthesisSettings(Value):
    """See `components.model.settings.Synthetic`.

    Attributes:
        task: the task, with one label per image.
        synthetic: the section `training.synthetic`.
        image_size: `training.image_size`.
        seed: `training.seed`.
        code_fingerprint: changes if the code of the stage changes.
    """

    task: str
    synthetic: Synthetic
    image_size: tuple[int, int]
    seed: int
    code_fingerprint: str = ""
