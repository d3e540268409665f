"""Points of curves from the predictions for the test split: precision and recall, ROC, calibration."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from components.evaluation.predictions import Prediction
from components.labels.kind import LabelKind
from components.metrics import curves
from components.metrics.base import Bools, Floats, Rows

MICRO = "all labels (micro)"
_POINTS = 100  # largest number of points of a curve
_CLOSE = 0.002  # share of the axes' length: less than a pixel


@dataclass(frozen=True)
class Curve:
    """A curve in the unit square.

    Attributes:
        name: the label's name, or `MICRO`.
        x, y: points, [P] each: recall and precision, or false and true positive rate.
        area: average precision, or area under the ROC curve, of all points before thinning.
        bold: whether the curve is that of all labels together.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    area: float
    bold: bool = False


@dataclass(frozen=True)
class _Answers:
    """Predictions as arrays.

    Attributes:
        positive: bool [n, K]: whether a label applies.
        score, uncalibrated: float32 [n, K]: probabilities.
        weight: float64 [n, K]: the image's weight; 0 for unknown labels.
    """

    positive: Bools
    score: Rows
    uncalibrated: Rows
    weight: Floats


def per_label(rows: Sequence[Prediction], labels: Sequence[str], kind: LabelKind) -> tuple[list[Curve], list[Curve]]:
    """Precision-recall and ROC curves of each label, and bold ones of all labels together (micro average).

    Labels that apply to no image or to every image have no curve. If any prediction is invalid, there are no curves at
    all, because the metrics are undefined, too.

    Args:
        rows: see `components.evaluation.predictions.read`.
        labels: K names, in the order of the model's outputs.
        kind: of the labels, which belong to whole images. Exclusive labels are judged one against the rest; otherwise
            unknown labels of an image are excluded.
    """
    answers = _answers(rows, labels, kind)
    columns = zip(labels, answers.positive.T, answers.score.T, answers.weight.T, strict=True)
    whole = (MICRO, answers.positive.ravel(), answers.score.ravel(), answers.weight.ravel())
    pairs = [pair for binary in (*columns, whole) if (pair := _curves(*binary, bold=binary is whole)) is not None]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def reliability(rows: Sequence[Prediction], labels: Sequence[str], kind: LabelKind) -> tuple[Floats, Floats]:
    """`metrics.curves.calibration` of the calibrated and of the uncalibrated probabilities: float64 [3, 15] each.

    As in the metric `ece`, it judges each pixel; for images, the most probable of exclusive labels, otherwise each
    label. All numbers are 0 if nothing is known or a prediction is invalid.
    """
    if kind.per_pixel:
        return _pixel_calibration(rows)
    answers = _answers(rows, labels, kind)
    calibrated, raw = (_calibration(answers, p, kind) for p in (answers.score, answers.uncalibrated))
    return calibrated, raw


def _answers(rows: Sequence[Prediction], labels: Sequence[str], kind: LabelKind) -> _Answers:
    """The predictions for images with any known label; none at all if one of them is invalid."""
    known = [r for r in rows if r["labels"] or (not kind.exclusive and len(r["unknown"]) < len(labels))]
    score = np.array([r["probabilities"] for r in known], np.float32)
    raw = np.array([r["uncalibrated"] for r in known], np.float32)
    if not np.isfinite(score).all() or not np.isfinite(raw).all():
        known, score, raw = [], score[:0], raw[:0]
    shape = (len(known), len(labels))
    weight = np.array([r["weight"] for r in known], np.float64)[:, np.newaxis] * ~_flags(known, labels, "unknown")
    return _Answers(_flags(known, labels, "labels"), score.reshape(shape), raw.reshape(shape), weight)


def _flags(rows: Sequence[Prediction], labels: Sequence[str], key: Literal["labels", "unknown"]) -> Bools:
    """Whether a row names a label under `key`, [n, K]."""
    column = {name: i for i, name in enumerate(labels)}
    flags = np.zeros((len(rows), len(labels)), np.bool_)
    for of_row, row in zip(flags, rows, strict=True):
        of_row[[column[name] for name in row[key]]] = True
    return flags


def _curves(name: str, positive: Bools, score: Rows, weight: Floats, *, bold: bool) -> tuple[Curve, Curve] | None:
    """The precision-recall and the ROC curve of a binary classification of n images; arrays [n]."""
    from sklearn import metrics

    counts = weight > 0
    y, p, w = positive[counts], score[counts], weight[counts]
    if y.all() or not y.any():
        return None
    precision, recall, _ = metrics.precision_recall_curve(y, p, sample_weight=w)
    false, true, _ = metrics.roc_curve(y, p, sample_weight=w)
    precise = metrics.average_precision_score(y, p, sample_weight=w)
    auc = metrics.roc_auc_score(y, p, sample_weight=w)
    return _curve(name, recall[::-1], precision[::-1], precise, bold), _curve(name, false, true, auc, bold)


def _curve(name: str, x: Floats, y: Floats, area: float, bold: bool) -> Curve:
    kept = thinned(x, y)
    return Curve(name, tuple(x[kept].tolist()), tuple(y[kept].tolist()), float(area), bold)


def thinned(x: Floats, y: Floats, points: int = _POINTS, close: float = _CLOSE) -> list[int]:
    """Indices of the points that keep the shape of a line, ascending, with its first and last point.

    The algorithm of Douglas & Peucker (1973), largest gap first, until no point is farther than `close` from the line,
    or `points` are kept.

    >>> thinned(np.array([0, 0.5, 1, 1]), np.array([0, 0.5, 1, 0]))
    [0, 2, 3]

    Args:
        x, y: [n] each, n > 0.
        points: largest number of points to keep.
        close: distance that is not visible.
    """
    kept = {0, len(x) - 1}
    waiting = [_farthest(x, y, 0, len(x) - 1)]
    while waiting and len(kept) < points:
        gap, at, first, last = heapq.heappop(waiting)
        if -gap <= close:
            break
        kept.add(at)
        for part in ((first, at), (at, last)):
            heapq.heappush(waiting, _farthest(x, y, *part))
    return sorted(kept)


def _farthest(x: Floats, y: Floats, first: int, last: int) -> tuple[float, int, int, int]:
    """The point farthest from the line between two points: (negative distance, its index, first, last)."""
    dx, dy = x[last] - x[first], y[last] - y[first]
    from_x, from_y = x[first : last + 1] - x[first], y[first : last + 1] - y[first]
    along = np.clip((from_x * dx + from_y * dy) / (dx * dx + dy * dy or 1.0), 0, 1)
    away = np.hypot(from_x - along * dx, from_y - along * dy)
    at = int(away.argmax())
    return -float(away[at]), first + at, first, last


def _calibration(answers: _Answers, score: Rows, kind: LabelKind) -> Floats:
    if not kind.exclusive:
        return np.asarray(curves.calibration(score, answers.positive, answers.weight).sum(axis=1))
    each_image, best = np.arange(len(score)), score.argmax(axis=1)
    top, hit = score[each_image, best], answers.positive[each_image, best]
    return curves.calibration(top[:, np.newaxis], hit[:, np.newaxis], answers.weight[:, :1])[:, 0]


def _pixel_calibration(rows: Iterable[Prediction]) -> tuple[Floats, Floats]:
    sums = np.zeros(2 * 3 * curves.CALIBRATION_BINS)
    for row in rows:
        sums += row["weight"] * np.array(row["calibration"], np.float64)
    if not np.isfinite(sums).all():
        sums = np.zeros_like(sums)
    calibrated, raw = sums.reshape(2, 3, -1)
    return calibrated, raw
