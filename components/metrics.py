"""Every metric by name, from counts: one NumPy accumulator per slice of the evaluation, added up row by row.

`Accumulator` holds what all the metrics need (confusion counts, score histograms, calibration sums); `add` takes
batches, `merge` other accumulators, `result` gives every number. Label names are the keys: "recall/cat".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

OVERALL = ("accuracy", "balanced_accuracy", "macro_f1", "loss", "ece")
PER_LABEL = (
    "precision",
    "recall",
    "f1",
    "specificity",
    "binary_accuracy",
    "auc",
    "average_precision",
    "ece",
    "support",
)
SMALLER_IS_BETTER = frozenset({"loss", "ece"})
COUNTS = ("example_count", "weighted_count", "invalid_predictions")
CONFUSION = "confusion_matrix"

_BINS = 4000
_ECE_BINS = 15
# Below this many rows the raw scores take no more room than the histogram, and curves from them are exact.
_EXACT_ROWS = 2 * _BINS
# float32 softmax cannot tell 0 from smaller numbers; Keras clips its cross-entropy at the same place.
_TINY = 1e-7

Row = NDArray[np.float32]


def key(metric: str, label: str) -> str:
    """Name of a per-label metric: "recall/cat"."""
    return f"{metric}/{label}"


def names(labels: Sequence[str]) -> list[str]:
    """Every key of `Accumulator.result`."""
    return [*OVERALL, *COUNTS, CONFUSION, *(key(m, label) for m in PER_LABEL for label in labels)]


def row(label: int, probabilities: NDArray[np.float32], weight: float = 1.0) -> Row:
    """One example as the accumulator takes it: float32 [2 + K] = true class, weight, probabilities [K]."""
    return np.concatenate([np.array([label, weight], np.float32), probabilities.astype(np.float32)])


class Accumulator:
    """Counts of single-label predictions: argmax decides, all examples weigh `weight`.

    Memory: at most 2 x 4,000 x K float64 and K x K; raw rows while there are few.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._rows: list[NDArray[np.float32]] = []
        self._buffered = 0
        self._sums: dict[str, NDArray[np.float64]] | None = None

    def add(self, rows: Sequence[Row]) -> None:
        """Adds examples, each as `row` makes them."""
        if len(rows):
            self._take(np.stack(rows) if not isinstance(rows, np.ndarray) else rows)

    def merge(self, others: Iterable[Accumulator]) -> None:
        """Adds what other accumulators counted."""
        for other in others:
            for rows in other._rows:
                self._take(rows)
            if other._sums is not None:
                self._flush()
                assert self._sums is not None
                for name, value in other._sums.items():
                    self._sums[name] = self._sums[name] + value

    def _take(self, rows: NDArray[np.float32]) -> None:
        self._rows.append(rows)
        self._buffered += len(rows)
        if self._buffered > _EXACT_ROWS:
            self._flush()

    def _flush(self) -> None:
        rows = self._all_rows()
        sums = _sums(rows, self.classes) | {"histogram": _histogram(rows, self.classes)}
        self._sums = sums if self._sums is None else {n: v + sums[n] for n, v in self._sums.items()}
        self._rows, self._buffered = [], 0

    def _all_rows(self) -> NDArray[np.float32]:
        return np.concatenate([np.zeros((0, 2 + self.classes), np.float32), *self._rows])

    def result(self, labels: Sequence[str]) -> dict[str, float | NDArray[np.float64]]:
        """Every metric by its key; NaN where it is undefined (no example, no positive, an invalid prediction)."""
        if self._sums is None:
            rows = self._all_rows()
            return _metrics(_sums(rows, self.classes), list(_exact_curves(rows, self.classes)), labels)
        self._flush()
        histogram = self._sums["histogram"]
        return _metrics(self._sums, [(h[1], h[0]) for h in histogram], labels)


