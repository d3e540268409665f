"""What the charts of the report have in common: panels, legends, how the splits look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.data.dataset import SPLITS
from components.drawing import svg
from components.drawing.svg import SERIES, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Style = Mapping[str, Any]  # of a line of matplotlib

LEFT, RIGHT, ROW = 48, 14, 18  # user units: margins, a line of a legend
INNER = svg.WIDTH - LEFT - RIGHT
DASHES: Sequence[Any] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
OF_SPLIT: Mapping[str, Style] = {split: {"color": SERIES[i], "linestyle": DASHES[i]} for i, split in enumerate(SPLITS)}
SERVED = "train, of the served model"


@dataclass(frozen=True)
class Entry:
    """A line of a legend: how it is drawn, what it is, and perhaps a number."""

    style: Style
    text: str
    value: str = ""


def panel(sheet: Sheet, top: float, height: float, what: str) -> Axes:
    """Axes as wide as the sheet; what goes up stands above, where it can be read without turning one's head."""
    axes = sheet.axes(LEFT, top, INNER, height)
    axes.set_title(what, loc="left")
    return axes


def legend(sheet: Sheet, top: float, entries: Sequence[Entry], columns: int = 1) -> None:
    """Row by row from `top` on; numbers stand at the right."""
    axes, width = sheet.blank(), (svg.WIDTH - 2 * RIGHT) / columns
    for i, entry in enumerate(entries):
        x, y = RIGHT + (i % columns) * width, top + (i // columns) * ROW
        at = [x + 12] if entry.style.get("linestyle") == "none" else [x, x + 12, x + 24]
        if entry.style:
            axes.plot(at, [y] * len(at), **{"markevery": [len(at) // 2], **entry.style})
        axes.text(x + 32, y + 4, entry.text)
        axes.text(x + width, y + 4, entry.value, ha="right")
