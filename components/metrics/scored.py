"""Metrics per label of a model that gives each label a probability: every label is a yes-or-no question of its own."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from components.metrics import curves
from components.metrics.base import Accumulator, Bools, Floats, Rows, Sums, effective, ratio

PER_LABEL = (
    "precision",
    "recall",
    "f1",
    "specificity",
    "binary_accuracy",
    "auc",
    "average_precision",
    "ece",
    "support",
)

# Effective numbers of the examples that a label applies to, does not apply to, is decided on, either of the first and
# third (tp + fp + fn), and of which it is known.
EFFECTIVE = (
    "effective_positives",
    "effective_negatives",
    "effective_decided",
    "effective_involved",
    "effective_known",
)

# float32 cannot tell 1 from greater numbers below; Keras clips its cross-entropy at the same place.
TINY = 1e-7


@dataclass(frozen=True)
class Entries:
    """Each label's question to each example.

    Attributes:
        positive: [n, K] whether the label applies.
        decided: [n, K] whether the model says so.
        score: float32 [n, K] its probability.
        weight: float64 [n, K]; 0 where nobody knows the answer.
    """

    positive: Bools
    decided: Bools
    score: Rows
    weight: Floats


class ScoredAccumulator(Accumulator):
    """Counts, score histograms and calibration sums of K labels.

    Memory: at most 2 x 4,000 x K float64; raw rows while they take no more room, and curves from them are exact.
    """

    kept_rows = 2 * curves.BINS

    @abc.abstractmethod
    def entries(self, rows: Rows) -> Entries:
        """The questions of rows [n, width]."""

    def sums(self, rows: Rows) -> Sums:
        """`decisions` [4, K]: weight of true and false positives, false and true negatives; `squares`: of the weights
        squared; and those of `curves`.
        """
        e = self.entries(rows)
        hit, said = e.positive, e.decided
        cases = (hit & said, ~hit & said, hit & ~said, ~hit & ~said)
        return {
            "decisions": np.stack([(e.weight * case).sum(axis=0) for case in cases]),
            "squares": np.stack([(e.weight**2 * case).sum(axis=0) for case in cases]),
            "calibration": curves.calibration(e.score, hit, e.weight),
            "histogram": curves.histogram(e.score, hit, e.weight),
        }

    def exact(self, rows: Rows) -> Sums:
        """`areas` [2, K] from the scores themselves."""
        e = self.entries(rows)
        return {"areas": curves.exact_areas(e.score, e.positive, e.weight)}

    def effective(self, sums: Sums) -> tuple[Mapping[str, float], Mapping[str, Floats]]:
        """Each of `EFFECTIVE`, per label."""
        tp, fp, fn, tn = np.stack([sums["decisions"], sums["squares"]], axis=1)  # each [2, K]
        parts = (tp + fn, tn + fp, tp + fp, tp + fp + fn, tp + fp + fn + tn)
        return {}, {name: effective(*part) for name, part in zip(EFFECTIVE, parts, strict=True)}

    def per_label(self, sums: Sums) -> dict[str, Floats]:
        """Each of `PER_LABEL`, float64 [K].

        precision = tp / (tp + fp), recall = tp / (tp + fn), f1 = 2 tp / (2 tp + fp + fn), specificity =
        tn / (tn + fp), binary_accuracy = (tp + tn) / all; auc and average_precision as in scikit-learn; ece as in
        `curves.ece`; support = tp + fn: the weight of the examples that the label applies to.
        """
        tp, fp, fn, tn = sums["decisions"]
        auc, average_precision = sums["areas"] if "areas" in sums else curves.binned_areas(sums["histogram"])
        return {
            "precision": ratio(tp, tp + fp),
            "recall": ratio(tp, tp + fn),
            "f1": ratio(2 * tp, 2 * tp + fp + fn),
            "specificity": ratio(tn, tn + fp),
            "binary_accuracy": ratio(tp + tn, tp + tn + fp + fn),
            "auc": auc,
            "average_precision": average_precision,
            "ece": curves.ece(sums["calibration"]),
            "support": tp + fn,
        }
