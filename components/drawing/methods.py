"""The chart of a comparison of methods: each figure with its intervals, and the first method as a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.base.text import number
from components.drawing import svg
from components.drawing.panels import DASHES, RIGHT, ROW, Entry, Style, legend
from components.drawing.svg import INK, MUTED, SERIES
from components.metrics import SMALLER_IS_BETTER
from components.model.comparing.record import Difference, Method, MethodComparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT, _ABOVE, _BELOW = 132, 24, 34  # user units: the names of the methods, the title and the numbers of a panel
_LINE = 20  # height of a method in a panel
_FIRST: Style = {"color": INK, "linestyle": DASHES[1], "linewidth": 1.2}
_OVER_BOTH: Style = {"linestyle": "solid", "linewidth": 1.4, "marker": "|"}
_OVER_SEEDS: Style = {"color": INK, "linestyle": "solid", "linewidth": 4, "alpha": 0.35}
_BETTER, _WORSE = SERIES[2], SERIES[1]


def methods(found: MethodComparison, title: str) -> str:
    """A chart with a panel for each figure, in which each method is a row.

    Args:
        found: the comparison.
        title: of the chart.

    Returns:
        SVG; "" if no other method than the first has figures.
    """
    shown = [method for method in found.methods if method.figures]
    if not found.methods[0].figures or len(shown) < 2:
        return ""
    height = _LINE * len(shown)
    step = _ABOVE + height + _BELOW
    entries = [
        Entry(_FIRST, found.methods[0].name),
        Entry({**_OVER_BOTH, "color": MUTED}, "difference, seeds and images"),
        Entry({**_OVER_BOTH, "color": _BETTER}, "better beyond chance"),
        Entry({**_OVER_BOTH, "color": _WORSE}, "worse beyond chance"),
    ]
    entries += [] if found.same_with_every_seed else [Entry(_OVER_SEEDS, "figure, seeds alone")]
    below = step * len(found.figures) + 6
    with svg.sheet(below + ROW * 3 + 4) as sheet:
        for place, figure in enumerate(found.figures):
            axes = sheet.axes(_LEFT, step * place + _ABOVE, svg.WIDTH - _LEFT - RIGHT, height)
            axes.set_title(f"{_name(figure)}, eval", loc="left")
            _rows(axes, sheet, figure, shown)
        legend(sheet, below, entries, columns=2)
        return sheet.svg(title, _described(found))


def _rows(axes: Axes, sheet: svg.Sheet, figure: str, shown: list[Method]) -> None:
    middle = shown[0].figures[figure].mean
    if middle is None:
        return
    axes.axvline(middle, **_FIRST)
    for y, method in enumerate(shown):
        own, apart = method.figures[figure], method.differences.get(figure)
        if own.mean is None:
            continue
        colour = MUTED if apart is None else _colour(figure, apart)
        tip = sheet.name(f"{method.name}: {own.text()}" + (f", difference {apart.text()}" if apart else ""))
        if own.interval is not None and own.interval[0] < own.interval[1]:
            axes.plot(own.interval, [y, y], **_OVER_SEEDS)
        if apart is not None and apart.interval is not None:
            axes.plot([middle + bound for bound in apart.interval], [y, y], color=colour, **_OVER_BOTH)
        axes.plot(own.mean, y, marker="o", linestyle="none", color=colour if apart else INK, gid=tip)
    axes.set(ylim=(len(shown) - 0.5, -0.5))
    axes.set_yticks(range(len(shown)), [method.name for method in shown])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.locator_params(axis="x", nbins=6)


def _colour(figure: str, apart: Difference) -> str:
    if not apart.beyond_chance or apart.mean is None:
        return MUTED
    return _BETTER if (apart.mean < 0) == (figure in SMALLER_IS_BETTER) else _WORSE


def _described(found: MethodComparison) -> str:
    figure = found.figures[0]
    means = [(method.name, method.figures[figure].mean) for method in found.methods if method.figures]
    told = ", ".join(f"{name} {number(mean)}" for name, mean in means if mean is not None)
    return f"{_name(figure)} on eval: {told}."


def _name(figure: str) -> str:
    return figure.replace("_", " ").replace("iou", "IoU").replace("f1", "F1")
