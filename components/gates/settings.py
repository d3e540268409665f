"""Settings of the gates: the sections `balance` and `serving`, and an entry of `evaluation.thresholds`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.base.values import Flag, Fraction, LabelName, Positive, Value
from components.data import perceptual
from components.gates.found import FOUND
from components.ingest.settings import Exclusion
from components.metrics import REGRESSIONS


class Balance(Value):
    """Limits of [the data gate](data-gate.md), which refuses data beyond any of them before anything is trained.

    The balance of the labels was its first rule and gave the section its name.
    """

    min_examples: Positive | None = Field(
        10,
        description="The smallest number of examples (images, also for masks) of each label in train. The data gate "
        "refuses if a label has fewer.",
    )
    min_eval_examples: Positive | None = Field(
        1, description="The smallest number of examples of each label in eval, and in test."
    )
    max_ratio: Annotated[float, Field(ge=1)] | None = Field(
        100,
        description="The largest ratio of the numbers of examples of the most and the least frequent label in train.",
    )
    min_pixel_share: Fraction | None = Field(
        1e-5,
        description="For masks: the smallest share of the known pixels of train that each label must have.",
    )
    min_image_share: Fraction | None = Field(
        0.001,
        description="For masks: the smallest share of the images of train in which each label must occur.",
    )
    max_cooccurrence: Fraction | None = Field(
        0.98,
        description="For `multi_label`: the largest absolute phi coefficient of two labels in train. Beyond it, the "
        "two labels nearly always occur together, or nearly always exclude each other, and a model cannot learn to "
        "tell them apart.",
    )
    max_drift: Fraction | None = Field(
        0.2,
        description="The largest Jensen-Shannon distance between the label shares in train and those of the served "
        "model's data, for all labels together and for each label. 0 means equal, 1 nothing in common. A larger "
        "distance that chance explains is tolerated.",
    )
    max_property_drift: Fraction | None = Field(
        0.4,
        description="The largest Kolmogorov-Smirnov distance between the image properties in train and those of the "
        "served model's data, for all images and for the images of each label. The properties are width, height, "
        "aspect ratio, brightness, contrast, sharpness, and mean red, green and blue; with `data.bands`, the mean of "
        "each band over the valid pixels of an image, instead of brightness and what follows. A larger distance that "
        "chance explains is tolerated.",
    )
    max_split_drift: Fraction | None = Field(
        0.5,
        description="The largest Kolmogorov-Smirnov distance between the image properties in eval, or in test, and "
        "those in train.",
    )
    max_relabelled: Fraction | None = Field(
        0.05,
        description="The largest share of a label's images (for masks: of all images) whose label or mask has changed "
        "since the served model was trained on them. A single changed image is tolerated.",
    )
    max_label_errors: Fraction | None = Field(
        None,
        description="The largest share of the labels in train that may be wrong, as far as features of a pretrained "
        "backbone tell; see [the data gate](data-gate.md#wrong-labels). A larger share that chance explains is "
        "tolerated. Without a pretrained backbone, this is not judged.",
    )
    max_unlabelled: Fraction | None = Field(0.2, description="The largest share of images without any known label.")
    allow_duplicates_across_splits: Flag = Field(
        False, description="Whether identical or nearly equal images may be in different splits."
    )
    near_duplicate_distance: Annotated[int, Field(ge=0, le=perceptual.DEFAULT_DISTANCE)] | None = Field(
        perceptual.DEFAULT_DISTANCE,
        description="Images are nearly equal if at most this many of the 256 bits of their perceptual hashes differ. "
        "With `null`, only identical files count as duplicates.",
    )
    max_near_duplicates: Fraction | None = Field(
        0.1,
        description="Nearly equal images that were assigned to different splits by hash go to train together. This is "
        "the largest share of the images of eval, and of test, that may move there. Beyond it, nothing is moved and "
        "the data gate refuses. A single image is tolerated.",
    )
    max_dark: Fraction | None = Field(
        0.2,
        description="The largest share of a label's images (for masks: of all images) that are dark: of which 99 % of "
        "the pixels have a luma below 0.2. A larger share that chance explains is tolerated, as with all limits of "
        "[single images](data-gate.md#single-images).",
    )
    max_bright: Fraction | None = Field(
        0.2, description="Likewise: images of which 99 % of the pixels have a luma above 0.75."
    )
    max_blurred: Fraction | None = Field(
        0.2, description="Likewise: images that have no sharp edge, at a shorter side of 80 to 159 pixels."
    )
    max_uninformative: Fraction | None = Field(
        0.2, description="Likewise: images that are nearly of one level, and so show nothing."
    )
    max_grey: Fraction | None = Field(0.2, description="Likewise: images without any colour.")
    max_odd_size: Fraction | None = Field(
        0.2,
        description="Likewise: images that are much smaller, larger, wider or taller than nearly all others of the "
        "data set.",
    )
    max_border: Fraction | None = Field(
        0.2, description="Likewise: images of which more than 0.3 is a border of one level, such as letterbox bars."
    )
    max_shortcut: Annotated[float, Field(ge=0.6, le=1)] | None = Field(
        None,
        description="The largest balanced accuracy with which a label may be told from one property of the files "
        "alone, such as brightness, size or the pattern of their names; with its confidence interval. With `null`, "
        "such [shortcuts](data-gate.md#shortcuts) are notes.",
    )
    max_invalid: Fraction | None = Field(
        0.95,
        description="With `data.bands`: the largest share of the pixels of train, eval and test, of all moments, that "
        "carry no information.",
    )
    allow_useless_bands: Flag = Field(
        False,
        description="With `data.bands`: whether a band may have the same value everywhere in train, or be a copy of "
        "another.",
    )
    allow_vanished_labels: Flag = Field(
        False, description="Whether labels that the served model knows may have no image any more."
    )
    allow_new_labels: Flag = Field(
        False, description="Whether the data may have labels that the served model does not know."
    )


class DataGateLimits(Balance):
    """All limits of the data gate: the section `balance`, and those that the rest of the configuration implies.

    Attributes:
        max_bad_fraction: `data.max_bad_fraction`.
        contradictions: whether nearly equal images under different labels are refused.
        min_labels: smallest number of labels that the task can learn.
        kept: the rows of `data.exclude` that say `keep`; what they name is no finding.
    """

    max_bad_fraction: Fraction | None
    contradictions: bool
    min_labels: int
    kept: tuple[Exclusion, ...] = ()


class Threshold(Value):
    """One rule of [the model gate](model-gate.md). At least one of `min`, `max`, `max_drop` and `min_gain` is
    needed.
    """

    metric: str = Field(
        description="The name of one of the [metrics](#metrics), or `regressions`: test images that the served model "
        "had right and this one has wrong. `max` is their largest number; without a served model, this is not judged. "
        "See [the model gate](model-gate.md#regressions)."
    )
    label: LabelName | None = Field(
        None,
        description='The label whose metric is judged; `"*"` judges each label separately. With `null`, the metric of '
        "all labels together is judged.",
    )
    slice: dict[str, LabelName] | Literal["found"] | None = Field(
        None,
        description="Judges only the test examples that have this value in this column, such as `{camera: night}`; "
        '`"*"` judges each value in the test split separately. `found` judges each [weak '
        "group](model-gate.md#weak-groups) that was found; without any, it is not judged.",
    )
    min: float | None = Field(None, description="The smallest value that passes.")
    max: float | None = Field(None, description="The largest value that passes.")
    max_drop: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="The metric may be worse than that of the served model by at most this much. Without a served "
        "model, this is not judged.",
    )
    min_gain: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="The metric must be better than that of the best [trivial method](model-gate.md#trivial-methods) "
        "by at least this much. For metrics that follow from the answers without their probabilities.",
    )
    min_examples: Positive | None = Field(
        None,
        description="Slice values and labels with fewer examples in the test split are skipped, and the verdict names "
        'them. Default: 1 with `"*"` in `slice`; otherwise everything is judged.',
    )
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="The confidence, such as 0.95, with which the bounds must hold: the lower confidence bound of the "
        "metric is compared with `min`, the upper one with `max`, the lower one of the gain over a trivial method with "
        "`min_gain`. With `null`, the metric's value is compared. See [the model gate](model-gate.md).",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Threshold:
        if self.min is None and self.max is None and self.max_drop is None and self.min_gain is None:
            raise ValueError(f"{self.metric}: a threshold without a limit; give min, max, max_drop or min_gain")
        if self.metric == REGRESSIONS:
            self._count_of_images()
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"{self.metric}: min {self.min:g} is above max {self.max:g}")
        if self.confidence is not None and self.min is None and self.max is None and self.min_gain is None:
            raise ValueError(
                f"{self.metric}: confidence applies to min, max and min_gain only, not to max_drop: both models "
                "predict the same images, so their difference has no such interval; remove confidence, or give min or "
                "max"
            )
        if self.min_gain is not None and self.slice is not None:
            raise ValueError(
                f"{self.metric}: min_gain is about the whole test split, for which trivial methods are judged; remove "
                "slice, or give it a threshold of its own"
            )
        if self.max_drop is not None and self.slice == FOUND:
            raise ValueError(
                f"{self.metric}: max_drop does not apply to slice: {FOUND}: the groups are found anew for each model; "
                "give min or max"
            )
        return self

    def _count_of_images(self) -> None:
        """Raises ValueError if the limit of `regressions` is no number of images."""
        others = [key for key in ("min", "max_drop", "min_gain", "confidence") if getattr(self, key) is not None]
        if self.max is None or others:
            raise ValueError(
                f"{REGRESSIONS}: takes max alone, the largest number of test images that the served model had right "
                f"and this one has wrong; {f'remove {others[0]}' if others else 'give max'}"
            )
        if self.max != int(self.max):
            raise ValueError(f"{REGRESSIONS}: max is a number of images, such as 5; got {self.max:g}")
        if self.slice == FOUND:
            raise ValueError(
                f"{REGRESSIONS}: does not apply to slice: {FOUND}: the groups are found anew for each model; remove "
                "slice"
            )

    @property
    def compares(self) -> bool:
        """Whether anything of it is about the images that are compared with the served model."""
        return self.max_drop is not None or self.metric == REGRESSIONS

    @property
    def columns(self) -> dict[str, str]:
        """Column -> value of the slice; empty for the whole test split, and for the groups that are found."""
        return self.slice if isinstance(self.slice, dict) else {}


class Serving(Value):
    """Limits on the cost of serving, measured before the push by a new process on the machine that runs the check."""

    max_latency_ms: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="The model gate refuses if the median latency of 20 predictions, each for one encoded image, is "
        "above this many milliseconds.",
    )
    max_megabytes: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="The model gate refuses if the model's files are larger than this many megabytes (10^6 bytes).",
    )
    warm_up: Flag = Field(
        True,
        description="Whether a pushed version holds up to 32 images of the test split, as requests with which "
        "TensorFlow Serving [warms up](serving.md#a-warm-start). Set it to false if whoever can read the models must "
        "not see images.",
    )
