"""The settings of the gates: the section `balance`, an entry of `evaluation.thresholds`, and the section `serving`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from components.base.values import Flag, Fraction, LabelName, Positive, Value
from components.data import perceptual


class Balance(Value):
    """The data gate; each limit can be null: off."""

    min_examples: Positive | None = Field(10, description="per label in train")
    min_eval_examples: Positive | None = Field(1, description="per label in eval and in test, each")
    max_ratio: Annotated[float, Field(ge=1)] | None = Field(
        100, description="examples of the most frequent label per example of the least frequent one"
    )
    min_pixel_share: Fraction | None = Field(1e-5, description="masks: pixels of each label / known pixels of train")
    min_image_share: Fraction | None = Field(0.001, description="masks: images that each label is in / images of train")
    max_cooccurrence: Fraction | None = Field(
        0.98,
        description="multi_label: phi coefficient, of either sign: two labels that (almost) always come together, or "
        "of which always just one applies, cannot be told apart",
    )
    max_drift: Fraction | None = Field(
        0.2,
        description="Jensen-Shannon distance of the label shares in train, all together and each label's, from those "
        "of the served model's data. 0: the same, 1: nothing in common",
    )
    max_property_drift: Fraction | None = Field(
        0.4,
        description="Kolmogorov-Smirnov distance of image properties (width, height, aspect ratio, brightness, "
        "contrast, sharpness, mean red, green and blue) in train, of all images and of each label's, from those of "
        "the served model's data",
    )
    max_split_drift: Fraction | None = Field(0.5, description="the same of eval and of test from train, of all images")
    max_relabelled: Fraction | None = Field(
        0.05,
        description="images whose label (or mask) has changed since the served model was trained on them, as a share "
        "of the label's; a single image is let pass",
    )
    max_unlabelled: Fraction | None = Field(0.2, description="images of which nothing is known / all images")
    allow_duplicates_across_splits: Flag = Field(
        False, description="whether equal or nearly equal images may lie in two splits"
    )
    near_duplicate_distance: Annotated[int, Field(ge=0, le=perceptual.DEFAULT_DISTANCE)] | None = Field(
        perceptual.DEFAULT_DISTANCE,
        description="images are nearly equal where no more of the 256 bits of their perceptual hashes differ; null: "
        "only equal files count",
    )
    max_near_duplicates: Fraction | None = Field(
        0.01,
        description="of eval and test, the images that are nearly equal to one of another split; where the data set "
        "itself says which split an image is in, there must be none",
    )
    allow_vanished_labels: Flag = Field(False, description="whether labels that the served model knows may be missing")
    allow_new_labels: Flag = Field(False, description="whether there may be labels that the served model does not know")


class DataGateLimits(Balance):
    """All limits of the data gate: the section `balance`, and what follows from the rest of the configuration.

    Attributes:
        max_bad_fraction: `data.max_bad_fraction`: quarantined files / all files.
        contradictions: whether nearly equal images under different labels contradict one another.
        min_labels: how many labels the task needs.
    """

    max_bad_fraction: Fraction | None
    contradictions: bool = True
    min_labels: int = 2


class Threshold(Value):
    """One rule of the model gate."""

    metric: str = Field(description="a metric's name")
    label: LabelName | None = Field(None, description='a label\'s name, or "*": each label by itself')
    slice: dict[str, LabelName] | None = Field(
        None,
        description='column: value, for the examples it is about; "*": each value in the test split by itself',
    )
    min: float | None = Field(None, description="smallest value that passes")
    max: float | None = Field(None, description="largest value that passes")
    max_drop: Annotated[float, Field(ge=0)] | None = Field(
        None, description="how much worse than the model now served it may be; holds where none is served"
    )
    min_examples: Positive | None = Field(
        None,
        description="a slice value or label with fewer in the test split is let pass, and the run says so; default: 1 "
        'with "*" in `slice`, else all are judged',
    )
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="such as 0.95: `min` must hold for the lower, `max` for the upper bound of what the number of "
        "examples allows, instead of the value itself; see [the model gate](model-gate.md)",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Threshold:
        if self.min is None and self.max is None and self.max_drop is None:
            raise ValueError(f"{self.metric}: give min, max or max_drop")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"{self.metric}: min {self.min:g} is above max {self.max:g}")
        if self.confidence is not None and self.min is None and self.max is None:
            raise ValueError(
                f"{self.metric}: confidence is for min and max; both models answer for the same images, so that their "
                "difference has no such interval"
            )
        return self


class Serving(Value):
    """What serving may cost, measured before the push in a fresh process on this machine; each limit can be null."""

    max_latency_ms: Annotated[float, Field(gt=0)] | None = Field(
        None, description="milliseconds from one encoded image to its answer, median of 20"
    )
    max_megabytes: Annotated[float, Field(gt=0)] | None = Field(
        None, description="size of the model's files, in 10^6 bytes"
    )
