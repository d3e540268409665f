"""Metrics of the task segmentation: each pixel has one label or is ignored; an image is its confusion counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.metrics import curves
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

OVERALL = (
    "pixel_accuracy",
    "mean_class_accuracy",
    "mean_iou",
    "frequency_weighted_iou",
    "ece",
    "uncalibrated_ece",
    "abstained",
)
PER_LABEL = ("iou", "precision", "recall", "support")


_CALIBRATION = 2 * 3 * curves.CALIBRATION_BINS


def row(confusion: ArrayLike, calibration: ArrayLike, abstain: bool, weight: float = 1.0) -> Rows:
    """The row of one image, float32 [1 + K*K + 2*3*bins + 1].

    Args:
        confusion: pixels [K, K] by truth (rows) and prediction, without ignored ones. float32 holds counts up to
            16.7 million exactly. NaN anywhere means that the model predicted NaN.
        calibration: [2, 3, bins], `curves.calibration` of the pixels, calibrated and uncalibrated.
        abstain: whether the model abstains, because the image is unlike all it was trained on.
        weight: of the image.
    """
    parts = ([weight], confusion, calibration, [abstain])
    return np.concatenate([np.ravel(part) for part in parts], dtype=np.float32, casting="unsafe")


class Mask(Accumulator):
    """Accumulates rows of `row` in K x K float64."""

    def __init__(self, classes: int, common: int | None = None) -> None:
        super().__init__(classes, common)
        self.width = 1 + classes * classes + _CALIBRATION + 1

    def labelled(self, rows: Rows) -> Bools:
        """Whether each row has a pixel that is not ignored; NaN is not 0, so invalid predictions are included."""
        return np.asarray(self._pixels(rows).sum(axis=1) != 0)

    def sums(self, rows: Rows) -> Sums:
        """Weighted pixels, confusion [K, K] and `top` [2, 3, 1, bins]; weighted images, `abstained` [1] and `images`
        [2, K]: sums of the weights, and of their squares, of the images in which each label occurs.
        """
        wide = rows.astype(np.float64)
        weight, calibration = wide[:, :1], wide[:, -1 - _CALIBRATION : -1]
        pixels = self._pixels(wide).reshape(len(rows), self.classes, self.classes)
        there = pixels.sum(axis=2) > 0
        return {
            CONFUSION: np.tensordot(wide[:, 0], pixels, axes=1),
            "top": (wide[:, 0] @ calibration).reshape(2, 3, 1, curves.CALIBRATION_BINS),
            "abstained": np.array([wide[:, 0] @ wide[:, -1]]),
            "images": np.stack([(weight * there).sum(axis=0), (weight**2 * there).sum(axis=0)]),
        }

    def effective(self, sums: Sums) -> tuple[Mapping[str, float], Mapping[str, Floats]]:
        """The effective number of images in which each label occurs, `effective_positives`."""
        return {}, {"effective_positives": effective(*sums["images"])}

    def metrics(self, sums: Sums) -> tuple[Mapping[str, float], Mapping[str, Floats]]:
        """The values of `OVERALL` and of `PER_LABEL`, from the pixels of all images together (Long et al. 2015).

        With n[i, j] pixels of i predicted as j, t[i] = sum of row i, c[j] of column j: iou[i] = n[i, i] / (t[i] + c[i]
        - n[i, i]), precision[i] = n[i, i] / c[i], recall[i] = n[i, i] / t[i], support[i] = t[i]; pixel_accuracy =
        sum n[i, i] / sum t; mean_class_accuracy and mean_iou: mean recall and iou of the labels that occur in the
        truth, t[i] > 0, where predictions of other labels count as errors; frequency_weighted_iou =
        sum t[i] iou[i] / sum t; ece: of the predicted labels' probabilities, uncalibrated_ece without calibration;
        abstained: share of the images from which the model abstains. The pixels of an image of weight w count w times.
        """
        confusion = sums[CONFUSION]
        correct, truth, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
        iou = ratio(correct, truth + predicted - correct)
        seen = truth > 0
        overall = {
            "pixel_accuracy": fraction(correct.sum(), truth.sum()),
            "mean_class_accuracy": mean(ratio(correct, truth)),
            "mean_iou": mean(iou[seen]),
            "frequency_weighted_iou": fraction((truth * iou)[seen].sum(), truth.sum()),
            "ece": float(curves.ece(sums["top"][0])[0]),
            "uncalibrated_ece": float(curves.ece(sums["top"][1])[0]),
            "abstained": fraction(sums["abstained"][0], sums["counts"][1]),
        }
        return overall, {
            "iou": iou,
            "precision": ratio(correct, predicted),
            "recall": ratio(correct, truth),
            "support": truth,
        }

    def _pixels(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows[:, 1 : 1 + self.classes**2]
