"""The chart of a search: what each trial came to, and how it got there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.base.text import number
from components.drawing import svg
from components.drawing.panels import DASHES, ROW, Entry, Style, legend, panel
from components.drawing.svg import INK, MUTED, PAPER, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS: Mapping[str, tuple[str, Style]] = {
    "finished": ("finished", {"marker": "o", "color": SERIES[0]}),
    "pruned": ("stopped early", {"marker": "X", "color": SERIES[1]}),
    "out_of_time": ("out of time", {"marker": "s", "color": MUTED, "markerfacecolor": PAPER}),
}
_WIDE = 10  # times the smallest value; from there on the scale is logarithmic
_TICKS = 9
_BEST: Style = {"color": INK, "linestyle": DASHES[1], "linewidth": 1.2, "drawstyle": "steps-post"}
_WINNER: Style = {"color": SERIES[2], "linewidth": 2.4}
_FIRST: Style = {"color": INK, "linestyle": DASHES[2], "linewidth": 1.6}
_OTHERS: Style = {"color": MUTED, "linewidth": 0.8, "alpha": 0.6}


@dataclass(frozen=True)
class Point:
    """One trial: its number, how it ended, its settings as text, its measure, and the measure after each epoch."""

    number: int
    status: str
    settings: str
    measure: float | None
    curve: Sequence[float] = ()


def trials(points: Sequence[Point], best: int, measure: str, title: str) -> str:
    """A chart of the measure of each trial, of which smaller is better, and below it over the epochs.

    Args:
        points: the trials, in order.
        best: number of the best one.
        measure: name of what is measured.
        title: of the chart.

    Returns:
        SVG; "" with fewer than two trials that have a measure.
    """
    known = [(point, value) for point in points if (value := _finite(point.measure)) is not None]
    if len(known) < 2:
        return ""
    curves = [point for point in points if len(point.curve) > 1 and all(map(math.isfinite, point.curve))]
    marks = [key for key in _MARKS if any(point.status == key for point, _ in known)]
    lines: list[Entry] = [Entry(_BEST, "best so far")]
    if curves:
        lines += [Entry(_WINNER, f"trial {best}, the best"), Entry(_FIRST, "trial 1, as configured")]
        lines = lines if best != 1 else lines[:2]
    entries = [*(Entry({**_MARKS[key][1], "linestyle": "none"}, _MARKS[key][0]) for key in marks), *lines]
    below = 484 if curves else 280
    with svg.sheet(below + ROW * math.ceil(len(entries) / 2) + 8) as sheet:
        axes = panel(sheet, 24, 200, f"{measure}, eval")
        axes.plot(*_best_so_far(known, len(points)), **_BEST)
        for point, value in known:
            tip = sheet.name(f"trial {point.number}: {number(value)}, {point.settings}")
            style = _MARKS.get(point.status, _MARKS["out_of_time"])[1]
            axes.plot(point.number, value, linestyle="none", gid=tip, **style)
        axes.set(xlim=(0.5, len(points) + 0.5), xlabel="trial")
        _spread(axes, [value for _, value in known])
        axes.locator_params(axis="x", integer=True)
        if curves:
            _curves(sheet, curves, best, measure)
        legend(sheet, below, entries, columns=2)
        return sheet.svg(title, _described(known, best, measure))


def _curves(sheet: svg.Sheet, curves: Sequence[Point], best: int, measure: str) -> None:
    axes = panel(sheet, 290, 140, f"{measure} after each epoch")
    for point in sorted(curves, key=lambda point: (point.number == best, point.number == 1)):  # the best on top
        style = _WINNER if point.number == best else _FIRST if point.number == 1 else _OTHERS
        tip = sheet.name(f"trial {point.number}: {point.settings}")
        axes.plot(range(1, len(point.curve) + 1), point.curve, gid=tip, **style)
    axes.set_xlabel("epoch")
    _spread(axes, [value for point in curves for value in point.curve])
    axes.locator_params(axis="x", integer=True)


def _spread(axes: Axes, values: Sequence[float]) -> None:
    """Makes the scale logarithmic where a bad trial would press the good ones together."""
    if min(values) <= 0 or max(values) < _WIDE * min(values):
        return
    axes.set_yscale("log")
    lowest, highest = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    ticks = [digit * 10.0**power for power in range(lowest, highest) for digit in (1, 2, 5)]
    while len(ticks) > _TICKS:
        ticks = ticks[::3] if len(ticks) > 2 * _TICKS else ticks[::2]
    low, high = axes.get_ylim()
    axes.set_yticks(inside := [tick for tick in ticks if low <= tick <= high], list(map(number, inside)))
    axes.set_yticks([], minor=True)


def _best_so_far(known: Sequence[tuple[Point, float]], last: int) -> tuple[list[float], list[float]]:
    """The smallest measure of the finished trials up to each one; a line of steps."""
    at: list[float] = []
    smallest: list[float] = []
    for point, value in known:
        if point.status == "finished":
            at.append(point.number)
            smallest.append(min([value, *smallest[-1:]]))
    return ([*at, last + 0.5], [*smallest, smallest[-1]]) if at else ([], [])


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _described(known: Sequence[tuple[Point, float]], best: int, measure: str) -> str:
    values = {point.number: value for point, value in known}
    first = f", as configured {number(values[1])}" if 1 in values and best != 1 else ""
    won = f" Trial {best} is the best: {measure} {number(values[best])}{first}." if best in values else ""
    return f"{len(known)} trials.{won}"
