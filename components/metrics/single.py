"""single_label: each example has one label, or nobody said which; the most probable one is the model's answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from components.metrics import curves
from components.metrics.base import CONFUSION, Bools, Floats, Rows, Sums, fraction, mean
from components.metrics.scored import PER_LABEL, TINY, Entries, ScoredAccumulator

__all__ = ["OVERALL", "PER_LABEL", "UNLABELLED", "SingleLabel", "row"]

OVERALL = ("accuracy", "balanced_accuracy", "macro_f1", "loss", "ece")
UNLABELLED = -1


def row(label: int, probabilities: Rows, weight: float = 1.0) -> Rows:
    """One example: float32 [2 + K] = weight, index of the label or `UNLABELLED`, probabilities [K]."""
    return np.concatenate([[weight, label], probabilities], dtype=np.float32)


class SingleLabel(ScoredAccumulator):
    """Counts of rows as `row` makes them."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.width = 2 + classes

    def labelled(self, rows: Rows) -> Bools:
        """Those with a label."""
        return np.asarray(rows[:, 1] >= 0)

    def entries(self, rows: Rows) -> Entries:
        """One label against the rest, decided by the largest probability."""
        label = np.arange(self.classes)
        truth, p = rows[:, 1:2].astype(np.int64), rows[:, 2:]
        weight = np.broadcast_to(rows[:, :1].astype(np.float64), p.shape)
        return Entries(label == truth, label == p.argmax(axis=1, keepdims=True), p, weight)

    def sums(self, rows: Rows) -> Sums:
        """Besides those per label: confusion [K, K], loss [1], `top`: calibration of the model's answers [3, 1, 15]."""
        weight, truth, p = rows[:, 0].astype(np.float64), rows[:, 1].astype(np.int64), rows[:, 2:]
        answer, each, k = p.argmax(axis=1), np.arange(len(rows)), self.classes
        confusion = np.bincount(truth * k + answer, weight, minlength=k * k)
        of_truth = np.maximum(p[each, truth].astype(np.float64), TINY)
        return super().sums(rows) | {
            CONFUSION: confusion.astype(np.float64).reshape(k, k),
            "loss": np.array([-(weight * np.log(of_truth)).sum()]),
            "top": curves.calibration(p[each, answer][:, None], (answer == truth)[:, None], weight[:, None]),
        }

    def metrics(self, sums: Sums) -> tuple[Mapping[str, float], Mapping[str, Floats]]:
        """Each of `OVERALL` and of `PER_LABEL`; a weighted example counts as so many.

        accuracy: share of right answers; balanced_accuracy: mean recall of the labels that have examples; macro_f1:
        mean F1 of the labels that have examples or are answered (all three as in scikit-learn); loss: mean of
        -ln(probability of the truth, at least 1e-7); ece: of the answers' probabilities.
        """
        per_label = self.per_label(sums)
        total = sums["counts"][1]
        overall = {
            "accuracy": fraction(np.trace(sums[CONFUSION]), total),
            "balanced_accuracy": mean(per_label["recall"]),
            "macro_f1": mean(per_label["f1"]),
            "loss": fraction(sums["loss"][0], total),
            "ece": float(curves.ece(sums["top"])[0]),
        }
        return overall, per_label
