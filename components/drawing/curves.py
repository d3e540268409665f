"""From the answers to the test images to the points of curves: precision and recall, ROC, calibration."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.labels.kind import LabelKind
from components.metrics import curves
from components.metrics.base import Bools, Floats, Rows

MICRO = "all labels (micro)"
_POINTS = 100
_CLOSE = 0.002  # of the axes' length: less than a pixel

Row = Mapping[str, Any]  # as `components.evaluation.predictions.read` gives them


@dataclass(frozen=True)
class Curve:
    """One curve in the unit square.

    Attributes:
        name: of the label, or `MICRO`.
        x, y: its points, [P] each: recall and precision, or false and true positive rate.
        area: average precision, or area under the ROC curve; of all points, not only of those kept.
        bold: whether it stands for all labels.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    area: float
    bold: bool = False


@dataclass(frozen=True)
class _Answers:
    """positive: [n, K] whether a label applies; score, uncalibrated: float32 [n, K]; weight: [n, K], 0 if unknown."""

    positive: Bools
    score: Rows
    uncalibrated: Rows
    weight: Floats


def per_label(rows: Sequence[Row], labels: Sequence[str], kind: LabelKind) -> tuple[list[Curve], list[Curve]]:
    """(precision over recall, ROC) of each label and, bold, of all labels' questions together.

    A label that applies to no image, or to every one, has no curve. One invalid prediction, and there is none at all:
    the metrics, too, are undefined then.

    Args:
        rows: of `components.evaluation.predictions.read`.
        labels: K names, in the order of the model's outputs.
        kind: of labels of images. Where they are exclusive, each one is asked against the rest; else what is unknown
            of an image takes no part.
    """
    answers = _answers(rows, labels, kind)
    asked = [(name, answers.positive[:, i], answers.score[:, i], answers.weight[:, i]) for i, name in enumerate(labels)]
    whole = (MICRO, answers.positive.ravel(), answers.score.ravel(), answers.weight.ravel())
    both = [pair for question in (*asked, whole) if (pair := _curves(*question, bold=question is whole)) is not None]
    return [pair[0] for pair in both], [pair[1] for pair in both]


def reliability(rows: Sequence[Row], labels: Sequence[str], kind: LabelKind) -> tuple[Floats, Floats]:
    """`metrics.curves.calibration` of the answers and of those without calibration: float64 [3, 15] each.

    Of what the metric `ece` judges: each pixel, the most probable label of each image where labels are exclusive, or
    else each label of an image. Zeros where nothing is known or a prediction is invalid.
    """
    if kind.per_pixel:
        return _of_pixels(rows)
    a = _answers(rows, labels, kind)
    calibrated, raw = (_calibration(a, score, kind) for score in (a.score, a.uncalibrated))
    return calibrated, raw


def _answers(rows: Sequence[Row], labels: Sequence[str], kind: LabelKind) -> _Answers:
    """Those of the images of which something is known; none where one of them is invalid."""
    known = [r for r in rows if r["labels"] or (not kind.exclusive and len(r["unknown"]) < len(labels))]
    score, raw = (np.array([r[key] for r in known], np.float32) for key in ("probabilities", "uncalibrated"))
    if not np.isfinite(score).all() or not np.isfinite(raw).all():
        known, score, raw = [], score[:0], raw[:0]
    shape = (len(known), len(labels))
    weight = np.array([r["weight"] for r in known], np.float64)[:, np.newaxis] * ~_said(known, labels, "unknown")
    return _Answers(_said(known, labels, "labels"), score.reshape(shape), raw.reshape(shape), weight)


def _said(rows: Sequence[Row], labels: Sequence[str], key: str) -> Bools:
    """[n, K]: whether the label is among the row's names under `key`."""
    column = {name: i for i, name in enumerate(labels)}
    said = np.zeros((len(rows), len(labels)), np.bool_)
    for flags, row in zip(said, rows, strict=True):
        flags[[column[name] for name in row[key]]] = True
    return said


def _curves(name: str, positive: Bools, score: Rows, weight: Floats, *, bold: bool) -> tuple[Curve, Curve] | None:
    """(precision over recall, ROC) of one yes-or-no question to n images; all arguments [n]."""
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
    """Which points to keep, ascending, the first and the last among them, so that the drawn line stays.

    Douglas & Peucker (1973), largest gap first: until no point is farther than `close` from the line, or `points` are
    kept.

    Args:
        x, y: [n] each, n > 0.
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
    """(minus the distance, index of the point farthest from the line between two points, and these two)."""
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


def _of_pixels(rows: Iterable[Row]) -> tuple[Floats, Floats]:
    sums = np.zeros(2 * 3 * curves.CALIBRATION_BINS)
    for row in rows:
        sums += row["weight"] * np.array(row["calibration"], np.float64)
    if not np.isfinite(sums).all():
        sums = np.zeros_like(sums)
    calibrated, raw = sums.reshape(2, 3, -1)
    return calibrated, raw
