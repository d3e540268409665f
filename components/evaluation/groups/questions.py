"""What is asked of the test images: one number from 0 (wrong) to 1 (right) for each, from the predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.evaluation.predictions import Prediction
from components.labels.kind import LabelKind
from components.metrics.base import Floats, ratio

_APPLIES = 0.5  # as in the metrics of several labels


@dataclass(frozen=True)
class Question:
    """How right the model is about some of the test images.

    Attributes:
        label: the label that all of them have, or None: all images.
        images: [m], their places in the predictions.
        score: [m], from 0 to 1.
        strata: [m]; an image is compared only with those of the same number.
        measure: what the mean of `score` is called.
    """

    label: str | None
    images: NDArray[np.intp]
    score: Floats
    strata: NDArray[np.intp]
    measure: str


def questions(rows: Sequence[Prediction], labels: Sequence[str], kind: LabelKind) -> list[Question]:
    """The question about all images, and one for each label.

    - `single_label`: whether the answer is right. Images are compared only with those of the same label, since a
      group of images of a hard label is no finding: labels have metrics of their own.
    - `multi_label`: the share of the known labels that are right; of a label, whether it is found where it applies.
    - `segmentation`: the mean IoU of the labels that the image has; of a label, its IoU.

    Args:
        rows: the predictions; images without a known label are left out.
        labels: in the order of the model's outputs.
        kind: of the labels.

    Returns:
        none if there is only one exclusive label, or if any answer is not a number, which voids every metric.
    """
    if not rows or kind.is_detector(len(labels)):
        return []
    numbers = np.array([row[kind.output] for row in rows], np.float64)  # type: ignore[literal-required]
    if not np.isfinite(numbers).all():
        return []
    asked = _masks if kind.per_pixel else _single if kind.exclusive else _multi
    return list(asked(rows, labels, numbers))


def _single(rows: Sequence[Prediction], labels: Sequence[str], p: Floats) -> Iterator[Question]:
    index = {label: i for i, label in enumerate(labels)}
    known = np.flatnonzero([bool(row["labels"]) for row in rows])
    truth = np.array([index[row["labels"][0]] for row in rows if row["labels"]], np.intp)
    right = (p[known].argmax(axis=1) == truth).astype(np.float64)
    yield Question(None, known, right, truth, "accuracy")
    for k, label in enumerate(labels):
        own = truth == k
        yield Question(label, known[own], right[own], truth[own], "accuracy")


def _multi(rows: Sequence[Prediction], labels: Sequence[str], p: Floats) -> Iterator[Question]:
    applies = np.array([[label in row["labels"] for label in labels] for row in rows], bool)
    known = np.array([[label not in row["unknown"] for label in labels] for row in rows], bool)
    right = (p >= _APPLIES) == applies
    share = ratio((right & known).sum(axis=1).astype(np.float64), known.sum(axis=1).astype(np.float64))
    yield _unstratified(None, share, "share of right labels")
    for k, label in enumerate(labels):
        yield _unstratified(label, np.where(applies[:, k], right[:, k].astype(np.float64), np.nan), "recall")


def _masks(rows: Sequence[Prediction], labels: Sequence[str], cells: Floats) -> Iterator[Question]:
    k = len(labels)
    pixels = cells.reshape(len(rows), k, k)
    right, truth = np.diagonal(pixels, axis1=1, axis2=2), pixels.sum(axis=2)
    iou = np.where(truth > 0, ratio(right, truth + pixels.sum(axis=1) - right), np.nan)
    there = (truth > 0).sum(axis=1).astype(np.float64)
    yield _unstratified(None, ratio(np.nansum(iou, axis=1), there), "mean IoU")
    for i, label in enumerate(labels):
        yield _unstratified(label, iou[:, i], "IoU")


def _unstratified(label: str | None, score: Floats, measure: str) -> Question:
    """The question whose score [n] is NaN for images that it is not about."""
    images = np.flatnonzero(np.isfinite(score))
    return Question(label, images, score[images], np.zeros(len(images), np.intp), measure)
