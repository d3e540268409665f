"""Base class of the metric accumulators: rows are added up, and accumulators merge."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]  # [n, width], or one example's [width]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Sums = dict[str, Floats]
Result = dict[str, float | Floats]

# The first three describe the examples that the metrics are computed from: number, weight, and effective number.
COUNTS = ("example_count", "weighted_count", "effective_count", "unlabelled_count", "invalid_predictions")
CONFUSION = "confusion_matrix"


def key(metric: str, label: str) -> str:
    """Name of a per-label metric.

    >>> key("recall", "cat")
    'recall/cat'
    """
    return f"{metric}/{label}"


class Accumulator(abc.ABC):
    """Accumulates examples, each a float32 row [width] whose first number is the example's weight.

    Attributes:
        kept_rows: up to this number, rows are kept unchanged for `exact`; beyond it, only their sums are.
        width: length of a row.
        common: means over labels are over the first of them, as many as this; others are only wrong answers.
    """

    kept_rows = 0
    width: int

    def __init__(self, classes: int, common: int | None = None) -> None:
        self.classes, self.common = classes, classes if common is None else common
        self._rows: list[Rows] = []
        self._waiting = 0
        self._sums: Sums | None = None

    def __getstate__(self) -> dict[str, object]:
        # Kept rows are pickled as one array: thousands of small arrays take far longer.
        return vars(self) | {"_rows": [self._kept()]}

    @abc.abstractmethod
    def labelled(self, rows: Rows) -> Bools:
        """Whether any label of each example is known, [n]; the other examples are only counted."""

    @abc.abstractmethod
    def sums(self, rows: Rows) -> Sums:
        """Sums over labelled, finite rows [n, width]. The sums of two parts add up to the sums of the whole.

        Where `CONFUSION` is among them, it is float64 [K, K], rows truth, columns prediction.
        """

    @abc.abstractmethod
    def metrics(self, sums: Sums) -> tuple[Mapping[str, float], Mapping[str, Floats]]:
        """Computes (overall metrics, metrics per label [K]) from `sums`; NaN where one is undefined."""

    def effective(self, sums: Sums) -> tuple[Mapping[str, float], Mapping[str, Floats]]:
        """Effective numbers of examples that metrics are computed from: (overall, per label [K])."""
        return {}, {}

    def exact(self, rows: Rows) -> Sums:
        """Values that the rows [n, width] give exactly and their sums only approximately."""
        return {}

    def add(self, rows: Rows | Sequence[Rows]) -> None:
        """Adds examples: [n, width], or n rows."""
        if len(rows):
            self._take(rows if isinstance(rows, np.ndarray) else np.stack(rows))

    def merge(self, others: Iterable[Accumulator]) -> None:
        """Adds the counts of other accumulators of the same task, which do not change."""
        for other in others:
            for rows in other._rows:
                self._take(rows)
            if other._sums is not None:
                self._flush()
                self._sums = _added(self._sums, other._sums)

    def result(self, labels: Sequence[str]) -> Result:
        """Computes every metric by its key; NaN where it is undefined (no example, no positive, an invalid prediction).

        One invalid prediction makes every metric NaN: a model that predicts NaN is not judged by its other predictions.

        Args:
            labels: K names, in the order of the model's outputs.
        """
        sums = self._whole()
        overall, per_label = self.metrics(sums)
        result: Result = dict(overall)
        for metric, values in per_label.items():
            result |= {key(metric, label): float(v) for label, v in zip(labels, values, strict=True)}
        counts = dict(zip(COUNTS, map(float, sums["counts"]), strict=True))
        if counts["invalid_predictions"]:
            result = dict.fromkeys(result, math.nan)
        counts["effective_count"] = float(effective(*sums["counts"][1:3]))
        whole, by_label = self.effective(sums)
        for count, values in by_label.items():
            counts |= {key(count, label): float(v) for label, v in zip(labels, values, strict=True)}
        return result | counts | dict(whole) | ({CONFUSION: sums[CONFUSION]} if CONFUSION in sums else {})

    def _take(self, rows: Rows) -> None:
        self._rows.append(rows)
        self._waiting += len(rows)
        if self._waiting > self.kept_rows:
            self._flush()

    def _flush(self) -> None:
        self._sums = _added(self._sums, self._add_up(self._kept()))
        self._rows, self._waiting = [], 0

    def _kept(self) -> Rows:
        return np.concatenate([np.zeros((0, self.width), np.float32), *self._rows])

    def _whole(self) -> Sums:
        if self._sums is not None:
            self._flush()
            return self._sums
        rows = self._kept()
        return self._add_up(rows) | self.exact(rows[self.labelled(rows) & _finite(rows)])

    def _add_up(self, rows: Rows) -> Sums:
        labelled, finite = self.labelled(rows), _finite(rows)
        used = rows[labelled & finite]
        weight = used[:, 0].astype(np.float64)
        left_out = (~labelled).sum(), (labelled & ~finite).sum()
        counts = np.array([len(used), weight.sum(), (weight**2).sum(), *left_out], np.float64)
        return {"counts": counts} | self.sums(used)


def _added(a: Sums | None, b: Sums) -> Sums:
    return b if a is None else {name: value + b[name] for name, value in a.items()}


def _finite(rows: Rows) -> Bools:
    return np.asarray(np.isfinite(rows).all(axis=1))


def ratio(a: Floats, b: Floats) -> Floats:
    """a / b, NaN where b is 0.

    >>> ratio(np.array([1.0, 1.0]), np.array([4.0, 0.0]))
    array([0.25,  nan])
    """
    return np.divide(a, b, out=np.full(np.shape(a), math.nan), where=b != 0)


def effective(weight: Floats | float, squares: Floats | float) -> Floats:
    """Kish's effective sample size (1965), (sum w)^2 / sum w^2: as many equally weighted examples tell as much.

    Rounded to 6 decimals, so that equal weights give a whole number; 0 without examples.

    Args:
        weight: sum of the weights.
        squares: sum of their squares.

    >>> weights = np.array([1.0, 1.0, 4.0])
    >>> float(effective(weights.sum(), (weights**2).sum()))
    2.0
    """
    w, s = np.asarray(weight, np.float64), np.asarray(squares, np.float64)
    return np.asarray(np.round(np.divide(w * w, s, out=np.zeros(np.shape(w)), where=s > 0), 6), np.float64)


def fraction(a: float | Floats, b: float | Floats) -> float:
    """a / b of two numbers, NaN where b is 0.

    >>> fraction(1, 4), fraction(1, 0)
    (0.25, nan)
    """
    return float(a / b) if b else math.nan


def mean(values: Floats) -> float:
    """Mean of the values that are not NaN; NaN where all are.

    >>> mean(np.array([1.0, math.nan, 2.0]))
    1.5
    """
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else math.nan
