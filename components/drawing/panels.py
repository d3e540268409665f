"""Common parts of the charts: panels, legends and the styles of the splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.data.dataset import SPLITS
from components.drawing import svg
from components.drawing.svg import SERIES, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Style = Mapping[str, Any]  # keyword arguments of a line in matplotlib

LEFT, RIGHT, ROW = 48, 14, 18  # user units: the margins, and the height of a line in a legend
INNER = svg.WIDTH - LEFT - RIGHT
DASHES: Sequence[Any] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
OF_SPLIT: Mapping[str, Style] = {split: {"color": SERIES[i], "linestyle": DASHES[i]} for i, split in enumerate(SPLITS)}
SERVED = "train (served model)"


@dataclass(frozen=True)
class Entry:
    """A line of a legend: style, name and optionally a number."""

    style: Style
    text: str
    value: str = ""


def panel(sheet: Sheet, top: float, height: float, y_label: str) -> Axes:
    """Axes as wide as the sheet, with the label of the vertical axis above them, where it is not rotated."""
    axes = sheet.axes(LEFT, top, INNER, height)
    axes.set_title(y_label, loc="left")
    return axes


def legend(sheet: Sheet, top: float, entries: Sequence[Entry], columns: int = 1) -> None:
    """Draws a legend row by row from `top` on, with the numbers right-aligned."""
    axes, width = sheet.blank(), (svg.WIDTH - 2 * RIGHT) / columns
    for i, entry in enumerate(entries):
        x, y = RIGHT + (i % columns) * width, top + (i // columns) * ROW
        at = [x + 12] if entry.style.get("linestyle") == "none" else [x, x + 12, x + 24]
        if entry.style:
            axes.plot(at, [y] * len(at), **{"markevery": [len(at) // 2], **entry.style})
        axes.text(x + 32, y + 4, entry.text)
        axes.text(x + width, y + 4, entry.value, ha="right")
