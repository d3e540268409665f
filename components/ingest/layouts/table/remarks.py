"""Notes on tables: how they were read, and which of their rows name no file."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

from components.base.errors import ConfigError
from components.base.text import shown, truncated_list
from components.data.dataset import LayoutError
from components.ingest.layouts.table.columns import Reader
from components.ingest.layouts.table.rows import Row
from components.ingest.layouts.table.table import Table
from components.ingest.settings import Columns

_FEW = 5  # missing files that are named one by one


def of_tables(tables: Sequence[Table]) -> Iterator[str]:
    """Yields one sentence for each way of writing that is not the usual one."""
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for table in tables:
        if table.remarks:
            alike[table.remarks].append(table.path)
    for said, paths in alike.items():
        yield f"{truncated_list(paths)}: read as a table {', '.join(said)}"


def of_lists(reader: Reader) -> Iterator[str]:
    """Yields a sentence on the cells that are lists in brackets."""
    if reader.seen.lists:
        many = "one cell is a list" if reader.seen.lists == 1 else f"{reader.seen.lists:,} cells are lists"
        yield (
            f"{reader.path}: column {reader.columns.labels!r}: {many} in brackets, such as "
            f"{shown(reader.seen.list[:80])}, and read as the names in it"
        )


def of_missing(rows: Sequence[Row], expected: str) -> Iterator[str]:
    """Yields one sentence on the rows that name no file, if they are most of all rows.

    Args:
        rows: of all tables.
        expected: what their names should be.

    Raises:
        LayoutError: that is so of all rows, and there are more than a few.
    """
    missing = sum(1 for row in rows if row.file.problem)
    if missing <= _FEW or 2 * missing <= len(rows):
        return
    examples = "; ".join(map(_missing, itertools.islice((row for row in rows if row.file.problem), _FEW)))
    said = (
        f"data.manifest: {missing:,} of {len(rows):,} rows name no file that can be used; expected {expected}; "
        f"got {examples}, and {missing - _FEW:,} more"
    )
    if missing == len(rows):
        raise LayoutError(said)
    yield said


def _missing(row: Row) -> str:
    """Says what a row names, and why there is no such file where that is more than that it is not there."""
    problem, _, hint = row.file.problem.partition("; ")
    why = hint if problem.startswith("there is no such file") else row.file.problem
    return shown(f"{row.file.path} ({row.where}{': ' if why else ''}{why})")


def check_class_names(tables: Sequence[Table], columns: Columns) -> None:
    """Raises ConfigError if some Parquet files give names to the numbers of their labels and others do not."""
    column = columns.labels
    if not isinstance(column, str):
        return
    named = [table.path for table in tables if column in table.classes]
    bare = [table.path for table in tables if column in table.numbers]
    if named and bare:
        raise ConfigError(
            f"data.manifest: {named[0]} gives names to the numbers in its column {column!r}, but {bare[0]} does not, "
            "so it is not known what its numbers mean; write both with the same features"
        )
