"""A CSV or JSONL file -> named columns and numbered rows. What the cells mean is `manifest`'s business."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

from components.base.errors import ConfigError
from components.data.dataset import LayoutError
from components.ingest.layouts.rules import several


@dataclass(frozen=True)
class Table:
    """Attributes:
    path: of the file, for messages.
    header: every column, in the file's order.
    rows: (line of the file where the row starts, counted from 1; column -> cell); a JSONL row may lack columns.
    """

    path: str
    header: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, Any]], ...]


def parse(text: str, path: str) -> Table:
    """Reads a table; the ending of `path` says which kind: .csv with a header and commas, or .jsonl.

    Raises:
        ConfigError: another ending.
        LayoutError: naming file and row: not such a table, a column twice, a row of other length, or no row.
    """
    kind = path.rpartition(".")[2].lower()
    if kind not in ("csv", "jsonl"):
        raise ConfigError(f"data.manifest: {path}: expected a file ending in .csv or .jsonl")
    table = _csv(text, path) if kind == "csv" else _jsonl(text, path)
    if not table.rows:
        raise LayoutError(f"{path}: holds no row; expected one per image" + (" below the header" * (kind == "csv")))
    return table


def _csv(text: str, path: str) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for cells in reader:
            if cells:  # a blank line is no row
                lines.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise LayoutError(f"{path}: row {start}: not valid CSV: {error}") from None
    if not lines:
        raise LayoutError(f"{path}: is empty; expected a header and one row per image")
    header = [name.strip() for name in lines.pop(0)[1]]
    # pandas writes its index without a name; such a column is only in nobody's way.
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise LayoutError(f"{path}: the column {twice[0]!r} stands twice in the header; rename or remove one")
    ragged = [
        f"{path}: row {line}: expected {len(header)} cells as in the header, got {len(cells)}; quote cells that hold ,"
        for line, cells in lines
        if len(cells) != len(header)
    ]
    if ragged:
        raise LayoutError(several(ragged))
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
        raise LayoutError(several(problems))
    return Table(path, tuple(header), tuple(rows))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; Python would silently keep the last of two equal keys."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} stands twice")
    return found
