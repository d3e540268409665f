"""Charts of the report: plain values in, inline SVG out; see `components.drawing.svg` for colours and names.

Charts are 440 user units wide with text of 12 units, which suits phones and large screens. Every function returns "" if
there is nothing to show.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from components.base.text import number, percent, truncated_list
from components.drawing import svg
from components.drawing.curves import Curve
from components.drawing.data_charts import properties, shares
from components.drawing.panels import DASHES, INNER, ROW, Entry, Style, legend, panel
from components.drawing.svg import INK, MUTED, PAPER, SERIES
from components.metrics.base import Floats, fraction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["precision_recall", "properties", "reliability", "roc", "runs", "shares", "training"]

# Up to `_EACH` labels are named. Of more labels, the `_WORST` are named and about `_THIN` others drawn as thin lines.
_EACH, _WORST, _THIN = 8, 5, 60
_STATUS: Mapping[str, tuple[str, Style]] = {
    "pushed": ("pushed", {"marker": "o", "color": SERIES[0]}),
    "not_blessed": ("refused: model", {"marker": "X", "color": SERIES[1]}),
    "data_rejected": ("refused: data", {"marker": "s", "color": SERIES[4], "markerfacecolor": PAPER}),
    "up_to_date": ("up to date", {"marker": "D", "color": MUTED, "markerfacecolor": PAPER}),
    "failed": ("failed", {"marker": "v", "color": SERIES[3]}),
    "stopped": ("stopped", {"marker": "^", "color": MUTED}),
    "killed": ("killed", {"marker": "P", "color": MUTED}),
}
_TEMPERED = "val_tempered_loss"
_EVAL: Style = {"color": SERIES[0], "marker": "o", "markersize": 3.5}
_LOSSES: Sequence[tuple[str, str, Style]] = (
    ("loss", "train", {"color": SERIES[1], "linestyle": DASHES[1]}),
    ("val_loss", "eval", _EVAL),
    (_TEMPERED, "eval, calibrated", {"color": SERIES[2], "linestyle": DASHES[2]}),
)
_OTHERS: Style = {"color": MUTED, "linewidth": 0.7, "alpha": 0.55}
_WHOLE: Style = {"color": INK, "linewidth": 3.0}
_GUESS: Style = {"color": MUTED, "linestyle": DASHES[1], "linewidth": 1.0}
_IDEAL: Style = {"color": MUTED, "linestyle": DASHES[2], "linewidth": 1.2}
_CALIBRATED: Style = {"color": SERIES[0], "marker": "o"}
_RAW: Style = {"color": SERIES[1], "marker": "s", "linestyle": DASHES[1], "markerfacecolor": PAPER}
_BEST: Style = {"color": INK, "linestyle": DASHES[1], "linewidth": 1.2}
_BOUNDARY: Style = {"color": MUTED, "linewidth": 1.2}


def precision_recall(curves: Sequence[Curve], title: str) -> str:
    """A chart of precision over recall, one curve per label."""
    return _square(curves, title, "recall", "precision", "average precision")


def roc(curves: Sequence[Curve], title: str) -> str:
    """A chart of the true over the false positive rate, one curve per label, with the line of random guessing."""
    return _square(curves, title, "false positive rate", "true positive rate", "area under the curve", guess=True)


def _square(curves: Sequence[Curve], title: str, x: str, y: str, area: str, *, guess: bool = False) -> str:
    """A chart of curves in the unit square with a legend that gives the area of each."""
    if not curves:
        return ""
    labels, whole = [curve for curve in curves if not curve.bold], [curve for curve in curves if curve.bold]
    worst = sorted(labels, key=lambda curve: curve.area)
    named = labels if len(labels) <= _EACH else worst[:_WORST]
    others = worst[len(named) :]
    thin = others[:: math.ceil(len(others) / _THIN) or 1]
    styles: list[Style] = [{"color": SERIES[i % 6], "linestyle": DASHES[i % 4]} for i in range(len(named))]
    drawn = [*((c, _OTHERS) for c in thin), *zip(named, styles, strict=True), *((c, _WHOLE) for c in whole)]
    below = 24 + INNER + 44
    rows = 1 + len(named) + len(whole) + bool(others) + guess
    with svg.sheet(below + rows * ROW + 6) as sheet:
        axes = panel(sheet, 24, INNER, y)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=x)
        entries = [Entry({}, "", area)]
        if guess:
            axes.plot([0, 1], [0, 1], **_GUESS)
        for curve, style in drawn:
            axes.plot(curve.x, curve.y, gid=sheet.name(f"{curve.name}: {_area(curve)}"), **style)
            if style is not _OTHERS:
                entries.append(Entry(style, sheet.name(curve.name, 270), _area(curve)))
        if others:
            part = "" if thin == others else f", {len(thin)} of them drawn"
            entries.append(Entry(_OTHERS, f"{number(len(others))} other labels{part}", f"from {_area(others[0])}"))
        legend(sheet, below, [*entries, *([Entry(_GUESS, "random guessing", "0.5")] if guess else [])])
        return sheet.svg(title, _curves_described(worst, whole, f"{y} over {x}", area))


def _area(curve: Curve) -> str:
    return f"{curve.area:.3f}"


def _curves_described(worst: Sequence[Curve], whole: Sequence[Curve], axes: str, area: str) -> str:
    lowest = ", ".join(f"{truncated_list([curve.name])} {_area(curve)}" for curve in worst[:_WORST])
    together = "".join(f" {curve.name}: {_area(curve)}." for curve in whole)
    each = f" Lowest: {lowest}." if lowest else ""
    return f"{axes.capitalize()} of {number(len(worst))} labels; {area}:{together}{each}"


def reliability(calibrated: Floats, uncalibrated: Floats, title: str) -> str:
    """A reliability diagram: observed frequency over predicted probability, and a histogram of the predictions.

    Args:
        calibrated, uncalibrated: [3, bins], see `metrics.curves.calibration`.
        title: of the chart.
    """
    if not calibrated[0].sum():
        return ""
    series = [(calibrated, "calibrated", _CALIBRATED)]
    if not np.allclose(calibrated, uncalibrated):
        series.append((uncalibrated, "uncalibrated", _RAW))
    with svg.sheet(540) as sheet:
        axes, below = panel(sheet, 24, 300, "observed frequency"), panel(sheet, 364, 70, "share of predictions")
        axes.plot([0, 1], [0, 1], **_IDEAL)
        for sums, _, style in series:
            weight, score, hit = sums[:, sums[0] > 0]
            axes.plot(score / weight, hit / weight, **style)
            _histogram(below, sums[0] / sums[0].sum(), style)
        top = max(float((sums[0] / sums[0].sum()).max()) for sums, _, _ in series)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        below.set(xlim=(0, 1), ylim=(0, top), xlabel="predicted probability")
        below.set_yticks([top], [percent(float(f"{top:.2g}"))])
        legend(sheet, 488, [*(Entry(style, text) for _, text, style in series), Entry(_IDEAL, "perfect calibration")])
        return sheet.svg(title, " ".join(_reliability_described(sums, text) for sums, text, _ in series))


def _histogram(axes: Axes, shares: Floats, style: Style) -> None:
    edges = np.linspace(0, 1, len(shares) + 1)
    line = style.get("linestyle", "solid")
    axes.plot(np.repeat(edges, 2), [0, *np.repeat(shares, 2), 0], color=style["color"], linestyle=line, linewidth=1.4)


def _reliability_described(sums: Floats, text: str) -> str:
    weight, score, hit = sums.sum(axis=1)
    predicted, observed = (percent(round(fraction(total, weight), 4)) for total in (score, hit))
    return f"{text.capitalize()}: mean predicted probability {predicted}, observed frequency {observed}."


def training(history: Mapping[str, Sequence[Mapping[str, float]]], title: str) -> str:
    """A chart of the losses and of the first metric on the eval split over the epochs, with the best epoch.

    Args:
        history: phase ("head" or "all") -> for each epoch, metric -> value; "val_" marks the eval split.
        title: of the chart.
    """
    epochs = [*history.get("head", ()), *history.get("all", ())]
    if not epochs:
        return ""
    monitored = _TEMPERED if all(_TEMPERED in epoch for epoch in epochs) else "val_loss"
    measured = {key: _column(epochs, key) for key in epochs[0]}
    best = int(np.argmin(measured[monitored]))
    metric = next((key for key in measured if key.startswith("val_") and key not in ("val_loss", _TEMPERED)), "")
    losses = [(measured[key], Entry(style, text)) for key, text, style in _LOSSES if key in measured]
    marks = [(best + 1.0, Entry(_BEST, f"best epoch: {best + 1}"))]
    if history.get("head") and history.get("all"):
        marks.append((len(history["head"]) + 0.5, Entry(_BOUNDARY, "head only | all layers")))
    with svg.sheet(520 if metric else 344) as sheet:
        panels = [panel(sheet, 24, 200, "loss")]
        for values, entry in losses:
            panels[0].plot(range(1, len(epochs) + 1), values, **entry.style)
        if metric:
            panels.append(panel(sheet, 266, 140, f"{metric.removeprefix('val_').replace('_', ' ')}, eval"))
            panels[1].plot(range(1, len(epochs) + 1), measured[metric], **_EVAL)
        for axes in panels:
            for x, entry in marks:
                axes.axvline(x, **entry.style)
            axes.set_xlim(0.5, len(epochs) + 0.5)
            axes.locator_params(axis="x", integer=True)
        panels[-1].set_xlabel("epoch")
        legend(sheet, sheet.height - 58, [entry for _, entry in [*losses, *marks]], columns=2)
        return sheet.svg(title, _training_described(history, best, monitored, measured, metric))


def _column(epochs: Sequence[Mapping[str, float]], key: str) -> Floats:
    return np.array([epoch.get(key, math.nan) for epoch in epochs], np.float64)


def _training_described(
    history: Mapping[str, Sequence[Any]], best: int, monitored: str, measured: Mapping[str, Floats], metric: str
) -> str:
    phases = f"{len(history.get('head', ()))} epochs of the head, {len(history.get('all', ()))} epochs of all layers."
    at = {key.removeprefix("val_").replace("_", " "): measured[key][best] for key in (monitored, metric) if key}
    numbers = ", ".join(f"{name} {number(float(value))}" for name, value in at.items())
    return f"{phases} Epoch {best + 1} is the best; on the eval split: {numbers}."


def runs(points: Sequence[tuple[str, float | None, str]]) -> str:
    """A chart of the main metric over the runs, with the status of each.

    Args:
        points: (ISO 8601 time, value or None, status) of each run, in order.
    """
    if not points:
        return ""
    numbers = {s: n for s in _STATUS if (n := sum(status == s for _, _, status in points))}
    values = [value if value is not None and math.isfinite(value) else None for _, value, _ in points]
    with svg.sheet(316 + ROW * math.ceil(len(numbers) / 2)) as sheet:
        axes, without = panel(sheet, 24, 200, "main metric"), panel(sheet, 232, 22, "")
        pushed = [(i, v) for i, v in enumerate(values) if v is not None and points[i][2] == "pushed"]
        axes.plot([i for i, _ in pushed], [v for _, v in pushed], color=SERIES[0], linewidth=1.2)
        look: Style = {"linestyle": "none", "markersize": 7.0 if len(points) <= 40 else 4.0}
        for i, ((time, _, status), value) in enumerate(zip(points, values, strict=True)):
            text, style = _STATUS[status]
            tip = sheet.name(f"{time}: {text}" + ("" if value is None else f", {number(value)}"))
            where, y = (without, 0.0) if value is None else (axes, value)
            where.plot(i, y, **style, **look, gid=tip)
        margin = 0.5 + len(points) / 40
        axes.set(xlim=(-margin, len(points) - 1 + margin), xticks=[])
        without.set(xlim=axes.get_xlim(), ylim=(-1, 1), yticks=[0], yticklabels=["none" if None in values else ""])
        axes.margins(y=0.1)
        if all(value is None for value in values):
            axes.set_yticks([])
        _dates(without, [time for time, _, _ in points])
        entries = [Entry({**_STATUS[s][1], "linestyle": "none"}, f"{_STATUS[s][0]} ({n})") for s, n in numbers.items()]
        legend(sheet, 300, entries, columns=2)
        return sheet.svg("Runs", _runs_described(points, numbers))


def _dates(axes: Axes, times: Sequence[str]) -> None:
    """Labels the first and the last run with their start, and a middle one if their days differ."""
    last = len(times) - 1
    days = {
        i: datetime.datetime.fromisoformat(times[i]) for i in sorted({0, last // 2, last} if last > 4 else {0, last})
    }
    several = len({day.date() for day in days.values()}) == len(days)
    labelled = list(days) if several else sorted({0, last})
    axes.set_xticks(labelled, [f"{days[i]:%Y-%m-%d}" if several else f"{days[i]:%m-%d %H:%M}" for i in labelled])
    for label, i in zip(axes.get_xticklabels(), labelled, strict=True):
        label.set_horizontalalignment("center" if 0 < i < last or not last else "left" if i == 0 else "right")


def _runs_described(points: Sequence[tuple[str, float | None, str]], numbers: Mapping[str, int]) -> str:
    statuses = ", ".join(f"{n} {_STATUS[status][0]}" for status, n in numbers.items())
    values = [(time, value) for time, value, status in points if status == "pushed" and value is not None]
    latest = f" The latest pushed run, of {values[-1][0]}, has {number(values[-1][1])}." if values else ""
    return f"The main metric over {len(points)} runs: {statuses}.{latest}"
