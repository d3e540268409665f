"""Metrics per label of a model that gives each label a probability: each label is a binary question of its own."""

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
# Overall metrics that every task with probabilities of labels has besides its own.
OVERALL = ("uncalibrated_loss", "uncalibrated_ece", "abstained")

# Effective numbers of examples per label: those the label applies to (tp + fn), does not apply to (tn + fp), is
# predicted for (tp + fp), any of these but true negatives (tp + fp + fn), and all for which it is known; and by the
# label's own decision threshold, those it is predicted for, and any but true negatives.
EFFECTIVE = (
    "effective_positives",
    "effective_negatives",
    "effective_decided",
    "effective_involved",
    "effective_known",
    "effective_threshold_decided",
    "effective_threshold_involved",
)

# Keras clips probabilities in its cross-entropy at the same value (its `epsilon`).
TINY = 1e-7


@dataclass(frozen=True)
class Answer:
    """A model's prediction for one example, by the signature for evaluation.

    Attributes:
        probabilities: float32 [K].
        uncalibrated: float32 [K], the same without calibration.
        decisions: [K] bool, whether each label is predicted by its own decision threshold.
        abstain: whether the model abstains, because the image is unlike all it was trained on.
    """

    probabilities: ArrayLike
    uncalibrated: ArrayLike
    decisions: ArrayLike
    abstain: bool

    def row(self) -> Rows:
        """The attributes in their order as float32 [3K + 1].

        >>> Answer([0.75, 0.25], [0.5, 0.5], [True, False], abstain=False).row()
        array([0.75, 0.25, 0.5 , 0.5 , 1.  , 0.  , 0.  ], dtype=float32)
        """
        parts = (self.probabilities, self.uncalibrated, self.decisions, [self.abstain])
        return np.concatenate([np.ravel(part) for part in parts], dtype=np.float32, casting="unsafe")


@dataclass(frozen=True)
class Entries:
    """The binary question whether a label applies, for each example and label.

    Attributes:
        positive: [n, K] whether the label applies.
        decided: [n, K] whether the model predicts it.
        chosen: [n, K] whether the model predicts it by the label's own decision threshold.
        score: float32 [n, K] predicted probability.
        weight: float64 [n, K]; 0 where the label is unknown.
    """

    positive: Bools
    decided: Bools
    chosen: Bools
    score: Rows
    weight: Floats


class ScoredAccumulator(Accumulator):
    """Accumulates counts, score histograms and calibration sums of K labels.

    Areas under curves are exact up to 8,000 examples, whose rows are kept; beyond, they come from the histograms.
    Memory is at most 2 x 4,000 x K float64.
    """

    kept_rows = 2 * curves.BINS

    def answers(self, rows: Rows) -> tuple[Rows, Rows, Rows]:
        """Reads `Answer.row` at the end of rows: probabilities, uncalibrated ones, decisions; each [n, K]."""
        k = self.classes
        p, raw, chosen = (rows[:, rows.shape[1] - 1 - i * k :][:, :k] for i in (3, 2, 1))
        return p, raw, chosen

    @abc.abstractmethod
    def entries(self, rows: Rows) -> Entries:
        """The binary questions of rows [n, width]."""

    def sums(self, rows: Rows) -> Sums:
        """Weights of true and false positives, false and true negatives, and the sums of `curves`.

        `decisions` [4, K]: weights; `squares` [4, K]: squared weights; `chosen` and `chosen_squares` [4, K]: the same
        by the labels' own thresholds; `abstained` [1]: weight of the examples that the model abstains from.
        """
        e = self.entries(rows)
        hit = e.positive
        return {
            "decisions": _cases(hit, e.decided, e.weight),
            "squares": _cases(hit, e.decided, e.weight**2),
            "chosen": _cases(hit, e.chosen, e.weight),
            "chosen_squares": _cases(hit, e.chosen, e.weight**2),
            "abstained": np.array([rows[:, 0].astype(np.float64) @ rows[:, -1]]),
            "calibration": curves.calibration(e.score, hit, e.weight),
            "histogram": curves.histogram(e.score, hit, e.weight),
        }

    def exact(self, rows: Rows) -> Sums:
        """`areas` [2, K] from the scores themselves."""
        e = self.entries(rows)
        return {"areas": curves.exact_areas(e.score, e.positive, e.weight)}

    def effective(self, sums: Sums) -> tuple[Mapping[str, float], Mapping[str, Floats]]:
        """The values of `EFFECTIVE`, per label."""
        tp, fp, fn, tn = np.stack([sums["decisions"], sums["squares"]], axis=1)  # each [2, K]
        chosen = np.stack([sums["chosen"], sums["chosen_squares"]], axis=1)
        by_own = (chosen[:2].sum(axis=0), chosen[:3].sum(axis=0))
        parts = (tp + fn, tn + fp, tp + fp, tp + fp + fn, tp + fp + fn + tn, *by_own)
        return {}, {name: effective(*part) for name, part in zip(EFFECTIVE, parts, strict=True)}

    def per_label(self, sums: Sums) -> dict[str, Floats]:
        """The values of `PER_LABEL`, float64 [K].

        precision = tp / (tp + fp), recall = tp / (tp + fn), f1 = 2 tp / (2 tp + fp + fn), specificity =
        tn / (tn + fp), binary_accuracy = (tp + tn) / all; auc and average_precision as in scikit-learn; ece as in
        `curves.ece`; support = tp + fn: the weight of the examples that the label applies to; threshold_precision,
        threshold_recall and threshold_f1: the same with the label's own threshold.
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
        """The share of the labelled examples from which the model abstains, `abstained`."""
        return {"abstained": fraction(sums["abstained"][0], sums["counts"][1])}


def _cases(positive: Bools, predicted: Bools, weight: Floats) -> Floats:
    """Weight of true and false positives, false and true negatives, [4, K]; all arguments [n, K]."""
    cases = (positive & predicted, ~positive & predicted, positive & ~predicted, ~positive & ~predicted)
    return np.stack([(weight * case).sum(axis=0) for case in cases])


def _rates(tp: Floats, fp: Floats, fn: Floats, tn: Floats) -> dict[str, Floats]:
    return {"precision": ratio(tp, tp + fp), "recall": ratio(tp, tp + fn), "f1": ratio(2 * tp, 2 * tp + fp + fn)}
