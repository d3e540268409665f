"""The meaning of the cells of each row, by the columns that they are in."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.base.text import truncated_list
from components.data.dataset import LayoutError, label_name
from components.data.storage import File
from components.ingest.layouts.rules import split_name
from components.ingest.layouts.table.cells import is_list, listed
from components.ingest.settings import Columns

_FLAGS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
_LEAST, _MOST = 1e-37, 3e38  # float32, in which weights are stored, distinguishes these from 0 and infinity


@dataclass(frozen=True, slots=True)
class RowLabels:
    """The labels of a row's image, and its other values.

    Attributes:
        labels: labels that apply.
        unknown: labels of which it is unknown whether they apply; None: all.
        weight, split, group, slices: as in `Record`; `split` as the table has it.
        problem: why the labels are impossible, or "".
        absent: labels that are known not to apply; used only with `data.columns.applies`.
    """

    labels: frozenset[str]
    unknown: frozenset[str] | None
    weight: float
    split: str | None
    group: str
    slices: tuple[tuple[str, str], ...]
    problem: str = ""
    absent: frozenset[str] = frozenset()


@dataclass
class Seen:
    """The forms of the cells seen in a column of names.

    Attributes:
        cells: cell -> the row where it is first.
        lists: number of cells that are lists in brackets.
        list: the first of them.
    """

    cells: dict[str, int] = field(default_factory=dict)
    lists: int = 0
    list: str = ""


@dataclass(frozen=True)
class Reader:
    """Reads the rows of one table.

    Attributes:
        path: path of the table, for messages.
        columns: with `labels` filled in.
        separator: separates the names in a cell; "": a cell is one name.
        empty_is_none: whether an empty list of names means that none of the labels applies.
        single: whether an image has exactly one label.
        split: split of rows that do not name one.
        names: the configured labels, which are no lists even if they are in brackets.
        seen: the cells with names that are not lists, and how many are lists in brackets; filled while reading.
    """

    path: str
    columns: Columns
    separator: str
    empty_is_none: bool
    single: bool
    split: str | None = None
    names: frozenset[str] = frozenset()
    seen: Seen = field(default_factory=Seen)

    def file_name(self, number: int, cells: Mapping[str, Any]) -> str | File:
        """Reads the file name in row `number`; or the file, if the table contains the image itself.

        Raises:
            LayoutError: the cell has none.
        """
        name = cells.get(self.columns.image)
        if isinstance(name, File):
            return name
        if isinstance(name, dict) and isinstance(name.get("path"), str):  # as Hugging Face writes images
            name = name["path"]
        if isinstance(name, int) and not isinstance(name, bool):  # such as ids
            name = str(name)
        if not isinstance(name, str) or not name.strip():
            raise LayoutError(f"{self.where(number, self.columns.image)}: expected a file name, got {name!r}")
        return name

    def row_labels(self, number: int, cells: Mapping[str, Any]) -> RowLabels:
        """Reads the labels and other values of row `number`.

        Raises:
            LayoutError: a cell is invalid.
        """
        columns, split = self.columns, self.split
        one_column = isinstance(columns.labels, str)
        labels, unknown = self._names(number, cells) if one_column else self._flags(number, cells)
        absent: frozenset[str] = frozenset()
        if columns.applies is not None:
            labels, absent = (labels, absent) if self._applies(number, cells) else (absent, labels)
        problem = _not_single(labels, unknown) if self.single else ""
        if self.single:
            unknown = frozenset() if labels else None
        if columns.split is not None and (raw := _text(cells.get(columns.split))):
            split = split_name(raw, self.where(number, columns.split))
        return RowLabels(
            labels,
            unknown,
            1.0 if columns.weight is None else self._weight(number, cells),
            split,
            "" if columns.group is None else _text(cells.get(columns.group)),
            tuple((column, _text(cells.get(column))) for column in sorted(columns.slices)),
            problem,
            absent,
        )

    @functools.cached_property
    def _label_of(self) -> Mapping[str, str]:
        return self.columns.label_of  # once for all rows

    def _flags(self, number: int, cells: Mapping[str, Any]) -> tuple[frozenset[str], frozenset[str] | None]:
        """Reads 0/1 columns; returns the labels that apply, and the unknown ones."""
        labels, unknown = [], []
        for column, label in self._label_of.items():
            value = cells.get(column)
            cell = value if type(value) is str else _text(value)
            # First without cleaning the text: there may be millions of cells.
            flag = None if self._meanings else _FLAGS.get(cell)
            if flag is None and (text := self._meaning(cell.strip()).lower()):
                flag = _FLAGS.get(text)
                if flag is None:
                    raise LayoutError(
                        f"{self.where(number, column)}: expected 1, 0, true, false or nothing (unknown), got "
                        f"{cell!r}; state what it means in data.columns.values, such as {{{cell.strip()}: null}} for "
                        "unknown"
                    )
            if flag is None:
                unknown.append(label)
            elif flag:
                labels.append(label)
        return frozenset(labels), frozenset(unknown)

    def _names(self, number: int, cells: Mapping[str, Any]) -> tuple[frozenset[str], frozenset[str] | None]:
        """Reads a column of names; returns the labels that apply, and the unknown ones: None (all) or an empty set."""
        column = str(self.columns.labels)
        where = self.where(number, column)
        value = cells.get(column)
        if isinstance(value, dict) or (isinstance(value, list) and not all(type(v) in (str, int) for v in value)):
            raise LayoutError(f"{where}: expected a name or a list of names, got {json.dumps(value)}")
        names = value if isinstance(value, list) else None
        parts = self._parts(number, _text(value), where) if names is None else [_text(name) for name in names]
        if self._meanings:
            parts = [name for part in parts if (name := self._named(part, where))]
        unknown = not parts and (value is None or self.single or not self.empty_is_none)
        return frozenset(label_name(part, where) for part in parts), None if unknown else frozenset()

    def _parts(self, number: int, text: str, where: str) -> list[str]:
        """Splits a cell into names."""
        separator = "" if self.single else self.separator
        if is_list(text) and text not in self.names:
            parts = listed(text, separator)
            if parts is None:
                raise LayoutError(f"{where}: {text[:80]!r} looks like a list, but cannot be read; write ['cat', 'dog']")
            self.seen.lists += 1
            self.seen.list = self.seen.list or text
            return parts
        self.seen.cells.setdefault(text, number)
        if separator:
            return [name for part in text.split(separator) if (name := part.strip())]
        return [text] if text else []

    @functools.cached_property
    def _meanings(self) -> Mapping[str, str]:
        return {
            _code(cell): "" if meaning is None else meaning for cell, meaning in (self.columns.values or {}).items()
        }

    def _meaning(self, cell: str) -> str:
        """Translates a cell by `data.columns.values`."""
        return self._meanings.get(_code(cell), cell) if self._meanings else cell

    def _named(self, name: str, where: str) -> str:
        """Translates a name by `data.columns.values`; "" if it stands for nothing.

        Raises:
            LayoutError: the settings do not mention it, so that it would become a label beside those that they name.
        """
        meaning = self._meaning(name)
        if _code(name) not in self._meanings and name not in self._meanings.values():
            raise LayoutError(
                f"{where}: data.columns.values does not say what {name!r} means; it has "
                f"{truncated_list(sorted(self._meanings))}; add {name!r}"
            )
        return meaning

    def _applies(self, number: int, cells: Mapping[str, Any]) -> bool:
        """Reads whether the label of a row applies to its image."""
        column = str(self.columns.applies)
        text = _text(cells.get(column))
        flag = _FLAGS.get(text.lower())
        if flag is None:
            raise LayoutError(
                f"{self.where(number, column)}: expected 1 (the label applies) or 0 (it does not), got {text!r}"
            )
        return flag

    def _weight(self, number: int, cells: Mapping[str, Any]) -> float:
        column = str(self.columns.weight)
        text = _text(cells.get(column))
        try:
            weight = float(text)
        except ValueError:
            weight = math.nan
        if not _LEAST < weight < _MOST:
            raise LayoutError(f"{self.where(number, column)}: expected a finite number above 0, got {text!r}")
        return weight

    def where(self, number: int, column: str) -> str:
        """Names a cell in a message."""
        return f"{self.path}: row {number}: column {column!r}"


def _not_single(labels: frozenset[str], unknown: frozenset[str] | None) -> str:
    """Explains why the labels are impossible for an image with exactly one label; or returns ""."""
    if len(labels) > 1:
        return f"has {len(labels)} labels ({', '.join(sorted(labels))}), but the task is single_label"
    if not labels and unknown is not None and not unknown:
        return "says that no label applies, but the task is single_label; leave the cells empty if the label is unknown"
    return ""


def _code(cell: str) -> str:
    """Writes whole numbers alike: pandas writes -1.0 where a column has empty cells.

    >>> _code("-1.0"), _code("1.50"), _code("u")
    ('-1', '1.50', 'u')
    """
    return re.sub(r"^([-+]?\d+)\.0+$", r"\1", cell.strip())


def _text(value: Any) -> str:
    """Turns a cell into text, as CSV has it, so that 1, 1.0, true and null mean the same in JSONL."""
    if isinstance(value, str):
        return value.strip()
    return "" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
