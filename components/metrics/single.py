"""Metrics of the task single_label: each example has one label, or none is known; the most probable is predicted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from components.metrics import curves, scored
from components.metrics.base import CONFUSION, Bools, Floats, Rows, Sums, fraction, mean
from components.metrics.scored import EFFECTIVE, PER_LABEL, TINY, Answer, Entries, ScoredAccumulator

__all__ = ["EFFECTIVE", "OVERALL", "PER_LABEL", "UNLABELLED", "SingleLabel", "row"]

OVERALL = ("accuracy", "balanced_accuracy", "macro_f1", "loss", "ece", *scored.OVERALL)
UNLABELLED = -1


def row(label: int, answer: Answer, weight: float = 1.0) -> Rows:
    """The row of one example, float32 [3 + 3K]: weight, index of the label or `UNLABELLED`, `Answer.row`."""
    return np.concatenate([[weight, label], answer.row()], dtype=np.float32)


class SingleLabel(ScoredAccumulator):
    """Accumulates rows of `row`.

    >>> accumulator = SingleLabel(2)
    >>> accumulator.add([row(0, Answer([0.8, 0.2], [0.8, 0.2], [True, False], abstain=False)),
    ...                  row(1, Answer([0.6, 0.4], [0.6, 0.4], [True, False], abstain=False))])
    >>> result = accumulator.result(["cat", "dog"])
    >>> result["accuracy"], result["recall/dog"], result["example_count"]
    (0.5, 0.0, 2.0)
    """

    def __init__(self, classes: int, common: int | None = None) -> None:
        super().__init__(classes, common)
        self.width = 3 + 3 * classes

    def labelled(self, rows: Rows) -> Bools:
        """Whether the label of each row is known."""
        return np.asarray(rows[:, 1] >= 0)

    def entries(self, rows: Rows) -> Entries:
        """Each label against the others; the one with the largest probability is predicted."""
        label = np.arange(self.classes)
        truth, (p, _, chosen) = rows[:, 1:2].astype(np.int64), self.answers(rows)
        weight = np.broadcast_to(rows[:, :1].astype(np.float64), p.shape)
        return Entries(label == truth, label == p.argmax(axis=1, keepdims=True), chosen > 0, p, weight)

    def sums(self, rows: Rows) -> Sums:
        """Adds to the sums per label the confusion [K, K] and, calibrated and uncalibrated, the loss [2] and `top`
        [2, 3, 1, 15], the calibration of the predicted labels.
        """
        weight, truth, (p, raw, _) = rows[:, 0].astype(np.float64), rows[:, 1].astype(np.int64), self.answers(rows)
        k = self.classes
        confusion = np.bincount(truth * k + p.argmax(axis=1), weight, minlength=k * k)
        both = [_loss_and_calibration(probabilities, truth, weight) for probabilities in (p, raw)]
        loss, top = zip(*both, strict=True)
        return super().sums(rows) | {
            CONFUSION: confusion.astype(np.float64).reshape(k, k),
            "loss": np.array(loss),
            "top": np.stack(top),
        }

    def metrics(self, sums: Sums) -> tuple[Mapping[str, float], Mapping[str, Floats]]:
        """The values of `OVERALL` and of `PER_LABEL`; an example of weight w counts w times.

        accuracy: share of correct predictions; balanced_accuracy: mean recall of the labels that have examples;
        macro_f1: mean F1 of the labels that have examples or are predicted (all three as in scikit-learn); loss: mean
        of -ln(probability of the truth, at least 1e-7); ece: of the predicted labels' probabilities;
        uncalibrated_loss and uncalibrated_ece: the same without calibration.
        """
        per_label = self.per_label(sums)
        total = sums["counts"][1]
        overall = {
            "accuracy": fraction(np.trace(sums[CONFUSION]), total),
            "balanced_accuracy": mean(per_label["recall"][: self.common]),
            "macro_f1": mean(per_label["f1"][: self.common]),
            "loss": fraction(sums["loss"][0], total),
            "ece": float(curves.ece(sums["top"][0])[0]),
            "uncalibrated_loss": fraction(sums["loss"][1], total),
            "uncalibrated_ece": float(curves.ece(sums["top"][1])[0]),
        }
        return overall | self.overall(sums), per_label


def _loss_and_calibration(p: Rows, truth: NDArray[np.int64], weight: Floats) -> tuple[Floats, Floats]:
    """The sum of the losses of probabilities [n, K], and `curves.calibration` of the largest of each row."""
    predicted, each = p.argmax(axis=1), np.arange(len(p))
    of_truth = np.maximum(p[each, truth].astype(np.float64), TINY)
    top = curves.calibration(p[each, predicted][:, None], (predicted == truth)[:, None], weight[:, None])
    return -(weight * np.log(of_truth)).sum(), top
