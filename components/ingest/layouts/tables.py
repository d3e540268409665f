"""Reads CSV and JSONL files into named columns and numbered rows. `columns` gives the cells their meaning."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

from components.base.errors import ConfigError
from components.data.dataset import LayoutError
from components.ingest.layouts.rules import truncated_lines


@dataclass(frozen=True)
class Table:
    """A table in memory.

    Attributes:
        path: path of the file, for messages.
        header: every column, in the file's order.
        rows: (line of the file where the row starts, counted from 1; column -> cell); a JSONL row may lack columns.
    """

    path: str
    header: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, Any]], ...]


def parse(text: str, path: str) -> Table:
    """Parses a table. The ending of `path` is .csv, with a header and commas, or .jsonl, with an object per line.

    >>> parse("file_name,label\\na.jpg,cat\\n", "labels.csv").rows
    ((2, {'file_name': 'a.jpg', 'label': 'cat'}),)

    Raises:
        ConfigError: `path` has another ending.
        LayoutError: naming file and row: the text cannot be parsed, a column is there twice, a row has another length
            than the header, or there is no row.
    """
    kind = path.rpartition(".")[2].lower()
    if kind not in ("csv", "jsonl"):
        raise ConfigError(f"data.manifest: {path}: expected a file ending in .csv or .jsonl")
    table = _csv(text, path) if kind == "csv" else _jsonl(text, path)
    if not table.rows:
        raise LayoutError(f"{path}: has no rows; expected one per image" + (" below the header" * (kind == "csv")))
    return table


def _csv(text: str, path: str) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for cells in reader:
            if cells:  # blank lines are skipped
                lines.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise LayoutError(f"{path}: row {start}: not valid CSV: {error}") from None
    if not lines:
        raise LayoutError(f"{path}: is empty; expected a header and one row per image")
    header = [name.strip() for name in lines.pop(0)[1]]
    # pandas writes its index without a name, so columns without a name may repeat.
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise LayoutError(f"{path}: the column {twice[0]!r} is twice in the header; rename or remove one")
    ragged = [
        f"{path}: row {line}: expected {len(header)} cells as in the header, got {len(cells)}; "
        "put cells that contain a comma in quotes"
        for line, cells in lines
        if len(cells) != len(header)
    ]
    if ragged:
        raise LayoutError(truncated_lines(ragged))
    rows = ((line, dict(zip(header, cells, strict=True))) for line, cells in lines)
    return Table(path, tuple(header), tuple(rows))


def _jsonl(text: str, path: str) -> Table:
    rows, problems = [], []
    header: dict[str, None] = {}
    for line, content in enumerate(text.split("\n"), 1):  # not splitlines: JSON strings may hold U+2028
        if not content.strip():
            continue
        try:
            row = json.loads(content, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            problems.append(f"{path}: row {line}: not valid JSON: {error}")
            continue
        if isinstance(row, dict):
            rows.append((line, row))
            header.update(dict.fromkeys(row))
        else:
            problems.append(f"{path}: row {line}: expected one JSON object in a line, got {type(row).__name__}")
    if problems:
        raise LayoutError(truncated_lines(problems))
    return Table(path, tuple(header), tuple(rows))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Builds a JSON object from its pairs, refusing equal keys, of which Python would silently keep the last."""
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} is there twice")
    return row
