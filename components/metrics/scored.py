"""Metrics per label of a model that gives each label a probability: every label is a yes-or-no question of its own."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from components.metrics import curves
from components.metrics.base import Accumulator, Bools, Floats, Rows, Sums, effective, fraction, ratio

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
    "threshold_precision",
    "threshold_recall",
    "threshold_f1",
)
# Besides its own numbers of the whole, what each task has that gives labels probabilities.
OVERALL = ("uncalibrated_loss", "uncalibrated_ece", "abstained")

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
class Answer:
    """What a model says to one example; see the signature `serving.EVALUATE`.

    Attributes:
        probabilities: float32 [K].
        uncalibrated: float32 [K], the same without calibration.
        decisions: [K] bool, by the labels' decision thresholds.
        abstain: whether the image is unlike all that the model knows.
    """

    probabilities: ArrayLike
    uncalibrated: ArrayLike
    decisions: ArrayLike
    abstain: bool

    def row(self) -> Rows:
        """float32 [3K + 1], the attributes in their order."""
        parts = (self.probabilities, self.uncalibrated, self.decisions, [self.abstain])
        return np.concatenate([np.ravel(part) for part in parts], dtype=np.float32, casting="unsafe")


@dataclass(frozen=True)
class Entries:
    """Each label's question to each example.

    Attributes:
        positive: [n, K] whether the label applies.
        decided: [n, K] whether the model says so.
        chosen: [n, K] whether it says so by the label's own decision threshold.
        score: float32 [n, K] its probability.
        weight: float64 [n, K]; 0 where nobody knows the answer.
    """

    positive: Bools
    decided: Bools
    chosen: Bools
    score: Rows
    weight: Floats


class ScoredAccumulator(Accumulator):
    """Counts, score histograms and calibration sums of K labels.

    Memory: at most 2 x 4,000 x K float64; raw rows while they take no more room, and curves from them are exact.
    """

    kept_rows = 2 * curves.BINS

    def answers(self, rows: Rows) -> tuple[Rows, Rows, Rows]:
        """Of `Answer.row` at the rows' end: probabilities, those without calibration, decisions; each [n, K]."""
        k = self.classes
        p, raw, chosen = (rows[:, rows.shape[1] - 1 - i * k :][:, :k] for i in (3, 2, 1))
        return p, raw, chosen

    @abc.abstractmethod
    def entries(self, rows: Rows) -> Entries:
        """The questions of rows [n, width]."""

    def sums(self, rows: Rows) -> Sums:
        """`decisions` [4, K]: weight of true and false positives, false and true negatives; `squares`: of the weights
        squared; `chosen` [4, K]: weight, by the labels' own thresholds; `abstained` [1]; and those of `curves`.
        """
        e = self.entries(rows)
        hit = e.positive
        return {
            "decisions": _cases(hit, e.decided, e.weight),
            "squares": _cases(hit, e.decided, e.weight**2),
            "chosen": _cases(hit, e.chosen, e.weight),
            "abstained": np.array([rows[:, 0].astype(np.float64) @ rows[:, -1]]),
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
        `curves.ece`; support = tp + fn: the weight of the examples that the label applies to; threshold_precision,
        threshold_recall and threshold_f1: of the decisions by the label's own threshold.
        """
        tp, fp, fn, tn = sums["decisions"]
        auc, average_precision = sums["areas"] if "areas" in sums else curves.binned_areas(sums["histogram"])
        return {
            **_rates(tp, fp, fn, tn),
            "specificity": ratio(tn, tn + fp),
            "binary_accuracy": ratio(tp + tn, tp + tn + fp + fn),
            "auc": auc,
            "average_precision": average_precision,
            "ece": curves.ece(sums["calibration"]),
            "support": tp + fn,
        } | {f"threshold_{name}": values for name, values in _rates(*sums["chosen"]).items()}

    def overall(self, sums: Sums) -> dict[str, float]:
        """abstained: share of the labelled examples that the model calls unlike all it knows."""
        return {"abstained": fraction(sums["abstained"][0], sums["counts"][1])}


def _cases(hit: Bools, said: Bools, weight: Floats) -> Floats:
    """[4, K] weight of true and false positives, false and true negatives; all arguments [n, K]."""
    return np.stack([(weight * case).sum(axis=0) for case in (hit & said, ~hit & said, hit & ~said, ~hit & ~said)])


def _rates(tp: Floats, fp: Floats, fn: Floats, tn: Floats) -> dict[str, Floats]:
    return {"precision": ratio(tp, tp + fp), "recall": ratio(tp, tp + fn), "f1": ratio(2 * tp, 2 * tp + fp + fn)}
