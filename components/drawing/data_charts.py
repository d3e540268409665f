"""Charts of the data: label shares and image properties by split, compared with the data of the served model."""

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
from components.ingest.counts import census

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAR = 6  # user units: height of a bar
_ENDS = 60  # with more than twice as many labels, only this many of the most frequent and of the rarest have bars
_DIAMOND: Style = {"color": INK, "marker": "D", "markersize": 5.5, "markerfacecolor": PAPER, "linestyle": "none"}


def shares(counts: Mapping[str, Mapping[str, int]], reference: Mapping[str, int] | None, title: str) -> str:
    """A chart of each label's share of all labels in a split, the most frequent label in train first.

    Args:
        counts: label -> split -> images it applies to.
        reference: label -> images it applied to in the training data of the served model, or None.
        title: of the chart.

    Returns:
        SVG; "" without images.
    """
    of_splits = {split: {label: n.get(split, 0) for label, n in counts.items()} for split in SPLITS}
    series = [_Shares(split, of_splits[split], OF_SPLIT[split]["color"]) for split in SPLITS]
    series = [split for split in series if split.total]
    if not series:
        return ""
    before = _Shares(SERVED, reference or {}, INK)
    ordered = sorted({**counts, **before.counts}, key=lambda label: -of_splits["train"].get(label, 0))
    rows = ordered if len(ordered) <= 2 * _ENDS else [*ordered[:_ENDS], None, *ordered[-_ENDS:]]
    left, step, bars = 132, _BAR * len(series) + 5, len(series)
    top = 38 + ROW * math.ceil((bars + bool(before.total)) / 2)
    with svg.sheet(top + step * len(rows) + 46) as sheet:
        axes = sheet.axes(left, top, svg.WIDTH - left - 20, step * len(rows))
        for at, label in enumerate(rows):
            text = f"… {number(len(ordered) - 2 * _ENDS)} more" if label is None else sheet.name(label, left - 16)
            axes.text(-0.02, step * (at + 0.5) + 4, text, transform=axes.get_yaxis_transform(), ha="right")
            if label is not None:
                _row(sheet, axes, (step * at, step), label, series, before)
        axes.set(xlim=(0, None), ylim=(step * len(rows), 0), xlabel="share among the labels of the split", yticks=[])
        axes.tick_params(labeltop=True)
        axes.xaxis.set_major_formatter(lambda share, _: percent(round(share, 6)))
        entries = [Entry({"color": split.color, "linewidth": _BAR - 1}, split.name) for split in series]
        legend(sheet, 14, [*entries, *([Entry(_DIAMOND, SERVED)] if before.total else [])], columns=2)
        return sheet.svg(title, _shares_described(ordered, series))


def _row(
    sheet: Sheet, axes: Axes, place: tuple[float, float], label: str, series: Sequence[_Shares], before: _Shares
) -> None:
    top, height = place
    for i, split in enumerate(series):
        y, tip = top + _BAR * (i + 0.5) + 2.5, sheet.name(split.counted(label))
        axes.plot([0, split.share(label)], [y, y], color=split.color, linewidth=_BAR - 1, gid=tip)
    if before.total:
        axes.plot(before.share(label), top + height / 2, **_DIAMOND, gid=sheet.name(before.counted(label)))


@dataclass(frozen=True)
class _Shares:
    """Numbers of images by label in one split."""

    name: str
    counts: Mapping[str, int]
    color: str

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def share(self, label: str) -> float:
        return self.counts.get(label, 0) / self.total

    def counted(self, label: str) -> str:
        return f"{label}, {self.name}: {number(self.counts.get(label, 0))} of {number(self.total)}"


def _shares_described(ordered: Sequence[str], series: Sequence[_Shares]) -> str:
    sizes = ", ".join(f"{number(split.total)} in {split.name}" for split in series)
    ends = {label: percent(round(series[0].share(label), 4)) for label in (ordered[0], ordered[-1])}
    extremes = ", ".join(f"{truncated_list([label])} {share}" for label, share in ends.items())
    return (
        f"Shares of {number(len(ordered))} labels in each split. Numbers of labels: {sizes}. "
        f"Most and least frequent in {series[0].name}: {extremes}."
    )


def properties(properties: Mapping[str, PropertyHistograms], reference: PropertyHistograms | None) -> str:
    """A chart of the distribution of each image property in each split.

    Args:
        properties: split -> histograms, as in the data set's manifest.
        reference: histograms of the data that the served model was trained on, or None.

    Returns:
        SVG; "" without images.
    """
    series = [(census.dense(properties[split].all), split, OF_SPLIT[split]) for split in SPLITS if split in properties]
    if reference is not None:
        series.append((census.dense(reference.all), SERVED, {"color": INK, "linestyle": DASHES[3]}))
    series = [(histograms, name, style) for histograms, name, style in series if histograms.sum()]
    if not series:
        return ""
    names, wide, step = image_properties.NAMES, (INNER + LEFT - 14 - 28) / 2, 128
    top = 14 + ROW * math.ceil(len(series) / 2)
    with svg.sheet(top + step * math.ceil(len(names) / 2)) as sheet:
        for i, name in enumerate(names):
            axes = sheet.axes(14 + (i % 2) * (wide + 28), top + step * (i // 2) + 20, wide, step - 52)
            _property(axes, name, [(histograms[i], style) for histograms, _, style in series])
        legend(sheet, 14, [Entry(style, text) for _, text, style in series], columns=2)
        return sheet.svg("Image properties", _medians(series))


def _property(axes: Axes, name: str, series: Sequence[tuple[Any, Style]]) -> None:
    edges = np.array([image_properties.edge(name, i) for i in range(image_properties.BINS + 1)])
    filled = np.flatnonzero(sum(histogram for histogram, _ in series))
    # The filled bins, and one empty bin on either side if there is one.
    first, last = max(0, filled[0] - 1), min(image_properties.BINS, filled[-1] + 2)
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
    """At most 4 round numbers from `low` to `high`."""
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
    sentences = []
    for i, name in enumerate(image_properties.NAMES):
        each = [
            f"{image_properties.text(name, image_properties.median(name, histograms[i]))} in {text}"
            for histograms, text, _ in series
        ]
        sentences.append(f"{image_properties.WORDS[name]} {', '.join(each)}")
    return f"Distribution of each image property. Medians: {'; '.join(sentences)}."
