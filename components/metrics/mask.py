"""Metrics of the task segmentation: each pixel has one label or is ignored; an image is its confusion counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.metrics import clusters, curves
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
# Metrics of all labels together that have an interval.
INTERVALS = ("pixel_accuracy", "mean_class_accuracy", "mean_iou")
# Effective numbers, of all labels together and of each label: of independent answers that the metrics rest on, since
# the pixels of an image depend on one another; of images in which the label occurs, is predicted, or either.
EFFECTIVE = (
    tuple(f"effective_{metric}" for metric in INTERVALS),
    (
        "effective_positives",
        "effective_decided",
        "effective_involved",
        "effective_recall",
        "effective_precision",
        "effective_iou",
    ),
)


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
        """Weighted pixels, confusion [K, K] and `top` [2, 3, 1, bins]; weighted images, `abstained` [1]; and what the
        intervals need: `clusters.moments` of the right pixels in those of each label, `labels` [5, 3, K], wholes as in
        `_wholes`, and in all, `pixels` [5]; `products` [3, K, K] of two labels' pixels, sums of w^2 times right x
        right, right x whole, whole x whole for the IoU, and `recalls` [3, K, K] likewise for the recall.
        """
        wide = rows.astype(np.float64)
        weight, calibration = wide[:, :1], wide[:, -1 - _CALIBRATION : -1]
        pixels = self._pixels(wide).reshape(len(rows), self.classes, self.classes)
        square = wide[:, 0] ** 2
        right = np.diagonal(pixels, axis1=1, axis2=2)
        truth, _, union = wholes = _wholes(pixels)
        return {
            CONFUSION: np.tensordot(wide[:, 0], pixels, axes=1),
            "top": (wide[:, 0] @ calibration).reshape(2, 3, 1, curves.CALIBRATION_BINS),
            "abstained": np.array([wide[:, 0] @ wide[:, -1]]),
            "labels": np.stack([clusters.moments(right, whole, weight) for whole in wholes], axis=1),
            "pixels": clusters.moments(right.sum(axis=1), truth.sum(axis=1), wide[:, 0]),
            "products": _products(right, union, square),
            "recalls": _products(right, truth, square),
        }

    def effective(self, sums: Sums) -> tuple[Mapping[str, float], Mapping[str, Floats]]:
        """The values of `EFFECTIVE`."""
        right, wholes = np.diag(sums[CONFUSION]), np.stack(_wholes(sums[CONFUSION][None]))[:, 0]
        images = clusters.images(sums["labels"])
        worth = clusters.worth(np.broadcast_to(right, wholes.shape), wholes, sums["labels"])
        n, seen = effective(*sums["counts"][1:3]), wholes[0] > 0
        means = (
            clusters.worth(right.sum(), wholes[0].sum(), sums["pixels"]),
            _mean_worth(right, wholes[0], sums["recalls"], images[0], seen, n),
            _mean_worth(right, wholes[2], sums["products"], images[2], seen, n),
        )
        whole = dict(zip(EFFECTIVE[0], map(float, means), strict=True))
        return whole, dict(zip(EFFECTIVE[1], (*images, *worth), strict=True))

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


def _wholes(pixels: Floats) -> tuple[Floats, Floats, Floats]:
    """Pixels of confusion counts [n, K, K] that the label has, is predicted for, or either, each [n, K]."""
    truth, predicted = pixels.sum(axis=2), pixels.sum(axis=1)
    return truth, predicted, truth + predicted - np.diagonal(pixels, axis1=1, axis2=2)


def _products(part: Floats, whole: Floats, square: Floats) -> Floats:
    """Sums over images of squared weights [n] times the products of two labels' pixels [n, K], [3, K, K]."""
    weighted = square[:, None] * part
    return np.stack([weighted.T @ part, weighted.T @ whole, (square[:, None] * whole).T @ whole])


def _mean_worth(part: Floats, whole: Floats, products: Floats, images: Floats, seen: Bools, n: Floats) -> Floats:
    """Effective number of independent answers that the mean of the labels' shares rests on.

    The residual of an image is the mean of the labels' (a - R b) / B. A label whose residuals are all 0, as that of a
    label in one image, has an unknown variance and counts as if its images were all right or all wrong.

    Args:
        part, whole, images: of each label [K]: A, B, and the effective number of images with b > 0.
        products: of `_products`.
        seen: [K], the labels that the mean is over.
        n: effective number of images.
    """
    used = seen & (whole > 0)
    if not used.any():
        return np.asarray(n)
    scale = np.where(used, 1 / np.where(used, whole, 1), 0.0) / used.sum()
    share = np.where(used, part * scale * used.sum(), 0.0)
    aa, ab, bb = products
    residuals = aa - ab * share - (ab * share).T + bb * np.outer(share, share)
    more = np.sqrt(np.divide(images, images - 1, out=np.ones(len(images)), where=images > 1))
    variance = (scale * more) @ residuals @ (scale * more)
    own = np.diagonal(residuals)
    unknown = used & ((images <= 1) | (own <= clusters.ROUNDING * np.diagonal(bb)))
    variance += (share * (1 - share) / np.maximum(images, 1))[unknown].sum() / used.sum() ** 2
    return clusters.independent(np.asarray(share[used].mean()), np.asarray(variance), n)
