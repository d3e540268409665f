"""Cells and tables of the page, as the template draws them."""

from __future__ import annotations

import math
from typing import NotRequired, TypedDict

from components import metrics
from components.base.text import number

_HEADS = {"auc": "AUC", "ece": "ECE", "average_precision": "average precision", "f1": "F1", "iou": "IoU"}


class Cell(TypedDict):
    """A number: `value` for sorting, `bar` the filled share of the cell, `mood` "good", "bad" or empty."""

    value: float
    text: str
    bar: NotRequired[float | None]
    mood: NotRequired[str]


class Row(TypedDict):
    """A row of a table; a cell without a number is None."""

    name: str
    cells: list[Cell | None]


class Table(TypedDict):
    """A table; the first head is that of the rows' names."""

    heads: list[str]
    rows: list[Row]


def bar(metric: str, value: float | None) -> Cell | None:
    """A metric with a bar, except for the loss, which has no upper bound.

    >>> bar("recall", 0.25)
    {'value': 0.25, 'text': '0.250', 'bar': 0.25}
    """
    if value is None:
        return None
    share = None if metric == "loss" else round(min(1.0, max(0.0, value)), 3)
    return {"value": value, "text": three_digits(value), "bar": share}


def count(value: float | None) -> Cell | None:
    """A number of examples or pixels."""
    return None if value is None else {"value": value, "text": number(value), "bar": None}


def change(metric: str, value: float | None, served: float | None) -> Cell | None:
    """The change of a metric since the served model; None if either number is missing.

    >>> change("loss", 0.5, 0.25)
    {'value': 0.25, 'text': '▲ +0.250', 'mood': 'bad'}
    """
    if value is None or served is None:
        return None
    difference = value - served
    if not difference:
        return {"value": difference, "text": "=", "mood": ""}
    mood = "good" if (difference < 0) == (metric in metrics.SMALLER_IS_BETTER) else "bad"
    return {"value": difference, "text": f"{'▲' if difference > 0 else '▼'} {difference:+.3f}", "mood": mood}


def head(metric: str) -> str:
    """The name of a metric as a column head.

    >>> head("mean_iou"), head("auc")
    ('mean IoU', 'AUC')
    """
    return _HEADS.get(metric, metric.replace("_", " ").replace("iou", "IoU").replace("f1", "F1"))


def three_digits(value: float) -> str:
    """A metric with three digits after the point."""
    return f"{value:.3f}"


def short_count(n: float) -> str:
    """A count that fits a narrow cell.

    >>> short_count(812), short_count(12_345), short_count(1_234_567)
    ('812', '12k', '1.2M')
    """
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if n >= unit:
            scaled = n / (1e3 if name == "k" else unit)
            return f"{scaled:.0f}{name}" if scaled >= 10 else f"{scaled:.1f}{name}"
    return number(n) if n == math.floor(n) else f"{n:.1f}"


def plural(n: int) -> str:
    """The ending of a noun after the number `n`: "s", or "" after 1."""
    return "" if n == 1 else "s"
