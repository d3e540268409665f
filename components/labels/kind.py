"""The protocol of label kinds: everything that depends on the task, as attributes and methods of one class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from components import metrics
from components.labels import outputs
from components.metrics.base import Accumulator, Rows

Answer = Mapping[str, Any]  # name of an output -> array
PlainAnswer = dict[str, Any]  # a prediction as `imagegate predict` prints it; the keys depend on the kind
Row = Callable[[Sequence[str], Sequence[str], Mapping[str, int], Answer, float], Rows]


class Evidence(NamedTuple):
    """What the confidence interval of a metric rests on.

    Attributes:
        examples: effective count of its examples.
        worth: effective count of as many independent answers, where those of one example depend on one another; "":
            each example is one answer.
    """

    examples: str
    worth: str = ""


_UNLIKE = {metrics.OUT_OF_DISTRIBUTION[1]: Evidence(metrics.OUT_OF_DISTRIBUTION_IMAGES)}


@dataclass(frozen=True, kw_only=True)
class LabelKind:
    """One kind of labels. Building one imports nothing heavier than NumPy.

    Attributes:
        task: name of the task in the configuration.
        exclusive: True if exactly one label applies to each image or pixel, False if any number of labels can.
        per_pixel: True if each pixel has a label, given by a mask; False if each image has labels.
        layouts: names of the layouts whose data sets contain such labels.
        outputs: output -> type, of the signature `outputs.EVALUATE`, without familiarity and abstain. TFMA's own
            metrics read the first output.
        overall, per_label: names of the metrics of all labels together, and of each label.
        effective: names of the effective counts besides `metrics.COUNTS`: of all labels together, and of each label.
        proportions: metric -> what it is a share of, for those metrics of all labels together, and of each label, that
            have a confidence interval; for the metric of a label, the counts of that label.
        main, main_of_label: the one metric to show if there is room for one only, of all labels and of a label.
        columns: metrics of each label that the report shows.
        compared: metrics of all labels together that a comparison of methods shows, and of masks also the loss, which
            their evaluation has not.
        accumulator: number of labels -> an empty accumulator of the metrics; see `Accumulator.common` for a second
            argument.
        row: (labels that apply, unknown labels, label -> index, output -> answer to one example, weight of the
            example) -> a row for the accumulator.
        imbalance: the default of `training.imbalance`.
        weighting: the default of `training.label_weights`, see `weights.applied`.
        answers: output -> array of the signature `serving_default`, for n images -> n answers that can be printed as
            JSON.

    Raises:
        ValueError: `main`, `main_of_label`, `columns` or `proportions` names a metric that the kind does not have.
    """

    task: str
    exclusive: bool
    per_pixel: bool
    layouts: tuple[str, ...]
    outputs: Mapping[str, Literal["float", "bool"]]
    overall: tuple[str, ...]
    per_label: tuple[str, ...]
    effective: tuple[tuple[str, ...], tuple[str, ...]]
    proportions: tuple[Mapping[str, Evidence], Mapping[str, Evidence]]
    main: str
    main_of_label: str
    columns: tuple[str, ...]
    compared: tuple[str, ...]
    accumulator: Callable[..., Accumulator]
    row: Row
    answers: Callable[[Answer], Iterator[PlainAnswer]]
    imbalance: str = "weights"
    weighting: str = "median_frequency"

    def __post_init__(self) -> None:
        whole, of_a_label = self.proportions
        lost = {self.main, *whole} - {*self.overall, *self.per_label}
        if lost := lost | ({self.main_of_label, *self.columns, *of_a_label} - {*self.per_label}):
            raise ValueError(f"label kind {self.task}: it has no metric {', '.join(sorted(lost))}")

    @property
    def one_per_image(self) -> bool:
        """Whether each image has exactly one label."""
        return self.exclusive and not self.per_pixel

    @property
    def bearer(self) -> str:
        """Thing that carries a label: "image" or "pixel"."""
        return "pixel" if self.per_pixel else "image"

    @property
    def unit(self) -> str:
        """Unit of a label's `support`: "example" or "pixel"."""
        return "pixel" if self.per_pixel else "example"

    def fewest_labels(self, *, pretrained: bool) -> int:
        """Smallest number of labels that can be learnt.

        It is 1 if labels are independent of each other, or if a detector can be built: a model that only measures how
        similar an image is to those of its single label.

        Args:
            pretrained: whether the backbone has pretrained weights. Only these measure similarity without a classifier.
        """
        return 1 if not self.exclusive or (self.one_per_image and pretrained) else 2

    def is_detector(self, classes: int) -> bool:
        """Whether there is nothing to classify, because every image has the same single label."""
        return self.one_per_image and classes == 1

    @property
    def evaluated(self) -> frozenset[str]:
        """Names of all outputs of the signature `outputs.EVALUATE`."""
        return frozenset({*self.outputs, outputs.FAMILIARITY, outputs.ABSTAIN})

    @property
    def output(self) -> str:
        """The first of `outputs`."""
        return next(iter(self.outputs))

    def evidence(self, metric: str, *, of_label: bool) -> Evidence | None:
        """What the confidence interval of a metric rests on, or None if it has none."""
        return self.proportions[1].get(metric) if of_label else {**self.proportions[0], **_UNLIKE}.get(metric)

    def numbers(self, classes: int) -> int:
        """Size of `output` for each example."""
        return classes**2 if self.per_pixel else classes

    def metric_names(self, labels: Sequence[str]) -> list[str]:
        """Keys of `Accumulator.result` for these labels."""
        confusion = [metrics.CONFUSION] if self.exclusive else []
        whole, of_a_label = self.effective
        per_label = [metrics.key(m, label) for m in (*self.per_label, *of_a_label) for label in labels]
        return [*self.overall, *metrics.COUNTS, *whole, *confusion, *per_label]
