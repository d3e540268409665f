"""segmentation: each pixel has one label, or is ignored; an example comes as the confusion counts of its pixels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from components.metrics.base import (
    CONFUSION,
    Accumulator,
    Bools,
    Floats,
    Rows,
    Sums,
    effective,
    fraction,
    mean,
    ratio,
)

OVERALL = ("pixel_accuracy", "mean_class_accuracy", "mean_iou", "frequency_weighted_iou")
PER_LABEL = ("iou", "precision", "recall", "support")


def row(confusion: ArrayLike, weight: float = 1.0) -> Rows:
    """One image: float32 [1 + K*K] = weight, pixels [K, K] by truth (rows) and prediction, ignored ones left out.

    float32 holds counts up to 16.7 million exactly. NaN anywhere: the model's answer was no number.
    """
    return np.concatenate([[weight], np.asarray(confusion).ravel()], dtype=np.float32)


class Mask(Accumulator):
    """The sum of rows as `row` makes them: K x K float64."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.width = 1 + classes * classes

    def labelled(self, rows: Rows) -> Bools:
        """Those with a pixel that is not ignored; NaN is not 0, so invalid answers are among them."""
        return np.asarray(rows[:, 1:].sum(axis=1) != 0)

    def sums(self, rows: Rows) -> Sums:
        """Weighted pixels; `images` [2, K]: sums of the weights, and of their squares, of the images a label is in."""
        wide = rows.astype(np.float64)
        weight, pixels = wide[:, :1], wide[:, 1:].reshape(len(rows), self.classes, self.classes)
        there = pixels.sum(axis=2) > 0
        return {
            CONFUSION: np.tensordot(wide[:, 0], pixels, axes=1),
            "images": np.stack([(weight * there).sum(axis=0), (weight**2 * there).sum(axis=0)]),
        }

    def effective(self, sums: Sums) -> tuple[Mapping[str, float], Mapping[str, Floats]]:
        """Per label `effective_positives`: of the images that it is in."""
        return {}, {"effective_positives": effective(*sums["images"])}

    def metrics(self, sums: Sums) -> tuple[Mapping[str, float], Mapping[str, Floats]]:
        """Each of `OVERALL` and of `PER_LABEL`, from the pixels of all images together (Long et al. 2015).

        With n[i, j] pixels of i answered as j, t[i] = sum of row i, c[j] of column j: iou[i] = n[i, i] / (t[i] + c[i]
        - n[i, i]), precision[i] = n[i, i] / c[i], recall[i] = n[i, i] / t[i], support[i] = t[i]; pixel_accuracy =
        sum n[i, i] / sum t; mean_class_accuracy and mean_iou: mean recall and iou of the labels that occur in the
        truth, t[i] > 0, with answers of the other labels counted as errors of these; frequency_weighted_iou =
        sum t[i] iou[i] / sum t. A weighted image's pixels count as so many.
        """
        confusion = sums[CONFUSION]
        right, truth, answered = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
        iou = ratio(right, truth + answered - right)
        seen = truth > 0
        overall = {
            "pixel_accuracy": fraction(right.sum(), truth.sum()),
            "mean_class_accuracy": mean(ratio(right, truth)),
            "mean_iou": mean(iou[seen]),
            "frequency_weighted_iou": fraction((truth * iou)[seen].sum(), truth.sum()),
        }
        return overall, {
            "iou": iou,
            "precision": ratio(right, answered),
            "recall": ratio(right, truth),
            "support": truth,
        }
