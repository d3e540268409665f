"""The manifest of a pushed model, written beside it as imagegate.json."""

from __future__ import annotations

from pydantic import Field

from components.base.values import ForeignText, Sparse, Value
from components.base.verdict import Verdict
from components.data.arrays.spec import Bands
from components.data.manifest import ArrayFacts, BySplit, KnownData


class LabelDecision(Value):
    """How the network's output for one label becomes a probability and a decision."""

    threshold: float = Field(description="probability from which the label is taken to apply")
    scale: float = Field(description="the network's output is multiplied by this")
    bias: float = Field(description="and this is added")


class DecisionSummary(Sparse):
    """How a model turns the network's outputs into answers, also written beside it as decisions.json."""

    labels: dict[str, LabelDecision] = Field({}, description="label -> calibration and threshold")
    abstain_below: float | None = Field(None, description="familiarity below which the model abstains")
    reference_images: int | None = Field(None, description="images that the familiarity is measured against")


class PushedManifest(Sparse):
    """Origin and digests of a pushed model. Other releases may have written other keys, which are ignored."""

    name: str = Field("", description="of the configuration")
    task: str = Field("", description="of the configuration")
    image_size: tuple[int, int] | None = Field(None, description="height and width that the network sees")
    bits: int | None = Field(None, description="`data.bits`: of the values in images of 16 bits")
    bands: Bands | None = Field(None, description="what arrays hold; null for photos")
    arrays: ArrayFacts | None = Field(None, description="what all arrays have in common; null for photos")
    format: int | None = Field(None, description="of the model's signatures")
    labels: tuple[str, ...] = Field((), description="in the order of the model's outputs")
    label_counts: dict[str, BySplit] = Field({}, description="label -> split -> images it applies to")
    imbalance: str = Field("", description="what made up for rare labels: a value of `training.imbalance`")
    label_weights: dict[str, float] = Field({}, description="label -> weight in the loss")
    metrics: dict[str, float | None] = Field({}, description="of the test split; null: not a number")
    thresholds: tuple[Verdict, ...] = Field((), description="verdicts of the model gate")
    decisions: DecisionSummary = Field(DecisionSummary(), description="how outputs become answers")
    data: KnownData | None = Field(None, description="what later data are compared with")
    data_fingerprint: str = Field("", description="digest of the data")
    code_fingerprint: str = Field("", description="digest of the code that trained it")
    configuration_fingerprint: str = Field("", description="digest of the configuration")
    beside: tuple[str, ...] = Field((), description="names of the files that are not the model's own")
    identity: str = Field(
        "", description="digest of the model without what is random in its files: equal for equal models"
    )
    written_by: dict[str, str] = Field(
        {}, description='release of "imagegate" that trained the model, and of "tensorflow" that wrote its files'
    )
    compared_with: str | None = Field(
        None, description='version that was served when the model was judged, and that it replaced; "": none was'
    )
    withdrawn: dict[str, str] = Field(
        {}, description="digest of each model that was rolled back -> the version that it had"
    )
    challenger: bool = Field(False, description="whether it was pushed to stand beside the served version")
    promoted_from: str | None = Field(None, description="of a copy: the challenger that it was")
    rolled_back_from: str | None = Field(None, description="of a copy: the version that was served until then")
    rolled_back_to: str | None = Field(None, description="of a copy: the version that it is a copy of, at first hand")
    version: str = Field("", description="name of the folder")
    pushed: str = Field("", description="when, RFC 3339 in UTC")
    files: dict[ForeignText, str] = Field({}, description="path -> SHA-256 of every file but this one")
