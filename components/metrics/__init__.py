"""Every metric by name, from counts: one NumPy accumulator per slice of the evaluation.

An accumulator holds what all the metrics of a label kind need; `add` takes examples as the kind's `row` makes them,
`merge` other accumulators, `result` gives every number. Label names are part of the keys: "recall/cat". Which metrics
belong to which kind of labels: `components.labels.kind`.
"""

from __future__ import annotations

import math

from components.metrics.base import CONFUSION, COUNTS, Accumulator, key

__all__ = [
    "CONFUSION",
    "COUNTS",
    "OF_ANSWERS",
    "OF_DETECTOR",
    "OUT_OF_DISTRIBUTION",
    "OUT_OF_DISTRIBUTION_IMAGES",
    "PAIRED",
    "REGRESSIONS",
    "SMALLER_IS_BETTER",
    "UNBOUNDED",
    "Accumulator",
    "key",
    "largest",
]

# Of the whole, for every task, where images of none of the labels are configured; see `evaluation.out_of_distribution`.
OUT_OF_DISTRIBUTION = ("out_of_distribution_auroc", "out_of_distribution_abstained")
OUT_OF_DISTRIBUTION_IMAGES = "out_of_distribution_images"  # their number
# Where there is one label only, all else holds by itself.
OF_DETECTOR = ("abstained", *OUT_OF_DISTRIBUTION)
# Those that follow from the answers without their probabilities, and say something of a method that always gives the
# same answer: recall and precision of a label do not.
OF_ANSWERS = frozenset(
    {
        *("accuracy", "balanced_accuracy", "macro_f1", "f1"),
        *("binary_accuracy", "exact_match", "hamming_loss", "micro_f1"),
        *("pixel_accuracy", "mean_class_accuracy", "mean_iou", "frequency_weighted_iou", "iou"),
    }
)
# Those of them that are shares of right answers, so that two methods can be compared image by image.
PAIRED = frozenset({"accuracy", "binary_accuracy", "exact_match", "hamming_loss", "pixel_accuracy"})
# A number of images, of the comparison with the served model; see `evaluation.regressions`.
REGRESSIONS = "regressions"
SMALLER_IS_BETTER = frozenset({"loss", "ece", "hamming_loss", "uncalibrated_loss", "uncalibrated_ece", "abstained"})
# Those that are no share: they begin at 0 and have no largest value.
UNBOUNDED = frozenset({"loss", "uncalibrated_loss", "support", REGRESSIONS})


def largest(metric: str) -> float:
    """The largest value of a metric; the smallest of each is 0.

    >>> largest("accuracy"), largest("loss")
    (1.0, inf)
    """
    return math.inf if metric in UNBOUNDED else 1.0
