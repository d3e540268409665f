"""The charts of the data: label shares and image properties by split, beside those behind the served model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from components.base.text import number, percent, truncated_list
from components.data import properties as image_properties
from components.data.dataset import SPLITS
from components.data.manifest import PropertyHistograms
from components.drawing import svg
from components.drawing.panels import DASHES, INNER, LEFT, OF_SPLIT, ROW, SERVED, Entry, Style, legend
from components.drawing.svg import INK, PAPER, Sheet
from components.ingest import census

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAR = 6  # user units
_ENDS = 60  # of more than twice so many labels, the most frequent and the rarest have bars
_DIAMOND: Style = {"color": INK, "marker": "D", "markersize": 5.5, "markerfacecolor": PAPER, "linestyle": "none"}


def shares(counts: Mapping[str, Mapping[str, int]], reference: Mapping[str, int] | None, title: str) -> str:
    """Each label's share of all the labels given in a split, the most frequent label in train first.

    Args:
        counts: label -> split -> images it applies to.
        reference: label -> images it applied to in train of the served model.
    """
    of_splits = {split: {label: n.get(split, 0) for label, n in counts.items()} for split in SPLITS}
    series = [_Shares(split, of_splits[split], OF_SPLIT[split]["color"]) for split in SPLITS]
    series = [one for one in series if one.total]
    if not series:
        return ""
    before = _Shares(SERVED, reference or {}, INK)
    order = sorted({**counts, **before.counts}, key=lambda label: -of_splits["train"].get(label, 0))
    rows = order if len(order) <= 2 * _ENDS else [*order[:_ENDS], None, *order[-_ENDS:]]
    left, step, bars = 132, _BAR * len(series) + 5, len(series)
    top = 38 + ROW * math.ceil((bars + bool(before.total)) / 2)
    with svg.sheet(top + step * len(rows) + 46) as sheet:
        axes = sheet.axes(left, top, svg.WIDTH - left - 20, step * len(rows))
        for at, label in enumerate(rows):
            text = f"… {number(len(order) - 2 * _ENDS)} more" if label is None else sheet.name(label, left - 16)
            axes.text(-0.02, step * (at + 0.5) + 4, text, transform=axes.get_yaxis_transform(), ha="right")
            if label is not None:
                _row(sheet, axes, (step * at, step), label, series, before)
        axes.set(xlim=(0, None), ylim=(step * len(rows), 0), xlabel="share among the labels of the split", yticks=[])
        axes.tick_params(labeltop=True)
        axes.xaxis.set_major_formatter(lambda share, _: percent(round(share, 6)))
        entries = [Entry({"color": one.color, "linewidth": _BAR - 1}, one.name) for one in series]
        legend(sheet, 14, [*entries, *([Entry(_DIAMOND, SERVED)] if before.total else [])], columns=2)
        return sheet.svg(title, _most(order, series))


def _row(
    sheet: Sheet, axes: Axes, place: tuple[float, float], label: str, series: Sequence[_Shares], before: _Shares
) -> None:
    top, height = place
    for i, one in enumerate(series):
        y, tip = top + _BAR * (i + 0.5) + 2.5, sheet.name(one.told(label))
        axes.plot([0, one.share(label)], [y, y], color=one.color, linewidth=_BAR - 1, gid=tip)
    if before.total:
        axes.plot(before.share(label), top + height / 2, **_DIAMOND, gid=sheet.name(before.told(label)))


@dataclass(frozen=True)
class _Shares:
    """Of one split: images by label."""

    name: str
    counts: Mapping[str, int]
    color: str

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def share(self, label: str) -> float:
        return self.counts.get(label, 0) / self.total

    def told(self, label: str) -> str:
        return f"{label}, {self.name}: {number(self.counts.get(label, 0))} of {number(self.total)}"


def _most(order: Sequence[str], series: Sequence[_Shares]) -> str:
    sizes = ", ".join(f"{number(one.total)} in {one.name}" for one in series)
    ends = {label: percent(round(series[0].share(label), 4)) for label in (order[0], order[-1])}
    told = ", ".join(f"{truncated_list([label])} {share}" for label, share in ends.items())
    return f"Shares of {number(len(order))} labels in each split; labels given: {sizes}. In {series[0].name}: {told}."


def properties(properties: Mapping[str, PropertyHistograms], reference: PropertyHistograms | None) -> str:
    """What the images look like: of each image property, the distribution in each split.

    Args:
        properties: split -> histograms, as in the data set's manifest.
        reference: those of the data that the served model was trained on, or None.
    """
    found = {split: census.dense(properties[split].all) for split in SPLITS if split in properties}
    series = [(found[split], split, OF_SPLIT[split]) for split in found]
    if reference is not None:
        series.append((census.dense(reference.all), SERVED, {"color": INK, "linestyle": DASHES[3]}))
    series = [one for one in series if one[0].sum()]
    if not series:
        return ""
    names, wide, step = image_properties.NAMES, (INNER + LEFT - 14 - 28) / 2, 128
    top = 14 + ROW * math.ceil(len(series) / 2)
    with svg.sheet(top + step * math.ceil(len(names) / 2)) as sheet:
        for i, name in enumerate(names):
            axes = sheet.axes(14 + (i % 2) * (wide + 28), top + step * (i // 2) + 20, wide, step - 52)
            _property(axes, name, [(histograms[i], style) for histograms, _, style in series])
        legend(sheet, 14, [Entry(style, text) for _, text, style in series], columns=2)
        return sheet.svg("What the images look like", _medians(series))


def _property(axes: Axes, name: str, series: Sequence[tuple[Any, Style]]) -> None:
    edges = np.array([image_properties.edge(name, i) for i in range(image_properties.BINS + 1)])
    there = np.flatnonzero(sum(histogram for histogram, _ in series))
    # With an empty bin on either side, where there is one.
    first, last = max(0, there[0] - 1), min(image_properties.BINS, there[-1] + 2)
    centres = [image_properties.edge(name, i + 0.5) for i in range(first, last)]
    for histogram, style in series:
        axes.plot(centres, histogram[first:last] / histogram.sum(), **{**style, "linewidth": 1.5})
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
