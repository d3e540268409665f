"""Charts of arrays: a panel for each band with a line for each label, over time and as a distribution of values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from components.base.text import percent, truncated_list
from components.data.arrays.curves import Histogram, OverTime, day
from components.drawing import svg
from components.drawing.panels import DASHES, RIGHT, ROW, Entry, Style, legend
from components.drawing.svg import MUTED, SERIES
from components.metrics.base import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT, _HEIGHT, _STEP = 60, 100, 144  # user units: the margin, the height of a panel, and from one panel to the next
_WIDE = svg.WIDTH - _LEFT - RIGHT
_VALID: Style = {"color": MUTED, "linewidth": 1.2}


def over_time(found: OverTime, bands: Sequence[str], labels: Sequence[str], title: str) -> str:
    """A chart of the mean of each band over time, one line per label, and of the share of valid pixels below.

    Args:
        found: of K labels and B bands.
        bands, labels: their names.
        title: of the chart.
    """
    with svg.sheet(_top(labels) + _STEP * (len(bands) + 1)) as sheet:
        for band, name in enumerate(bands):
            axes = _panel(sheet, _top(labels) + _STEP * band, name)
            _lines(sheet, axes, found.at, found.mean[:, :, band], labels)
            _ticks(axes, found)
        axes = _panel(sheet, _top(labels) + _STEP * len(bands), "valid pixels")
        there = np.isfinite(found.valid)
        axes.plot(found.at[there], found.valid[there], **_marked(_VALID, there.sum()))
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(lambda share, _: percent(round(share, 6)))
        _ticks(axes, found)
        axes.set_xlabel("date" if found.dated else "number of the moment")
        _legend(sheet, labels, [np.isfinite(of_label).any() for of_label in found.mean])
        return sheet.svg(title, _over_time_described(found, bands, labels))


def values(found: Sequence[Histogram], bands: Sequence[str], labels: Sequence[str], title: str) -> str:
    """A chart of the distribution of each band's values, one line per label.

    Args:
        found: of each band, of K labels.
        bands, labels: their names.
        title: of the chart.
    """
    with svg.sheet(_top(labels) + _STEP * len(bands)) as sheet:
        for band, (name, histogram) in enumerate(zip(bands, found, strict=True)):
            axes = _panel(sheet, _top(labels) + _STEP * band, name)
            edges = histogram.edges
            _lines(sheet, axes, (edges[:-1] + edges[1:]) / 2, histogram.shares, labels)
            if len(edges) > 1:
                axes.set_xlim(edges[0], edges[-1])
            else:
                axes.text(0.5, 0.5, f"all values are {amount(edges[0])}", transform=axes.transAxes, ha="center")
                axes.set_xticks([])
            axes.set_ylim(0, None)
            axes.locator_params(axis="x", nbins=6)
            axes.xaxis.set_major_formatter(lambda value, _: amount(value))
            axes.yaxis.set_major_formatter(lambda share, _: percent(round(share, 6)))
        _legend(sheet, labels, [any(np.isfinite(one.shares[k]).any() for one in found) for k in range(len(labels))])
        return sheet.svg(title, _values_described(found, bands, labels))


def amount(value: float) -> str:
    """A value of a band: four digits, but whole numbers below a billion in full.

    >>> amount(2706.142), amount(0.123456), amount(12345.6), amount(3e12), amount(-5)
    ('2,706', '0.1235', '12,346', '3e+12', '-5')
    """
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def _top(labels: Sequence[str]) -> int:
    return 36 + ROW * math.ceil(len(labels) / 2)


def _style(label: int) -> Style:
    """Twelve labels look different."""
    return {"color": SERIES[label % len(SERIES)], "linestyle": DASHES[label % len(DASHES)], "linewidth": 1.5}


def _marked(style: Style, points: int) -> Style:
    """A line of one point would not be seen."""
    return {**style, "marker": "o"} if points == 1 else style


def _panel(sheet: svg.Sheet, top: float, name: str) -> Axes:
    axes = sheet.axes(_LEFT, top, _WIDE, _HEIGHT)
    axes.set_title(sheet.name(name, _WIDE), loc="left")
    axes.locator_params(axis="y", nbins=3)
    axes.yaxis.set_major_formatter(lambda value, _: amount(value))
    return axes


def _lines(sheet: svg.Sheet, axes: Axes, x: Floats, of_labels: Floats, labels: Sequence[str]) -> None:
    """Draws a line for each label, through the points that have a value."""
    for k, (name, y) in enumerate(zip(labels, of_labels, strict=True)):
        there = np.isfinite(y)
        if there.any():
            axes.plot(x[there], y[there], **_marked(_style(k), there.sum()), gid=sheet.name(name))


def _ticks(axes: Axes, found: OverTime) -> None:
    first, last = float(found.at[0]), float(found.at[-1])
    margin = found.span / 2 if last > first else 0.5
    axes.set_xlim(first - margin, last + margin)
    if not found.dated:
        axes.locator_params(axis="x", integer=True, nbins=8)
        return
    days = sorted({math.floor(time) for time in np.linspace(first, last, 4)} if last - first >= 3 else {first, last})
    axes.set_xticks(days, [day(time) for time in days])
    for i, text in enumerate(axes.get_xticklabels()):
        text.set_horizontalalignment("center" if 0 < i < len(days) - 1 or len(days) == 1 else "right" if i else "left")


def _legend(sheet: svg.Sheet, labels: Sequence[str], there: Sequence[bool]) -> None:
    entries = [Entry(_style(k), sheet.name(name, 150)) for k, name in enumerate(labels) if there[k]]
    legend(sheet, 14, entries, columns=2)


def _over_time_described(found: OverTime, bands: Sequence[str], labels: Sequence[str]) -> str:
    sentences = []
    for band, name in enumerate(bands):
        of_band = found.mean[:, :, band]
        if np.isfinite(of_band).any():
            ends = zip(("largest", "smallest"), (np.nanargmax(of_band), np.nanargmin(of_band)), strict=True)
            told = [
                f"{word} {amount(of_band.flat[at])} ({truncated_list([labels[at // of_band.shape[1]]])}, "
                f"{_moment(found, int(at % of_band.shape[1]))})"
                for word, at in ends
            ]
            sentences.append(f"{truncated_list([name])}: {', '.join(told)}")
    seen = found.valid[np.isfinite(found.valid)]
    return (
        f"Means over time, of each label. {'; '.join(sentences)}. "
        f"Valid pixels at a moment: from {percent(round(seen.min(), 4))} to {percent(round(seen.max(), 4))}."
    )


def _moment(found: OverTime, point: int) -> str:
    return day(found.at[point]) if found.dated else f"moment {amount(found.at[point])}"


def _values_described(found: Sequence[Histogram], bands: Sequence[str], labels: Sequence[str]) -> str:
    sentences = []
    for name, one in zip(bands, found, strict=True):
        peaks = []
        for label, shares in zip(labels, one.shares, strict=True):
            if np.isfinite(shares).any():
                at = int(shares.argmax())
                peaks.append(f"{truncated_list([label])} {amount((one.edges[at] + one.edges[at + 1]) / 2)}")
        sentences.append(f"{truncated_list([name])}: {', '.join(peaks) or 'all values are equal'}")
    return f"Distribution of the values of each band. Most frequent value of each label: {'; '.join(sentences)}."
