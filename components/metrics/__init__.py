"""Every metric by name, from counts: for each task one NumPy accumulator per slice of the evaluation.

An accumulator holds what all the metrics of its task need; `add` takes examples as the task's `row` makes them,
`merge` other accumulators, `result` gives every number. Label names are part of the keys: "recall/cat".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from components.metrics import mask, multi, scored, single
from components.metrics.base import CONFUSION, COUNTS, Accumulator, key

__all__ = [
    "CONFUSED",
    "CONFUSION",
    "COUNTS",
    "MAIN",
    "MAIN_OF_LABEL",
    "OF_DETECTOR",
    "OUT_OF_DISTRIBUTION",
    "OVERALL",
    "PER_LABEL",
    "PROPORTIONS",
    "SMALLER_IS_BETTER",
    "UNIT",
    "Accumulator",
    "accumulator",
    "key",
    "names",
]

_KINDS: Mapping[str, type[Accumulator]] = MappingProxyType(
    {"single_label": single.SingleLabel, "multi_label": multi.MultiLabel, "segmentation": mask.Mask}
)
# Names of the metrics by task; besides them each has `COUNTS`.
OVERALL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"single_label": single.OVERALL, "multi_label": multi.OVERALL, "segmentation": mask.OVERALL}
)
PER_LABEL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"single_label": single.PER_LABEL, "multi_label": multi.PER_LABEL, "segmentation": mask.PER_LABEL}
)
# Tasks that have a confusion matrix, `CONFUSION`: [K, K], rows truth, columns prediction.
CONFUSED = frozenset({"single_label", "segmentation"})
# Where one number must stand for all, of the whole and of a label.
MAIN: Mapping[str, str] = MappingProxyType(
    {"single_label": "accuracy", "multi_label": "mean_average_precision", "segmentation": "mean_iou"}
)
MAIN_OF_LABEL: Mapping[str, str] = MappingProxyType({"single_label": "f1", "multi_label": "f1", "segmentation": "iou"})
# What a label's `support` counts.
UNIT: Mapping[str, str] = MappingProxyType(
    {"single_label": "example", "multi_label": "example", "segmentation": "pixel"}
)
# The effective counts of a task besides `COUNTS`: overall, per label.
_EFFECTIVE: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        "single_label": ((), scored.EFFECTIVE),
        "multi_label": (("effective_known", "effective_involved"), scored.EFFECTIVE),
        "segmentation": ((), ("effective_positives",)),
    }
)
_OF_A_LABEL = {
    "recall": "effective_positives",
    "specificity": "effective_negatives",
    "precision": "effective_decided",
    "binary_accuracy": "effective_known",
    "f1": "effective_involved",
}
# Metrics that are shares of independent examples, or F1, and the effective count of what they are shares of: overall,
# or with a label the label's. Pixels of one image are not independent, so those of masks are not among them.
PROPORTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "single_label": {"accuracy": "effective_count", **_OF_A_LABEL},
        "multi_label": {
            "exact_match": "effective_count",
            "hamming_loss": "effective_known",
            "micro_f1": "effective_involved",
            **_OF_A_LABEL,
        },
        "segmentation": {},
    }
)
# Of the whole, for every task, where images of none of the labels are configured; see `evaluation.out_of_distribution`.
OUT_OF_DISTRIBUTION = ("out_of_distribution_auroc", "out_of_distribution_abstained")
# Where there is one label only, all else holds by itself.
OF_DETECTOR = ("abstained", *OUT_OF_DISTRIBUTION)
SMALLER_IS_BETTER = frozenset({"loss", "ece", "hamming_loss", "uncalibrated_loss", "uncalibrated_ece", "abstained"})


def names(task: str, labels: Sequence[str]) -> list[str]:
    """Every key of `Accumulator.result`."""
    confusion = [CONFUSION] if task in CONFUSED else []
    whole, of_a_label = _EFFECTIVE[task]
    per_label = [key(m, label) for m in (*PER_LABEL[task], *of_a_label) for label in labels]
    return [*OVERALL[task], *COUNTS, *whole, *confusion, *per_label]


def accumulator(task: str, classes: int) -> Accumulator:
    """An empty one for K = `classes` labels."""
    return _KINDS[task](classes)