def _edges() -> NDArray[np.float32]:
    """Interior bin edges in (0, 1), [bins - 1]: half of them uniform, half logistic.

    Trained models saturate: with uniform bins alone all the scores near 0 and 1 fall into one and their order is
    lost. float32 tells scores apart down to 1e-45 near 0 but only 6e-8 near 1, hence the unequal ends.
    """
    uniform = np.arange(1, _BINS // 2) / (_BINS // 2)
    logistic = 1 / (1 + np.exp(-np.linspace(-104.0, 17.4, _BINS - _BINS // 2)))
    return np.unique(np.concatenate([uniform, logistic]).astype(np.float32))


_EDGES = _edges()


def _valid(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(rows[:, 2:]).all(axis=1))


def _sums(rows: NDArray[np.float32], k: int) -> dict[str, NDArray[np.float64]]:
    """Sums over rows [n, 2 + K]; adding the dictionaries of two parts gives that of the whole."""
    valid = _valid(rows)
    invalid = len(rows) - int(valid.sum())
    rows = rows[valid]
    truth, weight, p = (
        rows[:, 0].astype(np.int64),
        rows[:, 1].astype(np.float64),
        rows[:, 2:].astype(np.float64),
    )
    n = len(rows)
    predicted = p.argmax(axis=1) if n else np.zeros(0, np.int64)
    top, true_p = p[np.arange(n), predicted], p[np.arange(n), truth]

    def calibration(score: NDArray[np.float64], hit: NDArray[np.bool_], w: NDArray[np.float64], cell, cells):  # type: ignore[no-untyped-def]
        bins = np.minimum((score * _ECE_BINS).astype(np.int64), _ECE_BINS - 1) + _ECE_BINS * cell
        size = _ECE_BINS * cells
        parts = [np.bincount(bins.ravel(), v.ravel(), minlength=size) for v in (w, w * score, w * hit)]
        return np.stack(parts).reshape(3, cells, _ECE_BINS)

    each_label = np.broadcast_to(np.arange(k), (n, k))
    return {
        "examples": np.array([n, weight.sum(), invalid], np.float64),
        # Of no rows at all, bincount makes integers.
        "confusion": np.bincount(truth * k + predicted, weight, minlength=k * k).reshape(k, k).astype(np.float64),
        "loss": np.array([-(weight * np.log(np.maximum(true_p, _TINY))).sum()]),
        "top": calibration(top, predicted == truth, weight, 0, 1),
        "labels": calibration(p, each_label == truth[:, None], np.broadcast_to(weight[:, None], (n, k)), each_label, k),
    }


def _histogram(rows: NDArray[np.float32], k: int) -> NDArray[np.float64]:
    """Weight of negatives and positives per score bin: [K, 2, bins]."""
    rows = rows[_valid(rows)]
    bins = len(_EDGES) + 1
    label = np.broadcast_to(np.arange(k), (len(rows), k))
    positive = label == rows[:, :1].astype(np.int64)
    cell = (label * 2 + positive) * bins + np.searchsorted(_EDGES, rows[:, 2:], side="right")
    weight = np.broadcast_to(rows[:, 1:2].astype(np.float64), (len(rows), k))
    counts = np.bincount(cell.ravel(), weight.ravel(), minlength=2 * k * bins)
    return counts.astype(np.float64).reshape(k, 2, bins)


def _exact_curves(rows: NDArray[np.float32], k: int) -> Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Weight of positives and negatives per distinct score, ascending; one pair per label."""
    rows = rows[_valid(rows)]
    weight = rows[:, 1].astype(np.float64)
    for label in range(k):
        scores, group = np.unique(rows[:, 2 + label], return_inverse=True)
        positive = rows[:, 0] == label
        yield tuple(np.bincount(group, weight * part, minlength=len(scores)) for part in (positive, ~positive))  # type: ignore[misc]


def _metrics(
    sums: dict[str, NDArray[np.float64]],
    curves: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    labels: Sequence[str],
) -> dict[str, float | NDArray[np.float64]]:
    confusion = sums["confusion"]
    examples, total, invalid = sums["examples"]
    tp = np.diag(confusion)
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    fp, fn = predicted - tp, support - tp
    tn = total - tp - fp - fn
    area = np.array([_areas(positive, negative) for positive, negative in curves]).reshape(-1, 2)
    per_label = {
        "precision": _ratio(tp, predicted),
        "recall": _ratio(tp, support),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "specificity": _ratio(tn, tn + fp),
        "binary_accuracy": _ratio(tp + tn, np.full_like(tp, total)),
        "auc": area[:, 0],
        "average_precision": area[:, 1],
        "ece": _ece(sums["labels"]),
        "support": support,
    }
    seen = support > 0
    overall = {
        "accuracy": _one(tp.sum(), total),
        # Labels without an example have no recall and take no part, as in scikit-learn.
        "balanced_accuracy": _mean(per_label["recall"][seen]),
        # A label neither there nor predicted has no F1; one that is only predicted has 0, as in scikit-learn.
        "macro_f1": _mean(per_label["f1"][seen | (predicted > 0)]),
        "loss": _one(sums["loss"][0], total),
        "ece": float(_ece(sums["top"])[0]),
    }
    result: dict[str, float | NDArray[np.float64]] = dict(overall)
    for metric, values in per_label.items():
        result |= {key(metric, label): float(v) for label, v in zip(labels, values, strict=True)}
    if invalid:  # a model that answers NaN is not judged by its other answers
        result = dict.fromkeys(result, math.nan)
    counts = zip(COUNTS, (float(examples), float(total), float(invalid)), strict=True)
    return result | dict(counts) | {CONFUSION: confusion}


def _areas(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> tuple[float, float]:
    """ROC AUC (ties count half) and average precision from weights per ascending score."""
    p, n = positive.sum(), negative.sum()
    if p <= 0:
        return math.nan, math.nan
    below = np.cumsum(negative) - negative
    auc = float((positive * (below + negative / 2)).sum() / (p * n)) if n > 0 else math.nan
    tp, fp = np.cumsum(positive[::-1]), np.cumsum(negative[::-1])
    precision = np.divide(tp, tp + fp, out=np.zeros_like(tp), where=tp + fp > 0)
    return auc, float((positive[::-1] * precision).sum() / p)


def _ece(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected calibration error (Naeini et al. 2015, 15 equal bins) from [3, cells, bins] sums of w, w*p, w*hit."""
    weight, score, hit = sums
    return _ratio(np.abs(score - hit).sum(axis=1), weight.sum(axis=1))


def _ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """a / b, NaN where b is 0."""
    return np.divide(a, b, out=np.full(np.shape(a), math.nan), where=b != 0)


def _one(a: float, b: float) -> float:
    return float(a / b) if b else math.nan


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else math.nan
