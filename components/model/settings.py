"""The sections `training` and `decisions` of the configuration, and what the Trainer takes of all of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from components.base.values import Flag, Fraction, LabelName, Positive, Value


class Training(Value):
    """The model and how it learns."""

    backbone: str = Field(
        "small",
        description="`small` (a built-in CNN), a name of keras.applications such as `MobileNetV3Small`, or a path to "
        "a `.keras` file that maps RGB images in 0-255 to feature maps (no head)",
    )
    weights: Literal["imagenet"] | None = Field(
        "imagenet", description="for keras.applications; null starts from random weights"
    )
    image_size: tuple[Positive, Positive] = Field((224, 224), description="height and width in pixels")
    freeze_epochs: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="first train the head alone on the pretrained backbone's features, which are computed once; at "
        "most this many epochs. Default: 20 with a pretrained backbone, else 0",
    )
    epochs: Annotated[int, Field(ge=0)] = Field(
        20, description="then train everything, at most this many; stops early on the eval split's loss"
    )
    batch_size: Positive = Field(32, description="images per step")
    loss: Literal["cross_entropy", "focal"] = Field(
        "cross_entropy", description="`focal` turns to what is still hard (Lin et al. 2017, gamma 2)"
    )
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        1e-3,
        description="of Adam at its height: it rises over half an epoch, then falls along a cosine; a pretrained "
        "backbone is trained at 0.3 of it",
    )
    label_weights: Literal["median_frequency", "none"] | dict[LabelName, Annotated[float, Field(ge=0)]] = Field(
        "median_frequency",
        description="weight of each label in the loss: `median_frequency`, `none`, or a number per label",
    )
    augment: Flag = Field(
        True, description="random flips, shifts, zooms and contrast; turn it off where left and right matter"
    )
    mixed_precision: Literal["auto"] | Flag = Field("auto", description="16-bit arithmetic; auto: on a GPU that has it")
    seed: int = Field(1, description="of every random choice")

    @property
    def pretrained(self) -> bool:
        """Whether the backbone knows something before training."""
        return self.backbone != "small" and (self.backbone.endswith(".keras") or self.weights is not None)

    @model_validator(mode="after")
    def _consistent(self) -> Training:
        if self.backbone.endswith((".h5", ".hdf5", ".pkl", ".pickle")):
            raise ValueError(f"backbone: {self.backbone} may run code when loaded; save it as a .keras file")
        if self.freeze_epochs and not self.pretrained:
            raise ValueError(f"freeze_epochs: backbone {self.backbone!r} starts from random weights, nothing to freeze")
        if self.freeze_epochs is None:
            object.__setattr__(self, "freeze_epochs", 20 if self.pretrained else 0)
        if not self.epochs and not self.freeze_epochs:
            raise ValueError("epochs: 0 and no freeze_epochs leave nothing to train")
        return self


class DecisionSettings(Value):
    """How probabilities become decisions; fitted to the eval split, and carried by the model."""

    calibrate: Flag = Field(
        True,
        description="make probabilities mean what they say: one temperature (Guo et al. 2017), for multi_label a scale "
        "and a bias per label (Platt 1999); used only where it helps images that it was not fitted to",
    )
    threshold: Literal["f1"] | dict[Literal["precision", "recall"], Fraction] = Field(
        "f1",
        description="of each label's `decisions`: where its F1 is largest; `{precision: 0.9}`: the lowest that is so "
        "precise; `{recall: 0.9}`: the highest that finds so many",
    )
    abstain_below: Fraction | None = Field(
        0.01,
        description="the model abstains from images less familiar than this share of the eval split; null: never",
    )

    @field_validator("threshold")
    @classmethod
    def _one(cls, threshold: str | dict[str, float]) -> str | dict[str, float]:
        if isinstance(threshold, dict) and len(threshold) != 1:
            raise ValueError("give f1, or one of {precision: P} and {recall: R}")
        return threshold


class TrainerSettings(Training):
    """All settings of the Trainer: the section `training`, and what follows from the rest of the configuration.

    Attributes:
        task: the task.
        positive: `labels.positive`.
        decisions: the section `decisions`.
        checkpoints: a folder that outlives the run; a killed training goes on from there.
        code_fingerprint: changes when the code of the stage or the backbone's file does.
    """

    task: str
    positive: str | None
    decisions: DecisionSettings
    checkpoints: str
    code_fingerprint: str
