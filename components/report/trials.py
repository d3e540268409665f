"""The search for better settings, and what became of methods, on the page: tables and a chart."""

from __future__ import annotations

from components.base.text import number
from components.drawing.methods import methods as chart_of_methods
from components.drawing.trials import Point
from components.drawing.trials import trials as chart
from components.metrics import SMALLER_IS_BETTER
from components.model.comparing.record import Difference, Figure, MethodComparison
from components.model.fitting.synthetic import Synthetic
from components.model.fitting.tried import Tried
from components.model.fitting.unlabelled.record import Pool
from components.model.tuning.journal import Trial, Trials
from components.report.cells import Cell, Row, Table, bar, count, head, three_digits

_ENDS = {"finished": 0, "pruned": 1, "out_of_time": 2, "failed": 3}


def table(found: Trials | None) -> Table | None:
    """The trials, best first; None without a search."""
    if found is None:
        return None
    shown = list(found.of(found.best).metrics)
    heads = ["trial", found.measure, *map(head, shown), "epochs", "seconds", "outcome"]
    return {"heads": heads, "rows": [_row(trial, found, shown) for trial in found.ranked()]}


def _row(trial: Trial, found: Trials, shown: list[str]) -> Row:
    best = trial.number == found.best
    outcome: Cell = {"value": _ENDS[trial.status], "text": trial.told() or trial.status}
    if best:
        outcome = {"value": -1, "text": "best", "mood": "good"}
    measured: Cell | None = None
    if trial.measure is not None:
        measured = {"value": trial.measure, "text": three_digits(trial.measure)}
    return {
        "name": f"{trial.number}: {trial.settings()}",
        "cells": [
            measured,
            *(bar(name, trial.metrics.get(name)) for name in shown),
            count(len(trial.curve) or None),
            {"value": trial.seconds, "text": f"{trial.seconds:.0f}"},
            outcome,
        ],
    }


def picture(found: Trials | None) -> str:
    """The chart as SVG; "" without a search, or with a single trial."""
    if found is None:
        return ""
    points = [Point(t.number, t.status, t.settings(), t.measure, t.curve) for t in found.trials]
    return chart(points, found.best, found.measure, "Trials")


def introduction(found: Trials | None) -> str:
    """What was searched for, and what was found."""
    if found is None:
        return ""
    best, first = found.of(found.best), found.of(1)
    told = f"{len(found.trials)} trials learnt from train and were judged on eval by one measure, {found.measure}, of "
    told += f"which smaller is better. The best is trial {best.number}: {number(best.measure)}"
    return told + (
        f"; as configured: {number(first.measure)}." if best.number != 1 else ", the settings as configured."
    )


def methods(found: MethodComparison | None) -> Table | None:
    """The figures of each method; None without a comparison."""
    if found is None:
        return None
    rows: list[Row] = []
    for method in found.methods:
        cells = [_figure(method.figures.get(name)) for name in found.figures]
        seconds: Cell | None = None
        if method.seconds is not None:
            seconds = {"value": method.seconds, "text": f"{method.seconds:.1f}"}
        rows.append({"name": method.name, "cells": [*cells, seconds]})
    return {"heads": ["method", *map(head, found.figures), "seconds"], "rows": rows}


def differences(found: MethodComparison | None) -> Table | None:
    """By how much the figures differ from those of the first method; None where there is no other one."""
    others = [] if found is None else [method for method in found.methods if method.differences]
    if found is None or not others:
        return None
    heads = [f"minus {found.methods[0].name}", *map(head, found.figures)]
    rows: list[Row] = [
        {"name": one.name, "cells": [_difference(name, one.differences[name]) for name in found.figures]}
        for one in others
    ]
    return {"heads": heads, "rows": rows}


def tried(unlabelled: Pool | None, made: Synthetic | None) -> Table | None:
    """The methods that had to be better than training without them, and how each came out; None if there are none."""
    outcomes = [*(unlabelled.tried if unlabelled else ()), *([made.tried] if made and made.tried else [])]
    rows: list[Row] = [{"name": one.method, "cells": _outcome(one)} for one in outcomes]
    heads = ["method", "judged on images", "difference in loss", "used"]
    return {"heads": heads, "rows": rows} if rows else None


def methods_picture(found: MethodComparison | None) -> str:
    """The chart as SVG; "" without a comparison."""
    return "" if found is None else chart_of_methods(found, "Methods")


def about_methods(found: MethodComparison | None) -> str:
    """What was compared, and how to read it."""
    if found is None:
        return ""
    told = f"{len(found.methods)} methods learnt from train with the same data, seeds and settings, and were judged on "
    return told + " ".join(["eval.", *found.remarks()])


def _outcome(one: Tried) -> list[Cell | None]:
    difference: Cell | None = None
    if one.difference is not None and one.interval is not None:
        low, high = one.interval
        text = f"{one.difference:+.3f} ({low:+.3f} to {high:+.3f})"
        difference = {"value": one.difference, "text": text, "mood": "good" if high < 0 else "bad" if low > 0 else ""}
    return [count(one.images), difference, {"value": int(one.used), "text": "yes" if one.used else "no"}]


def _figure(figure: Figure | None) -> Cell | None:
    if figure is None or figure.mean is None:
        return None
    return {"value": figure.mean, "text": figure.text()}


def _difference(name: str, one: Difference) -> Cell | None:
    if one.mean is None:
        return None
    mood = ""
    if one.beyond_chance:
        mood = "good" if (one.mean < 0) == (name in SMALLER_IS_BETTER) else "bad"
    return {"value": one.mean, "text": one.text() + (" *" if one.beyond_chance else ""), "mood": mood}
