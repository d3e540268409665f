"""The charts of the report: plain values in, inline SVG out; see `components.drawing.svg` for colours and names.

Each is drawn for a phone as for a screen: 440 units wide, text of 12. Where there is nothing to show, it is "".
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

_EACH, _WORST, _THIN = 8, 5, 60  # so many labels are all named; of more, so many, and so many more curves drawn
_STATUS: Mapping[str, tuple[str, Style]] = {
    "pushed": ("pushed", {"marker": "o", "color": SERIES[0]}),
    "not_blessed": ("refused: the model", {"marker": "X", "color": SERIES[1]}),
    "data_rejected": ("refused: the data", {"marker": "s", "color": SERIES[4], "markerfacecolor": PAPER}),
    "up_to_date": ("nothing new", {"marker": "D", "color": MUTED, "markerfacecolor": PAPER}),
    "failed": ("failed", {"marker": "v", "color": SERIES[3]}),
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
    """Precision over recall, one curve per label."""
    return _square(curves, title, "recall", "precision", "average precision")


def roc(curves: Sequence[Curve], title: str) -> str:
    """True over false positive rate, one curve per label, and what guessing would give."""
    return _square(curves, title, "false positive rate", "true positive rate", "area under the curve", guess=True)


def _square(curves: Sequence[Curve], title: str, x: str, y: str, area: str, *, guess: bool = False) -> str:
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
        legend(sheet, below, [*entries, *([Entry(_GUESS, "guessing", "0.5")] if guess else [])])
        return sheet.svg(title, _told(worst, whole, f"{y} over {x}", area))


def _area(curve: Curve) -> str:
    return f"{curve.area:.3f}"


def _told(worst: Sequence[Curve], whole: Sequence[Curve], what: str, area: str) -> str:
    lowest = ", ".join(f"{truncated_list([curve.name])} {_area(curve)}" for curve in worst[:_WORST])
    together = "".join(f" {curve.name}: {_area(curve)}." for curve in whole)
    each = f" Lowest: {lowest}." if lowest else ""
    return f"{what.capitalize()} of {number(len(worst))} labels; {area}:{together}{each}"


def reliability(calibrated: Floats, uncalibrated: Floats, title: str) -> str:
    """How often answers came true over how probable the model called them, and how many answers there were.

    Args:
        calibrated, uncalibrated: [3, bins] as `metrics.curves.calibration` sums them up.
    """
    if not calibrated[0].sum():
        return ""
    series = [(calibrated, "the model's answers", _CALIBRATED)]
    if not np.allclose(calibrated, uncalibrated):
        series.append((uncalibrated, "without calibration", _RAW))
    with svg.sheet(540) as sheet:
        axes, below = panel(sheet, 24, 300, "how often it was so"), panel(sheet, 364, 70, "share of the answers")
        axes.plot([0, 1], [0, 1], **_IDEAL)
        for sums, _, style in series:
            weight, score, hit = sums[:, sums[0] > 0]
            axes.plot(score / weight, hit / weight, **style)
            _histogram(below, sums[0] / sums[0].sum(), style)
        top = max(float((sums[0] / sums[0].sum()).max()) for sums, _, _ in series)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        below.set(xlim=(0, 1), ylim=(0, top), xlabel="how probable the model called it")
        below.set_yticks([top], [percent(float(f"{top:.2g}"))])
        legend(
            sheet, 488, [*(Entry(style, text) for _, text, style in series), Entry(_IDEAL, "as often as it was said")]
        )
        return sheet.svg(title, " ".join(_reliable(sums, text) for sums, text, _ in series))


def _histogram(axes: Axes, shares: Floats, style: Style) -> None:
    edges = np.linspace(0, 1, len(shares) + 1)
    line = style.get("linestyle", "solid")
    axes.plot(np.repeat(edges, 2), [0, *np.repeat(shares, 2), 0], color=style["color"], linestyle=line, linewidth=1.4)


def _reliable(sums: Floats, text: str) -> str:
    weight, score, hit = sums.sum(axis=1)
    said, so = percent(round(fraction(score, weight), 4)), percent(round(fraction(hit, weight), 4))
    return f"{text.capitalize()}: called {said} probable on average, and {so} of them were so."


def training(history: Mapping[str, Sequence[Mapping[str, float]]], title: str) -> str:
    """Losses and the first metric on the eval split over the epochs, and the epoch whose weights were kept.

    Args:
        history: "head" and "all": of each epoch of the phase, metric -> value, with "val_" of the eval split.
    """
    epochs = [*history.get("head", ()), *history.get("all", ())]
    if not epochs:
        return ""
    judged = _TEMPERED if all(_TEMPERED in epoch for epoch in epochs) else "val_loss"
    measured = {key: _column(epochs, key) for key in epochs[0]}
    best = int(np.argmin(measured[judged]))
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
        return sheet.svg(title, _trained(history, best, judged, measured, metric))


def _column(epochs: Sequence[Mapping[str, float]], key: str) -> Floats:
    return np.array([epoch.get(key, math.nan) for epoch in epochs], np.float64)


def _trained(
    history: Mapping[str, Sequence[Any]], best: int, judged: str, measured: Mapping[str, Floats], metric: str
) -> str:
    phases = f"{len(history.get('head', ()))} epochs of the head, {len(history.get('all', ()))} of all layers."
    at = {key.removeprefix("val_").replace("_", " "): measured[key][best] for key in (judged, metric) if key}
    numbers = ", ".join(f"{name} {number(float(value))}" for name, value in at.items())
    return f"{phases} The best is epoch {best + 1}; on the eval split: {numbers}."


def runs(points: Sequence[tuple[str, float | None, str]]) -> str:
    """The main metric over the runs, and how each ended.

    Args:
        points: (ISO 8601 time, value or None, one of `_STATUS`) of each run, in order.
    """
    if not points:
        return ""
    ends = {s: n for s in _STATUS if (n := sum(status == s for _, _, status in points))}
    values = [value if value is not None and math.isfinite(value) else None for _, value, _ in points]
    with svg.sheet(316 + ROW * math.ceil(len(ends) / 2)) as sheet:
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
        entries = [Entry({**_STATUS[s][1], "linestyle": "none"}, f"{_STATUS[s][0]} ({n})") for s, n in ends.items()]
        legend(sheet, 300, entries, columns=2)
        return sheet.svg("Runs", _ended(points, ends))


def _dates(axes: Axes, times: Sequence[str]) -> None:
    """When the first and the last run began, and one in the middle where days suffice to tell them apart."""
    last = len(times) - 1
    days = {
        i: datetime.datetime.fromisoformat(times[i]) for i in sorted({0, last // 2, last} if last > 4 else {0, last})
    }
    several = len({day.date() for day in days.values()}) == len(days)
    at = list(days) if several else sorted({0, last})
    axes.set_xticks(at, [f"{days[i]:%Y-%m-%d}" if several else f"{days[i]:%m-%d %H:%M}" for i in at])
    for label, i in zip(axes.get_xticklabels(), at, strict=True):
        label.set_horizontalalignment("center" if 0 < i < last or not last else "left" if i == 0 else "right")


def _ended(points: Sequence[tuple[str, float | None, str]], ends: Mapping[str, int]) -> str:
    told = ", ".join(f"{n} {_STATUS[status][0]}" for status, n in ends.items())
    values = [(time, value) for time, value, status in points if status == "pushed" and value is not None]
    latest = f" The latest that was pushed, of {values[-1][0]}, has {number(values[-1][1])}." if values else ""
    return f"The main metric over {len(points)} runs: {told}.{latest}"
