"""The likely meanings of the columns of a table: labels, splits, groups, weights, slices."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.data import features
from components.ingest.layouts.paths.split_names import split_of
from components.ingest.layouts.table.cells import is_list, listed, other_separator
from components.ingest.layouts.table.roles import LABEL, folded

YES = {"1", "1.0", "true", "yes", "y", "t", "positive", "present"}
_NO = {"0", "0.0", "false", "no", "n", "f", "negative", "absent"}
_KNOWN = {"1", "1.0", "true", "0", "0.0", "false"}  # without a map
_UNKNOWN = {"-1", "-1.0", "u", "unknown", "uncertain", "nan", "na", "n/a", "null", "none", "?", "-"}
_GROUP = re.compile(
    r"(patient|subject|person|participant|individual|animal|lesion|case|study|video|sequence|clip|scene|camera|cam|site|"
    r"location|station|session|specimen|plant|plot|farm|group|source)s?(id|ids|no|nr|num|number|name|index|code)?"
)
_APPLIES = re.compile(
    r"(is)?(confidence|conf|appl(y|ies)|present|presence|positive|verified|verification|correct|true|truth)"
)
_LEAST_GROUPS = 10  # fewer cannot be shared out among three splits
_MOST_LABELS = 1000
_MOST_SLICES, _MOST_VALUES = 3, 10


@dataclass(frozen=True)
class Names:
    """A column of names: its cells as text, of the rows that have one, and how many rows have lists in JSON."""

    column: str
    cells: tuple[str, ...]
    lists: int


def texts(rows: Sequence[Mapping[str, Any]], column: str) -> list[str]:
    """Returns the cells of a column as text; "" for missing ones, and lists as JSON."""
    found = []
    for row in rows:
        cell = row.get(column)
        found.append("" if cell is None else cell.strip() if isinstance(cell, str) else json.dumps(cell, default=str))
    return found


def flag_codes(cells: Collection[str]) -> dict[str, str | None] | None:
    """Returns the codes of a 0/1 column that must be translated, with their meanings; None if it is no such column.

    >>> flag_codes({"0", "1", ""}), flag_codes({"0", "1", "-1"}), flag_codes({"1", "-1"}), flag_codes({"0", "2"})
    ({}, {'-1': None}, {'-1': '0'}, None)
    """
    values = {cell.lower() for cell in cells if cell}
    if not values or not values <= YES | _NO | _UNKNOWN or not values & (YES | _NO):
        return None
    codes: dict[str, str | None] = {}
    for cell in sorted({cell for cell in cells if cell}):
        value = cell.lower()
        if value in _KNOWN:
            continue
        codes[cell] = "1" if value in YES else "0" if value in _NO else None
    if is_signs(cells):  # -1 beside 1, but never 0: it means no
        codes = dict.fromkeys(codes, "0")
    return codes


def is_signs(cells: Collection[str]) -> bool:
    """Whether all cells are -1 or 1."""
    return bool(cells) and set(cells) <= {"1", "1.0", "-1", "-1.0"}


def words(found: Names) -> tuple[bool, bool]:
    """Whether the cells of a column may hold several words each, separated by blanks.

    They may if most cells of several words share one with another cell. It is likely if there are fewer different words
    than different cells: tags recur in many combinations, while names such as "golden retriever" and "polar bear" have
    words of their own.

    Returns:
        whether it is possible, and whether it is likely.
    """
    cells = set(found.cells)
    of_cell = [set(cell.split()) for cell in cells]
    count = Counter(word for parts in of_cell for word in parts)
    several = [parts for parts in of_cell if len(parts) > 1]
    sharing = sum(any(count[word] > 1 for word in parts) for parts in several)
    possible = bool(several) and 2 * sharing >= len(several) and sharing > 1
    return possible, possible and len(count) < len(cells)


def is_split(cells: Collection[str]) -> bool:
    """Whether the cells of a column name splits, `train` among them."""
    splits = {split_of(cell) for cell in cells if cell}
    return None not in splits and "train" in splits and len(splits) > 1


def is_weight(column: str, cells: Collection[str]) -> bool:
    """Whether a column is called weight and holds numbers above 0."""
    return folded(column) in ("weight", "weights", "sampleweight") and all(_number(cell) > 0 for cell in cells)


def says_applies(column: str) -> bool:
    """Whether a column is called like one that says whether the label of its row applies."""
    return _APPLIES.fullmatch(folded(column)) is not None


def varying(images: Sequence[str], columns: Mapping[str, Sequence[str]]) -> set[str]:
    """Returns the columns whose cells differ within an image, so that they say nothing of the image as a whole."""
    found: set[str] = set()
    if len(set(images)) == len(images):
        return found
    for column, cells in columns.items():
        cell_of: dict[str, str] = {}
        if any(cell_of.setdefault(image, cell) != cell for image, cell in zip(images, cells, strict=True)):
            found.add(column)
    return found


def group(columns: Mapping[str, Sequence[str]]) -> str | None:
    """Returns the column that looks most like one of patients, cameras or the like, with repeated values."""
    found = []
    for column, cells in columns.items():
        match = _GROUP.fullmatch(folded(column))
        values = {cell for cell in cells if cell}
        if match and _LEAST_GROUPS <= len(values) < len(cells):
            found.append((_GROUP.pattern.index(match[1]), column))
    return min(found)[1] if found else None


def slices(columns: Mapping[str, Sequence[str]], labels: Sequence[str]) -> list[str]:
    """Returns columns with few values, each of several images, that do not just repeat the labels."""
    found = []
    for column, cells in columns.items():
        values = {cell for cell in cells if cell}
        few = 2 <= len(values) <= _MOST_VALUES and 2 * len(values) <= len(cells) and all(map(str.isprintable, values))
        fractions = any("." in value and not math.isnan(_number(value)) for value in values)
        same = labels and len(set(zip(cells, labels, strict=True))) == len(set(labels))
        if few and not fractions and not same and column not in features.SLICES and column.strip():
            found.append(column)
    return found[:_MOST_SLICES]


def is_label_name(column: str) -> bool:
    """Whether a column is called like one of labels."""
    return LABEL.fullmatch(folded(column)) is not None


def names(column: str, rows: Sequence[Mapping[str, Any]], cells: Sequence[str]) -> Names | None:
    """Returns a column as one of names, if it may be one: with repeated values, not of numbers unless called so."""
    lists = sum(isinstance(row.get(column), list) for row in rows)
    if any(isinstance(row.get(column), dict) for row in rows):
        return None
    filled = tuple(cell for cell in cells if cell)
    values = set(filled)
    if not values or (len(values) > max(_MOST_LABELS, 2) and not is_label_name(column)):
        return None
    if is_label_name(column):
        return Names(column, filled, lists)
    numbers = sum(not math.isnan(_number(value)) for value in values)
    if lists or 2 * numbers > len(values) or len(values) < 2 or 2 * len(values) > len(filled):
        return None
    if any(len(value) > 60 or "://" in value for value in values):
        return None
    return Names(column, filled, lists)


def separator(found: Names) -> tuple[bool, str]:
    """Returns whether cells hold several names, and by what they are separated; "" for lists."""
    plain = [cell for cell in found.cells if not is_list(cell)]
    inside = [listed(cell) or [] for cell in found.cells if is_list(cell)]
    if found.lists or any(len(parts) > 1 for parts in inside):
        return True, ""
    other = other_separator(plain, "\0")
    return (False, "") if other is None else (True, other[0])


def are_numbers(cells: Collection[str]) -> bool:
    """Whether all cells are numbers."""
    return not any(math.isnan(_number(cell)) for cell in cells)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan
