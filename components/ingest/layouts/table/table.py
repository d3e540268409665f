"""A table in memory, whatever kind of file it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """A table in memory.

    Attributes:
        path: path of the file, for messages.
        header: every column, in the file's order.
        rows: (number of the row; column -> cell); the number is the line of the file where the row starts, or the
            position in a JSON array or a Parquet file, counted from 1. Rows of JSON may lack columns.
        remarks: what was concluded from the file and is not usual, each a clause.
        named: whether the file itself names the columns.
        classes: columns whose numbers the file itself translates to names.
        numbers: columns of whole numbers without such names.
    """

    path: str
    header: tuple[str, ...]
    rows: Sequence[tuple[int, dict[str, Any]]]
    remarks: tuple[str, ...] = ()
    named: bool = True
    classes: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
