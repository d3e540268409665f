"""Lists and tables whose cells are separated by any number of blanks, such as `images/a.jpg 0` in each line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence

_COUNT = re.compile(r"\s*(\d{1,18})[ \t]*\r?\n")  # a first line that holds nothing but a number
_ROWS = 500  # whose first cells are looked at

Row = tuple[int, list[str]]  # (line, counted from 1; cells)


def rows(text: str, lines_before: int = 0) -> Iterator[Row]:
    """Yields the lines that are not blank, with their cells.

    >>> list(rows("a.jpg   1 -1\\n\\nb.jpg  -1  1\\n"))
    [(1, ['a.jpg', '1', '-1']), (3, ['b.jpg', '-1', '1'])]
    """
    for number, line in enumerate(text.split("\n"), 1 + lines_before):
        if cells := line.split():
            yield number, cells


def start(text: str, is_name: Callable[[str], bool]) -> int | None:
    """Returns how many characters are before the first row; None if blanks do not separate cells.

    They do if each line begins with the name of a file and has the same number of cells. The first line may hold the
    names of the columns instead, one less if the file names have none, and before it a line may hold the number of
    rows. Without names of columns, every cell from the third on must be a number: words are more of a label.

    >>> start("2\\nsmiling young\\na.jpg  1 -1\\nb.jpg -1  1\\n", lambda cell: cell.endswith(".jpg"))
    2
    >>> start("Bild 1.jpg\\nBild 2.jpg\\n", lambda cell: cell.endswith(".jpg"))
    """
    match = _COUNT.match(text)
    skipped = match.end() if match else 0
    lines = [cells for _, cells in rows(text[skipped:])]
    named = bool(lines) and not is_name(lines[0][0])
    below = lines[1:] if named else lines
    if not below or (match and int(match[1]) not in (len(below), len(lines))):
        return None
    width = len(below[0])
    same = width > 1 and all(len(cells) == width for cells in below)
    if not same or not all(is_name(cells[0]) for cells in below[:_ROWS]):
        return None
    fits = len(lines[0]) in (width, width - 1) if named else _are_numbers(below)
    return skipped if fits else None


def _are_numbers(lines: Sequence[Sequence[str]]) -> bool:
    """Whether all cells from the third on are numbers."""
    return all(not math.isnan(_number(cell)) for cells in lines for cell in cells[2:])


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan
