"""What the rest of the code knows of a kind of labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from components import metrics
from components.labels import outputs
from components.metrics.base import Accumulator, Rows

Answer = Mapping[str, Any]  # name of an output -> array
Row = Callable[[Sequence[str], Sequence[str], Mapping[str, int], Answer, float], Rows]


@dataclass(frozen=True, kw_only=True)
class LabelKind:
    """One kind of labels. Everything here is light: names, and NumPy at most.

    Attributes:
        task: the name in the configuration.
        exclusive: whether exactly one label applies to each image, or to each pixel; else any number does.
        per_pixel: whether pixels have labels, which a mask gives, rather than images.
        layouts: layouts of data sets that say enough.
        outputs: what the signature `outputs.EVALUATE` gives besides familiarity and abstain, and of what type; the
            first is what TFMA's own metrics look at.
        overall, per_label: names of the metrics of the whole and of a label.
        effective: names of the effective counts besides `metrics.COUNTS`, of the whole and of a label.
        proportions: metrics that are shares of independent examples, or F1 -> the effective count of what they are
            shares of, with a label the label's.
        main, main_of_label: the metric that stands for all where there is room for one.
        columns: metrics of a label that the report shows.
        accumulator: number of labels -> an empty accumulator of the metrics.
        row: (names that apply, names of which it is unknown, label -> index, answer to one example by output, weight)
            -> a row for the accumulator.
        answers: arrays by output of the signature `serving_default`, for n images -> n objects for people.

    Raises:
        ValueError: a metric is named that the kind does not have.
    """

    task: str
    exclusive: bool
    per_pixel: bool
    layouts: tuple[str, ...]
    outputs: Mapping[str, Literal["float", "bool"]]
    overall: tuple[str, ...]
    per_label: tuple[str, ...]
    effective: tuple[tuple[str, ...], tuple[str, ...]]
    proportions: Mapping[str, str]
    main: str
    main_of_label: str
    columns: tuple[str, ...]
    accumulator: Callable[[int], Accumulator]
    row: Row
    answers: Callable[[Answer], Iterator[dict[str, Any]]]

    def __post_init__(self) -> None:
        named = {self.main, *self.proportions} - {*self.overall, *self.per_label}
        if lost := named | ({self.main_of_label, *self.columns} - {*self.per_label}):
            raise ValueError(f"label kind {self.task}: it has no metric {', '.join(sorted(lost))}")

    @property
    def one_per_image(self) -> bool:
        """Whether each image has exactly one label."""
        return self.exclusive and not self.per_pixel

    @property
    def bearer(self) -> str:
        """What has a label: "image" or "pixel"."""
        return "pixel" if self.per_pixel else "image"

    @property
    def unit(self) -> str:
        """What a label's `support` counts."""
        return "pixel" if self.per_pixel else "example"

    def fewest_labels(self, *, pretrained: bool) -> int:
        """How many labels there must be: 1 where a label is a question of its own, or where a detector will do.

        Args:
            pretrained: whether the backbone knows something before training, and so sees likeness without a classifier.
        """
        return 1 if not self.exclusive or (self.one_per_image and pretrained) else 2

    def is_detector(self, classes: int) -> bool:
        """Whether there is nothing to classify: each image has the same single label."""
        return self.one_per_image and classes == 1

    @property
    def evaluated(self) -> frozenset[str]:
        """Names of everything that the signature `outputs.EVALUATE` gives."""
        return frozenset({*self.outputs, outputs.FAMILIARITY, outputs.ABSTAIN})

    @property
    def output(self) -> str:
        """The first of `outputs`."""
        return next(iter(self.outputs))

    def numbers(self, classes: int) -> int:
        """How many numbers `output` has for each example."""
        return classes**2 if self.per_pixel else classes

    def metric_names(self, labels: Sequence[str]) -> list[str]:
        """Every key of `Accumulator.result`."""
        confusion = [metrics.CONFUSION] if self.exclusive else []
        whole, of_a_label = self.effective
        per_label = [metrics.key(m, label) for m in (*self.per_label, *of_a_label) for label in labels]
        return [*self.overall, *metrics.COUNTS, *whole, *confusion, *per_label]
