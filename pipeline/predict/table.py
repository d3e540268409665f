"""The table of `imagegate predict`.

Column widths are computed from the names of all images first, so that each row can be printed as soon as the model
has answered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len, chop_cells

from components.base.text import shown

ABSTAINS = "abstains: unlike all that the model knows"
_GAP = "  "
_NARROWEST = 8  # characters; no column is shrunk below this
_LAST = 30  # characters reserved for the last column, or a third of a narrower terminal


class Table:
    """Formats predictions as lines of text in aligned columns.

    Args:
        names: names of all images.
        files: paths of all overlays and masks; empty if there are none.
        width: width of the terminal in characters; longer cells are wrapped. None: lines are never wrapped.
    """

    def __init__(self, names: Iterable[str], files: Iterable[str], width: int | None) -> None:
        self._width = width
        self._image, self._files = _widest(names), _widest(files)
        self._widths: list[int] = []

    def rows(self, result: Mapping[str, Any]) -> Iterator[str]:
        """Yields the lines of a successful result of `predict`, preceded by the header the first time."""
        row = cells(result)
        if not self._widths:
            self._widths = self._fixed(result, list(row)[:-1])
            yield from self._lines(list(row))
        yield from self._lines(list(row.values()), ABSTAINS if result.get("abstain") else "")

    def _fixed(self, result: Mapping[str, Any], columns: Sequence[str]) -> list[int]:
        """Returns the widths of all columns but the last, which takes the remaining space."""
        content = {"image": self._image, "overlay": self._files, "mask": self._files}
        content["label"] = _widest(result.get("probabilities", ()))
        widths = [max(content.get(name, 0), len(name)) for name in columns]
        if self._width is not None:
            free = self._width - len(_GAP) * len(columns) - min(_LAST, self._width // 3)
            while sum(widths) > free and max(widths) > _NARROWEST:
                widths[widths.index(max(widths))] -= 1
        return widths

    def _lines(self, row: Sequence[str], mark: str = "") -> Iterator[str]:
        last = None if self._width is None else max(self._width - sum(self._widths) - len(_GAP) * len(self._widths), 1)
        folded = [_fold(cell, width) for cell, width in zip(row, [*self._widths, last], strict=True)]
        if last is None or cell_len(_GAP.join((row[-1], mark))) <= last:
            folded[-1] = [_GAP.join(filter(None, (row[-1], mark)))]
        else:
            folded[-1] += _fold(mark, last) if mark else []
        for parts in zip_longest(*folded, fillvalue=""):
            padded = [p + " " * (w - cell_len(p)) for p, w in zip(parts, self._widths, strict=False)]
            yield _GAP.join([*padded, parts[-1]]).rstrip()


def cells(result: Mapping[str, Any]) -> dict[str, str]:
    """Returns the text for each column, likeliest or largest labels first; the last text may be of any length."""
    row = {name: result[name] for name in ("image", "overlay", "mask") if name in result}
    if "shares" in result:
        row["share of each label"] = _listed(
            f"{label} {share:.1%}" for label, share in _descending(result["shares"]) if share > 0
        )
    elif "label" in result:
        (label, probability), *others = _descending(result["probabilities"])
        row |= {"label": label, "probability": f"{probability:.3f}"}
        row["next likely" if others else ""] = _listed(f"{label} {p:.3f}" for label, p in others[:2])
    else:
        best = _descending(result["probabilities"])
        predicted = _listed(f"{label} {p:.3f}" for label, p in best if label in result["labels"])
        row["labels"] = predicted or f"none; the likeliest is {best[0][0]} {best[0][1]:.3f}"
    return {name: cell(text) for name, text in row.items()}


def cell(text: str) -> str:
    """Returns `text` on one line, with control characters escaped."""
    return shown(text).replace("\n", r"\n")


def _descending(numbers: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(numbers.items(), key=lambda item: -item[1])


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)


def _widest(texts: Iterable[str]) -> int:
    return max((cell_len(cell(text)) for text in texts), default=0)


def _fold(text: str, width: int | None) -> list[str]:
    """Wraps `text` to lines of at most `width` characters; None: one line."""
    if width is None:
        return [text]
    lines = [""]
    for piece in _pieces(text, width):
        if lines[-1] and cell_len((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def _pieces(text: str, width: int, ends: Sequence[str] = (", ", "/", " ")) -> Iterator[str]:
    """Splits `text` into pieces that fit `width`: at list items first, then at folders, then at words."""
    if cell_len(text.rstrip()) <= width:
        yield text
    elif not ends:
        yield from chop_cells(text, width)
    else:
        for piece in re.findall(f".*?{re.escape(ends[0])}|.+", text):
            yield from _pieces(piece, width, ends[1:])
