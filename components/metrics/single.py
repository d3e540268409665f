"""single_label: each example has one label, or nobody said which; the most probable one is the model's answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from components.metrics import curves, scored
from components.metrics.base import CONFUSION, Bools, Floats, Rows, Sums, fraction, mean
from components.metrics.scored import PER_LABEL, TINY, Answer, Entries, ScoredAccumulator

__all__ = ["OVERALL", "PER_LABEL", "UNLABELLED", "SingleLabel", "row"]

OVERALL = ("accuracy", "balanced_accuracy", "macro_f1", "loss", "ece", *scored.OVERALL)
UNLABELLED = -1


def row(label: int, answer: Answer, weight: float = 1.0) -> Rows:
    """One example: float32 [3 + 3K] = weight, index of the label or `UNLABELLED`, `Answer.row`."""
    return np.concatenate([[weight, label], answer.row()], dtype=np.float32)


class SingleLabel(ScoredAccumulator):
    """Counts of rows as `row` makes them."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.width = 3 + 3 * classes

    def labelled(self, rows: Rows) -> Bools:
        """Those with a label."""
        return np.asarray(rows[:, 1] >= 0)

    def entries(self, rows: Rows) -> Entries:
        """One label against the rest, decided by the largest probability."""
        label = np.arange(self.classes)
        truth, (p, _, chosen) = rows[:, 1:2].astype(np.int64), self.answers(rows)
        weight = np.broadcast_to(rows[:, :1].astype(np.float64), p.shape)
        return Entries(label == truth, label == p.argmax(axis=1, keepdims=True), chosen > 0, p, weight)

    def sums(self, rows: Rows) -> Sums:
        """Besides those per label: confusion [K, K]; and, calibrated and not, loss [2], `top` [2, 3, 1, 15]:
        calibration of the model's answers.
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
        """Each of `OVERALL` and of `PER_LABEL`; a weighted example counts as so many.

        accuracy: share of right answers; balanced_accuracy: mean recall of the labels that have examples; macro_f1:
        mean F1 of the labels that have examples or are answered (all three as in scikit-learn); loss: mean of
        -ln(probability of the truth, at least 1e-7); ece: of the answers' probabilities; uncalibrated_loss and
        uncalibrated_ece: the same without the calibration.
        """
        per_label = self.per_label(sums)
        total = sums["counts"][1]
        overall = {
            "accuracy": fraction(np.trace(sums[CONFUSION]), total),
            "balanced_accuracy": mean(per_label["recall"]),
            "macro_f1": mean(per_label["f1"]),
            "loss": fraction(sums["loss"][0], total),
            "ece": float(curves.ece(sums["top"][0])[0]),
            "uncalibrated_loss": fraction(sums["loss"][1], total),
            "uncalibrated_ece": float(curves.ece(sums["top"][1])[0]),
        }
        return overall | self.overall(sums), per_label


def _loss_and_calibration(p: Rows, truth: NDArray[np.int64], weight: Floats) -> tuple[Floats, Floats]:
    """(sum of the losses, `curves.calibration` of the largest of each) of probabilities [n, K]."""
    answer, each = p.argmax(axis=1), np.arange(len(p))
    of_truth = np.maximum(p[each, truth].astype(np.float64), TINY)
    top = curves.calibration(p[each, answer][:, None], (answer == truth)[:, None], weight[:, None])
    return -(weight * np.log(of_truth)).sum(), top
