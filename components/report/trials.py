"""The search for better settings on the page: a table of the trials and a chart."""

from __future__ import annotations

from components.base.text import number
from components.drawing.trials import Point
from components.drawing.trials import trials as chart
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
