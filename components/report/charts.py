"""The charts of the report: plain values in, inline SVG out; see `components.report.svg` for colours and names.

Each is drawn for a phone as for a screen: 440 units wide, text of 12. Where there is nothing to show, it is "".
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from components import census
from components import properties as image_properties
from components.errors import some
from components.gates import number, percent
from components.layouts import SPLITS
from components.metrics.base import Floats, fraction
from components.report import svg
from components.report.curves import Curve
from components.report.svg import INK, MUTED, PAPER, SERIES, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT, _RIGHT, _ROW = 48, 14, 18
_INNER = svg.WIDTH - _LEFT - _RIGHT
_DASHES: Sequence[Any] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
_EACH, _WORST = 8, 5  # so many labels are all named; of more, so many
_OF_SPLIT = {split: {"color": SERIES[i], "linestyle": _DASHES[i]} for i, split in enumerate(SPLITS)}
_REFERENCE = {"color": INK, "marker": "D", "markersize": 5.5, "markerfacecolor": PAPER, "linestyle": "none"}
_SERVED = "train, of the served model"
_STATUS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "pushed": ("pushed", {"marker": "o", "color": SERIES[0]}),
    "not_blessed": ("refused: the model", {"marker": "X", "color": SERIES[1]}),
    "data_rejected": ("refused: the data", {"marker": "s", "color": SERIES[4], "markerfacecolor": PAPER}),
    "up_to_date": ("nothing new", {"marker": "D", "color": MUTED, "markerfacecolor": PAPER}),
    "failed": ("failed", {"marker": "v", "color": SERIES[3]}),
}
_TEMPERED = "val_tempered_loss"
_LOSSES: Sequence[tuple[str, str, Mapping[str, Any]]] = (
    ("loss", "train", {"color": SERIES[1], "linestyle": _DASHES[1]}),
    ("val_loss", "eval", {"color": SERIES[0], "marker": "o", "markersize": 3.5}),
    (_TEMPERED, "eval, calibrated", {"color": SERIES[2], "linestyle": _DASHES[2]}),
)
_BEST = {"color": INK, "linestyle": _DASHES[1], "linewidth": 1.2}
_BOUNDARY = {"color": MUTED, "linewidth": 1.2}


@dataclass(frozen=True)
class _Entry:
    """A line of a legend: how it is drawn, what it is, and perhaps a number."""

    style: Mapping[str, Any]
    text: str
    value: str = ""


def precision_recall(curves: Sequence[Curve], title: str) -> str:
    """Precision over recall, one curve per label."""
    return _square(curves, title, "recall", "precision", "average precision")


def roc(curves: Sequence[Curve], title: str) -> str:
    """True over false positive rate, one curve per label, and what guessing would give."""
    return _square(curves, title, "false positive rate", "true positive rate", "area under the curve", guess=True)


def _square(curves: Sequence[Curve], title: str, x: str, y: str, area: str, *, guess: bool = False) -> str:
    if not curves:
        return ""
    labels, whole = [c for c in curves if not c.bold], [c for c in curves if c.bold]
    worst = sorted(labels, key=lambda curve: curve.area)
    named = labels if len(labels) <= _EACH else worst[:_WORST]
    others = [curve for curve in labels if curve not in named]
    rows = len(named) + bool(others) + len(whole) + guess
    below = 24 + _INNER + 44
    with svg.sheet(below + (rows + 1) * _ROW + 6) as sheet:
        axes = _panel(sheet, 24, _INNER, y)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=x, aspect="equal")
        legend = []
        if guess:
            chance = {"color": MUTED, "linestyle": _DASHES[1], "linewidth": 1.0}
            axes.plot([0, 1], [0, 1], **chance)
            legend.append(_Entry(chance, "guessing", "0.5"))
        thin = {"color": MUTED, "linewidth": 0.7, "alpha": 0.55}
        for curve in others:
            axes.plot(curve.x, curve.y, gid=sheet.name(f"{curve.name}: {_area(curve)}"), **thin)
        if others:
            legend.insert(0, _Entry(thin, f"{len(others)} other labels", f"from {_area(worst[_WORST])}"))
        styles = [{"color": SERIES[i % 6], "linestyle": _DASHES[i % 4]} for i in range(len(named))]
        styles += [{"color": INK, "linewidth": 3.0} for _ in whole]
        drawn = []
        for curve, style in zip([*named, *whole], styles, strict=True):
            axes.plot(curve.x, curve.y, gid=sheet.name(f"{curve.name}: {_area(curve)}"), **style)
            drawn.append(_Entry(style, sheet.name(curve.name, 270), _area(curve)))
        _legend(sheet, below, [_Entry({}, "", area), *drawn, *legend])
        return sheet.svg(title, _told(worst, whole, f"{y} over {x}", area))


def _area(curve: Curve) -> str:
    return f"{curve.area:.3f}"


def _told(worst: Sequence[Curve], whole: Sequence[Curve], what: str, area: str) -> str:
    lowest = ", ".join(f"{some([curve.name])} {_area(curve)}" for curve in worst[:_WORST])
    together = "".join(f" {curve.name}: {_area(curve)}." for curve in whole)
    return f"{what.capitalize()} of {len(worst)} labels; {area}:{together} Lowest: {lowest}."


def reliability(calibrated: Floats, uncalibrated: Floats, title: str) -> str:
    """How often answers came true over how probable the model called them, and how many answers there were.

    Args:
        calibrated, uncalibrated: [3, bins] as `metrics.curves.calibration` sums them up.
    """
    if not calibrated[0].sum():
        return ""
    series = [(calibrated, "the model's answers", {"color": SERIES[0], "marker": "o"})]
    if not np.allclose(calibrated, uncalibrated):
        raw = {"color": SERIES[1], "marker": "s", "linestyle": _DASHES[1], "markerfacecolor": PAPER}
        series.append((uncalibrated, "without calibration", raw))
    with svg.sheet(540) as sheet:
        axes, shares = _panel(sheet, 24, 300, "how often it was so"), _panel(sheet, 362, 70, "share of the answers")
        ideal = {"color": MUTED, "linestyle": _DASHES[2], "linewidth": 1.2}
        axes.plot([0, 1], [0, 1], **ideal)
        for sums, _, style in series:
            there = sums[0] > 0
            weight, score, hit = sums[:, there]
            axes.plot(score / weight, hit / weight, **style)
            _histogram(shares, sums[0] / sums[0].sum(), style)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        top = max(float((sums[0] / sums[0].sum()).max()) for sums, _, _ in series)
        shares.set(xlim=(0, 1), ylim=(0, top), xlabel="how probable the model called it")
        _percents(shares, [0, top])
        entries = [_Entry(style, text) for _, text, style in series]
        _legend(sheet, 482, [*entries, _Entry(ideal, "as often as it was said")])
        return sheet.svg(title, " ".join(_reliable(sums, text) for sums, text, _ in series))


def _histogram(axes: Axes, shares: Floats, style: Mapping[str, Any]) -> None:
    edges = np.linspace(0, 1, len(shares) + 1)
    line = style.get("linestyle", "solid")
    axes.plot(np.repeat(edges, 2), [0, *np.repeat(shares, 2), 0], color=style["color"], linestyle=line, linewidth=1.4)


def _reliable(sums: Floats, text: str) -> str:
    weight, score, hit = sums.sum(axis=1)
    said, so = percent(round(fraction(score, weight), 4)), percent(round(fraction(hit, weight), 4))
    return f"{text.capitalize()}: called {said} probable on average, and {so} of them were so."


def shares(counts: Mapping[str, Mapping[str, int]], reference: Mapping[str, int] | None, title: str) -> str:
    """Each label's share of all the labels given in a split, the most frequent label in train first.

    Args:
        counts: label -> split -> images it applies to.
        reference: label -> images it applied to in train of the served model.
    """
    rows = {**dict.fromkeys(counts), **dict.fromkeys(reference or {})}
    totals = {split: sum(n.get(split, 0) for n in counts.values()) for split in SPLITS}
    splits, before = [s for s in SPLITS if totals[s]], sum((reference or {}).values())
    if not splits:
        return ""
    order = sorted(rows, key=lambda label: -counts.get(label, {}).get("train", 0))
    left, step = 132, 6 * len(splits) + 5
    top = 16 + _ROW * math.ceil((len(splits) + bool(before)) / 2) + 22
    with svg.sheet(top + step * len(order) + 46) as sheet:
        axes = sheet.axes(left, top, svg.WIDTH - left - 20, step * len(order))
        for at, label in enumerate(order):
            for i, split in enumerate(splits):
                n = counts.get(label, {}).get(split, 0)
                tip = sheet.name(f"{label}, {split}: {number(n)} of {number(totals[split])}")
                axes.barh(
                    step * at + 3 + 6 * i, n / totals[split], 5, align="edge", color=_OF_SPLIT[split]["color"], gid=tip
                )
            if before:
                n = (reference or {}).get(label, 0)
                tip = sheet.name(f"{label}, {_SERVED}: {number(n)} of {number(before)}")
                axes.plot(n / before, step * (at + 0.5), **_REFERENCE, gid=tip)
            name, beside = sheet.name(label, left - 16), axes.get_yaxis_transform()
            axes.text(-0.02, step * (at + 0.5) + 4, name, transform=beside, ha="right")
        axes.set(xlim=(0, None), ylim=(step * len(order), 0), xlabel="share among the labels of the split", yticks=[])
        axes.tick_params(labeltop=True)
        axes.xaxis.set_major_formatter(lambda share, _: percent(round(share, 6)))
        entries = [_Entry({"color": _OF_SPLIT[s]["color"], "linewidth": 6}, s) for s in splits]
        _legend(sheet, 14, [*entries, *([_Entry(_REFERENCE, _SERVED)] if before else [])], columns=2)
        return sheet.svg(title, _most(order, counts, totals, splits[0]))


def _most(order: Sequence[str], counts: Mapping[str, Mapping[str, int]], totals: Mapping[str, int], split: str) -> str:
    each = [(label, counts.get(label, {}).get(split, 0) / totals[split]) for label in order]
    first, last = each[0], each[-1]
    told = ", ".join(f"{some([label])} {percent(round(share, 4))}" for label, share in dict([first, last]).items())
    sizes = ", ".join(f"{number(n)} in {s}" for s, n in totals.items())
    return f"Shares of {len(order)} labels in each split; labels given: {sizes}. In {split}: {told}."


def training(history: Mapping[str, Sequence[Mapping[str, float]]], title: str) -> str:
    """Losses and the first metric on the eval split over the epochs, and the epoch whose weights were kept.

    Args:
        history: "head" and "all": of each epoch of the phase, metric -> value, with "val_" of the eval split.
    """
    epochs = [*history.get("head", ()), *history.get("all", ())]
    if not epochs:
        return ""
    judged = _TEMPERED if all(_TEMPERED in epoch for epoch in epochs) else "val_loss"
    x, measured = np.arange(1, len(epochs) + 1), {key: _column(epochs, key) for key in epochs[0]}
    best = int(np.argmin(measured[judged]))
    metric = next((key for key in measured if key.startswith("val_") and key not in ("val_loss", _TEMPERED)), "")
    with svg.sheet(520 if metric else 340) as sheet:
        panels = [_panel(sheet, 24, 200, "loss")]
        entries = [_Entry(style, text) for key, text, style in _LOSSES if key in measured]
        for key, _, style in _LOSSES:
            if key in measured:
                panels[0].plot(x, measured[key], **style)
        if metric:
            panels.append(_panel(sheet, 264, 140, f"{metric.removeprefix('val_').replace('_', ' ')}, eval"))
            panels[1].plot(x, measured[metric], color=SERIES[0], marker="o", markersize=3.5)
        for axes in panels:
            axes.axvline(best + 1, **_BEST)
            if history.get("head") and history.get("all"):
                axes.axvline(len(history["head"]) + 0.5, **_BOUNDARY)
            axes.set_xlim(0.5, len(epochs) + 0.5)
            axes.xaxis.get_major_locator().set_params(integer=True)
        panels[-1].set_xlabel("epoch")
        entries.append(_Entry(_BEST, f"best epoch: {best + 1}"))
        if history.get("head") and history.get("all"):
            entries.append(_Entry(_BOUNDARY, "head only | all layers"))
        _legend(sheet, sheet.height - 62, entries, columns=2)
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


def properties(properties: Mapping[str, Mapping[str, Any]], reference: Mapping[str, Any] | None) -> str:
    """What the images look like: of each image property, the distribution in each split.

    Args:
        properties: split -> {"all": {property: {bin: images}}}, as in the ingest's manifest.
        reference: the same of the served model's train, or None.
    """
    found = {split: census.dense(properties[split]["all"]) for split in SPLITS if split in properties}
    series = [(found[split], split, _OF_SPLIT[split]) for split in found]
    if reference is not None:
        series.append((census.dense(reference["all"]), _SERVED, {"color": INK, "linestyle": _DASHES[3]}))
    series = [one for one in series if one[0].sum()]
    if not series:
        return ""
    names, wide, step = image_properties.NAMES, (_INNER + _LEFT - 14 - 28) / 2, 128
    top = 14 + _ROW * math.ceil(len(series) / 2)
    with svg.sheet(top + step * math.ceil(len(names) / 2)) as sheet:
        for i, name in enumerate(names):
            axes = sheet.axes(14 + (i % 2) * (wide + 28), top + step * (i // 2) + 20, wide, step - 52)
            _property(axes, name, [(histograms[i], style) for histograms, _, style in series])
        _legend(sheet, 14, [_Entry(style, text) for _, text, style in series], columns=2)
        return sheet.svg("What the images look like", _medians(series))


def _property(axes: Axes, name: str, series: Sequence[tuple[Any, Mapping[str, Any]]]) -> None:
    edges = np.array([image_properties.edge(name, i) for i in range(image_properties.BINS + 1)])
    there = np.flatnonzero(sum(histogram for histogram, _ in series))
    # An empty bin on both sides, so that a single one is seen as one.
    first, last = max(0, there[0] - 1), min(image_properties.BINS, there[-1] + 2)
    for histogram, style in series:
        share = histogram[first:last] / max(1, histogram.sum())
        axes.plot(np.repeat(edges[first : last + 1], 2), [0, *np.repeat(share, 2), 0], **{**style, "linewidth": 1.5})
    logarithmic = not math.isclose(edges[1] - edges[0], edges[-1] - edges[-2])
    axes.set(xlim=(edges[first], edges[last]), ylim=(0, None), yticks=[], xscale="log" if logarithmic else "linear")
    axes.set_title(name.replace("_", " ") + (" (pixels)" if name in ("width", "height") else ""), loc="left")
    ticks = _ticks(edges[first], edges[last], logarithmic)
    axes.minorticks_off()
    axes.set_xticks(ticks, [f"{tick:,.6g}".replace("e-0", "e-") for tick in ticks])


def _ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    """At most 4 round numbers between two."""
    from matplotlib.ticker import MaxNLocator

    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) if logarithmic else range(0)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**power for power in powers for m in steps if low <= m * 10.0**power <= high]
        if 2 <= len(ticks) <= 4:
            return ticks
    if logarithmic and len(ticks) > 4:
        return ticks[:: math.ceil(len(ticks) / 4)]
    return [float(tick) for tick in MaxNLocator(3).tick_values(low, high) if low <= tick <= high]


def _medians(series: Sequence[tuple[Any, str, Any]]) -> str:
    told = []
    for i, name in enumerate(image_properties.NAMES):
        each = [
            f"{image_properties.text(name, image_properties.median(name, found[i]))} in {text}"
            for found, text, _ in series
        ]
        told.append(f"{image_properties.WORDS[name]} {', '.join(each)}")
    return f"Distribution of each image property. Medians: {'; '.join(told)}."


def runs(points: Sequence[tuple[str, float | None, str]]) -> str:
    """The main metric over the runs, and how each ended.

    Args:
        points: (ISO 8601 time, value or None, one of `_STATUS`) of each run, in order.
    """
    if not points:
        return ""
    size = 7.0 if len(points) <= 40 else 4.0
    seen = [status for status in _STATUS if any(point[2] == status for point in points)]
    with svg.sheet(316 + _ROW * math.ceil(len(seen) / 2)) as sheet:
        axes, without = _panel(sheet, 24, 200, "main metric"), _panel(sheet, 232, 22, "")
        pushed = [(i, value) for i, (_, value, status) in enumerate(points) if status == "pushed" and _is(value)]
        axes.plot([i for i, _ in pushed], [value for _, value in pushed], color=SERIES[0], linewidth=1.2)
        for i, (time, value, status) in enumerate(points):
            text, style = _STATUS[status]
            tip = sheet.name(f"{time}: {text}" + (f", {number(value)}" if _is(value) else ""))
            panel, y = (axes, value) if _is(value) else (without, 0)
            panel.plot(i, y, **style, linestyle="none", markersize=size, gid=tip)
        for panel in (axes, without):
            panel.set_xlim(-0.5 - len(points) / 40, len(points) - 0.5 + len(points) / 40)
        axes.set_xticks([])
        axes.margins(y=0.1)
        without.set(ylim=(-1, 1), yticks=[0], yticklabels=["none"])
        _dates(without, [time for time, _, _ in points])
        ends = {status: sum(point[2] == status for point in points) for status in seen}
        entries = [_Entry({**_STATUS[s][1], "linestyle": "none"}, f"{_STATUS[s][0]} ({n})") for s, n in ends.items()]
        _legend(sheet, 300, entries, columns=2)
        return sheet.svg("Runs", _ended(points, ends))


def _is(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _dates(axes: Axes, times: Sequence[str]) -> None:
    """When the first and the last run began, and one in the middle."""
    last = len(times) - 1
    at = sorted({0, last // 2, last} if last > 4 else {0, last})
    days = [datetime.datetime.fromisoformat(times[i]) for i in at]
    form = "%Y-%m-%d" if len({day.date() for day in days}) == len(days) else "%Y-%m-%d %H:%M"
    axes.set_xticks(at, [day.strftime(form) for day in days])
    for label, i in zip(axes.get_xticklabels(), at, strict=True):
        label.set_horizontalalignment("center" if 0 < i < last or not last else "left" if i == 0 else "right")


def _ended(points: Sequence[tuple[str, float | None, str]], ends: Mapping[str, int]) -> str:
    told = ", ".join(f"{n} {_STATUS[status][0]}" for status, n in ends.items())
    values = [(time, value) for time, value, status in points if status == "pushed" and value is not None]
    latest = f" The latest that was pushed, of {values[-1][0]}, has {number(values[-1][1])}." if values else ""
    return f"The main metric over {len(points)} runs: {told}.{latest}"


def _panel(sheet: Sheet, top: float, height: float, what: str) -> Axes:
    """Axes as wide as the sheet; what is drawn up them stands above, where it can be read without turning one's head."""
    axes = sheet.axes(_LEFT, top, _INNER, height)
    axes.set_title(what, loc="left")
    return axes


def _percents(axes: Axes, ticks: Iterable[float]) -> None:
    at = list(ticks)
    axes.set_yticks(at, [percent(float(f"{share:.2g}")) for share in at])


def _legend(sheet: Sheet, top: float, entries: Sequence[_Entry], columns: int = 1) -> None:
    """Row by row from `top` on; numbers stand at the right."""
    axes, width = sheet.blank(), (svg.WIDTH - 2 * _RIGHT) / columns
    for i, entry in enumerate(entries):
        x, y = _RIGHT + (i % columns) * width, top + (i // columns) * _ROW
        at = [x + 12] if entry.style.get("linestyle") == "none" else [x, x + 12, x + 24]
        if entry.style:
            axes.plot(at, [y] * len(at), **{"markevery": [len(at) // 2], **entry.style})
        axes.text(x + 32, y + 4, entry.text)
        axes.text(x + width, y + 4, entry.value, ha="right")
