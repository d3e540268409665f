"""Metrics of the task multi_label: each label of an example applies, does not apply, or is unknown."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from components.metrics import clusters, curves, scored
from components.metrics.base import Bools, Floats, Rows, Sums, effective, fraction, mean
from components.metrics.scored import EFFECTIVE, PER_LABEL, TINY, Answer, Entries, ScoredAccumulator

__all__ = ["EFFECTIVE", "EFFECTIVE_OF_ALL", "OVERALL", "PER_LABEL", "MultiLabel", "row"]

OVERALL = (
    "binary_accuracy",
    "exact_match",
    "hamming_loss",
    "cosine_similarity",
    "micro_f1",
    "macro_f1",
    "mean_average_precision",
    "loss",
    "ece",
    *scored.OVERALL,
)
# Of all labels together: the effective numbers of independent answers that the share of right ones, micro F1 and the
# mean cosine rest on, and of the images that the last two are of. The labels of an image depend on one another.
EFFECTIVE_OF_ALL = (
    "effective_known",
    "effective_involved",
    "effective_cosines",
    "effective_involving",
    "effective_labelled",
)
_APPLIES = 0.5  # logit 0


def row(target: ArrayLike, answer: Answer, weight: float = 1.0) -> Rows:
    """The row of one example, float32 [2 + 4K]: weight, target [K] (1 applies, 0 not, -1 unknown), `Answer.row`."""
    return np.concatenate([[weight], np.asarray(target), answer.row()], dtype=np.float32)


class MultiLabel(ScoredAccumulator):
    """Accumulates rows of `row`."""

    def __init__(self, classes: int, common: int | None = None) -> None:
        super().__init__(classes, common)
        self.width = 2 + 4 * classes

    def labelled(self, rows: Rows) -> Bools:
        """Whether any label of each row is known."""
        return np.asarray((self._target(rows) >= 0).any(axis=1))

    def entries(self, rows: Rows) -> Entries:
        """Each label by itself, predicted from a probability of 0.5; unknown entries have weight 0."""
        target, (p, _, chosen) = self._target(rows), self.answers(rows)
        weight = rows[:, :1].astype(np.float64) * (target >= 0)
        return Entries(target > 0, p >= _APPLIES, chosen > 0, p, weight)

    def sums(self, rows: Rows) -> Sums:
        """Adds four sums to those per label.

        `examples` [3]: weight of exact matches, of cosines, and of examples with a cosine; loss [2]: calibrated and
        uncalibrated; `raw_calibration`: the calibration sums of the uncalibrated probabilities; `clusters` [5, 3]:
        `clusters.moments` of right in known labels, of tp in tp + fp + fn, and of the cosine in 1.
        """
        e = self.entries(rows)
        weight, known = rows[:, 0].astype(np.float64), self._target(rows) >= 0
        right = ((e.decided == e.positive) | ~known).all(axis=1)
        some = e.positive.any(axis=1)
        cosine = _cosine(e.positive, e.score * known)
        _, raw, _ = self.answers(rows)
        hit, involved = e.positive & e.decided & known, (e.positive | e.decided) & known
        parts = [((e.decided == e.positive) & known).sum(axis=1), hit.sum(axis=1), cosine]
        wholes = [known.sum(axis=1), involved.sum(axis=1), some]
        return super().sums(rows) | {
            "clusters": clusters.moments(
                np.stack(parts, axis=1).astype(np.float64), np.stack(wholes, axis=1).astype(np.float64), weight[:, None]
            ),
            "loss": np.array([_loss(e.positive, p, e.weight) for p in (e.score, raw)]),
            "raw_calibration": curves.calibration(raw, e.positive, e.weight),
            "examples": np.stack([weight * right, weight * cosine, weight * some]).sum(axis=1),
        }

    def metrics(self, sums: Sums) -> tuple[Mapping[str, float], Mapping[str, Floats]]:
        """The values of `OVERALL` and of `PER_LABEL`, weighted, from known entries (a label of an example) only.

        binary_accuracy: share of entries predicted correctly; hamming_loss: share of the others; exact_match: share
        of examples all of whose known entries are predicted correctly; cosine_similarity: mean over examples of
        t·p / (|t| |p|), t and p the target and the probabilities of the example's known entries, over those examples
        where any label applies (without one t has no direction; Keras counts 0 there); micro_f1: of all entries
        together; macro_f1: mean F1 of the labels that apply or are predicted anywhere; mean_average_precision: mean
        over the labels that apply anywhere; loss: mean binary cross-entropy per entry, probabilities at least 1e-7;
        ece: mean of the labels' (classwise ECE, Kull et al. 2019); uncalibrated_loss and uncalibrated_ece: the same
        without the calibration.
        """
        per_label = self.per_label(sums)
        tp, fp, fn, tn = sums["decisions"].sum(axis=1)
        entries = tp + fp + fn + tn
        exact, cosine, with_cosine = sums["examples"]
        overall = {
            "binary_accuracy": fraction(tp + tn, entries),
            "exact_match": fraction(exact, sums["counts"][1]),
            "hamming_loss": fraction(fp + fn, entries),
            "cosine_similarity": fraction(cosine, with_cosine),
            "micro_f1": fraction(2 * tp, 2 * tp + fp + fn),
            "macro_f1": mean(per_label["f1"]),
            "mean_average_precision": mean(per_label["average_precision"]),
            "loss": fraction(sums["loss"][0], entries),
            "ece": mean(per_label["ece"]),
            "uncalibrated_loss": fraction(sums["loss"][1], entries),
            "uncalibrated_ece": mean(curves.ece(sums["raw_calibration"])),
        }
        return overall | self.overall(sums), per_label

    def effective(self, sums: Sums) -> tuple[Mapping[str, float], Mapping[str, Floats]]:
        """Adds to the numbers per label the values of `EFFECTIVE_OF_ALL`."""
        tp, fp, fn, tn = np.stack([sums["decisions"], sums["squares"]], axis=1).sum(axis=2)
        known, involved, (_, cosine, some) = tp + fp + fn + tn, tp + fp + fn, sums["examples"]
        part, whole = np.array([tp[0] + tn[0], tp[0], cosine]), np.array([known[0], involved[0], some])
        most = np.array([effective(*known), effective(*involved), np.inf])
        worth, images = clusters.worth(part, whole, sums["clusters"], most), clusters.images(sums["clusters"])
        values = map(float, (*worth, *images[1:]))
        return dict(zip(EFFECTIVE_OF_ALL, values, strict=True)), super().effective(sums)[1]

    def _target(self, rows: Rows) -> Rows:
        return rows[:, 1 : 1 + self.classes]


def _loss(positive: Bools, probabilities: Rows, weight: Floats) -> float:
    p = probabilities.astype(np.float64)
    return float(-(weight * np.log(np.maximum(np.where(positive, p, 1 - p), TINY))).sum())


def _cosine(positive: Bools, score: Rows) -> Floats:
    """Cosine of the angle between each pair of rows, [n] from [n, K]; 0 where one of them is 0."""
    p = score.astype(np.float64)
    norm = np.sqrt(positive.sum(axis=1) * (p * p).sum(axis=1))
    return np.divide((positive * p).sum(axis=1), norm, out=np.zeros(len(p)), where=norm > 0)
