"""The meaning of a table's columns, and of the cells of each row."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.data.dataset import LayoutError, label_name
from components.ingest.layouts.rules import split_name
from components.ingest.settings import Columns

_FLAGS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
_LEAST, _MOST = 1e-37, 3e38  # float32, in which weights are stored, distinguishes these from 0 and infinity


def default_columns(header: Sequence[str], columns: Columns, path: str) -> Columns:
    """Fills in the label column of a table, and checks that the table has all columns.

    >>> default_columns(["file_name", "label", "notes"], Columns(), "labels.csv").labels
    'label'

    Raises:
        LayoutError: naming `path`: a column is not in `header`, or it is not clear which one has the labels.
    """
    if columns.labels is None:
        candidates = [name for name in ("label", "labels") if name in header]
        if len(candidates) != 1:
            raise LayoutError(
                f"{path}: which column holds the labels? Set data.columns.labels; there are "
                + ", ".join(map(repr, header))
            )
        columns = columns.model_copy(update={"labels": candidates[0]})
    for key, column in columns.named():
        if column not in header:
            raise LayoutError(
                f"{path}: there is no column {column!r} (data.columns.{key}); there are {', '.join(map(repr, header))}"
                + ("; cells must be separated by ','" if len(header) == 1 and ";" in header[0] else "")
            )
    return columns


@dataclass(frozen=True, slots=True)
class RowLabels:
    """The labels of a row's image, and its other values.

    Attributes:
        labels: labels that apply.
        unknown: labels of which it is unknown whether they apply; None: all.
        weight, split, group, slices: as in `Record`; `split` as the table has it.
        problem: why the labels are impossible, or "".
    """

    labels: frozenset[str]
    unknown: frozenset[str] | None
    weight: float
    split: str | None
    group: str
    slices: tuple[tuple[str, str], ...]
    problem: str = ""


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
    """

    path: str
    columns: Columns
    separator: str
    empty_is_none: bool
    single: bool
    split: str | None = None

    def file_name(self, number: int, cells: Mapping[str, Any]) -> str:
        """Reads the file name in row `number`.

        Raises:
            LayoutError: the cell has none.
        """
        name = cells.get(self.columns.image)
        if not isinstance(name, str) or not name:
            raise LayoutError(f"{self._where(number, self.columns.image)}: expected a file name, got {name!r}")
        return name

    def row_labels(self, number: int, cells: Mapping[str, Any]) -> RowLabels:
        """Reads the labels and other values of row `number`.

        Raises:
            LayoutError: a cell is invalid.
        """
        columns, split = self.columns, self.split
        one_column = isinstance(columns.labels, str)
        labels, unknown = self._names(number, cells) if one_column else self._flags(number, cells)
        problem = _not_single(labels, unknown) if self.single else ""
        if self.single:
            unknown = frozenset() if labels else None
        if columns.split is not None and (raw := _text(cells.get(columns.split))):
            split = split_name(raw, self._where(number, columns.split))
        return RowLabels(
            labels,
            unknown,
            1.0 if columns.weight is None else self._weight(number, cells),
            split,
            "" if columns.group is None else _text(cells.get(columns.group)),
            tuple((column, _text(cells.get(column))) for column in sorted(columns.slices)),
            problem,
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
            flag = _FLAGS.get(cell)  # first without cleaning the text: there may be millions of cells
            if flag is None and (text := cell.strip().lower()):
                flag = _FLAGS.get(text)
                if flag is None:
                    raise LayoutError(
                        f"{self._where(number, column)}: expected 1, 0, true, false or nothing (unknown), got {cell!r}"
                    )
            if flag is None:
                unknown.append(label)
            elif flag:
                labels.append(label)
        return frozenset(labels), frozenset(unknown)

    def _names(self, number: int, cells: Mapping[str, Any]) -> tuple[frozenset[str], frozenset[str] | None]:
        """Reads a column of names; returns the labels that apply, and the unknown ones: None (all) or an empty set."""
        column = str(self.columns.labels)
        where = self._where(number, column)
        value = cells.get(column)
        if isinstance(value, dict) or (isinstance(value, list) and not all(type(v) in (str, int) for v in value)):
            raise LayoutError(f"{where}: expected a name or a list of names, got {json.dumps(value)}")
        if isinstance(value, list):
            parts = [_text(name) for name in value]
        elif self.separator and not self.single:
            parts = [name for part in _text(value).split(self.separator) if (name := part.strip())]
        else:
            parts = [text] if (text := _text(value)) else []
        unknown = not parts and (value is None or self.single or not self.empty_is_none)
        return frozenset(label_name(part, where) for part in parts), None if unknown else frozenset()

    def _weight(self, number: int, cells: Mapping[str, Any]) -> float:
        column = str(self.columns.weight)
        text = _text(cells.get(column))
        try:
            weight = float(text)
        except ValueError:
            weight = math.nan
        if not _LEAST < weight < _MOST:
            raise LayoutError(f"{self._where(number, column)}: expected a finite number above 0, got {text!r}")
        return weight

    def _where(self, number: int, column: str) -> str:
        return f"{self.path}: row {number}: column {column!r}"


def _not_single(labels: frozenset[str], unknown: frozenset[str] | None) -> str:
    """Explains why the labels are impossible for an image with exactly one label; or returns ""."""
    if len(labels) > 1:
        return f"has {len(labels)} labels ({', '.join(sorted(labels))}), but the task is single_label"
    if not labels and unknown is not None and not unknown:
        return "says that no label applies, but the task is single_label; leave the cells empty if the label is unknown"
    return ""


def _text(value: Any) -> str:
    """Turns a cell into text, as CSV has it, so that 1, 1.0, true and null mean the same in JSONL."""
    if isinstance(value, str):
        return value.strip()
    return "" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
