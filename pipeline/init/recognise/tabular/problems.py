"""Why a table beside images cannot be used: said where nothing else fits, since it is hardly there for nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.base.text import shown, truncated_list
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.table.dialect import is_name
from components.ingest.layouts.table.roles import folded
from components.ingest.layouts.table.table import Table
from pipeline.init.recognise.sight import Sight
from pipeline.init.recognise.tabular import places, roles
from pipeline.init.recognise.tabular.candidates import Unparsed

_CELL = re.compile(r"[^\s,;|\"]{1,200}")
_CHARACTERS = 20_000  # of a file that are searched for names of images
_LEAST_NAMES = 2
_SAMPLE = 300
_CALLED = re.compile(r"(image|img|photo|picture|file)s?(files?)?(names?|paths?|ids?|index)?")


def of_unparsed(sight: Sight, unparsed: Unparsed, listing: Listing) -> str:
    """Returns the error of a table that seems to name images; "" for other files."""
    if unparsed.path.lower().endswith((".parquet", ".json")):
        return ""
    try:
        text = sight.read(unparsed.path)[:_CHARACTERS].decode("utf-8", "replace")
    except OSError:
        return ""
    names = list(dict.fromkeys(_CELL.findall(text)))[:_SAMPLE]
    hits = sum(places.is_somewhere(name, listing) for name in names)
    return unparsed.problem if hits >= min(_LEAST_NAMES, len(sight.images)) > 0 else ""


def of_names(table: Table) -> str:
    """Says that a table with a column of file names names no image that is there; "" if it has no such column."""
    for column in table.header:
        cells = [(n, cells.get(column)) for n, cells in table.rows[:_SAMPLE]]
        texts = [(number, cell) for number, cell in cells if isinstance(cell, str) and cell.strip()]
        named = [cell for _, cell in texts if is_name(cell, lambda name: False)]
        if texts and (2 * len(named) > len(texts) or _CALLED.fullmatch(folded(column))):
            number, cell = texts[0]
            return (
                f"{table.path}: most file names in its column {column!r} are those of no image here, such as "
                f"{shown(cell[:80])!r} in row {number}"
            )
    return ""


def of_columns(table: Table, columns: Mapping[str, Sequence[str]]) -> str:
    """Says why none of the columns of a table that names images holds labels.

    Args:
        table: the table, or that of train.
        columns: the columns other than that of the file names, and their cells.
    """
    if not columns:
        return f"{table.path} names images, but has no other column, so it holds no labels"
    reasons = list(_reasons(columns))
    more = f"; nor do {len(reasons) - 3} other columns" if len(reasons) > 3 else ""
    return f"{table.path} names images, but {'; '.join(reasons[:3])}{more}"


def _reasons(columns: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for column, cells in columns.items():
        filled = [cell for cell in cells if cell]
        values = dict.fromkeys(filled)
        if len(values) < 2:
            what = f"nothing but {shown(filled[0][:80])!r}" if filled else "nothing"
            yield f"its column {column!r} holds {what}, so it tells no labels apart"
        elif roles.are_numbers(values):
            if 2 * len(values) <= len(filled):
                yield (
                    f"its column {column!r} has {len(values):,} different numbers, which may be no labels; if they "
                    f"are, set data.columns.labels: {column}"
                )
                continue
            many = f"{len(values):,} different values in {len(filled):,} rows"
            yield f"its column {column!r} has {many}, so it holds no labels"
        else:
            yield (
                f"its column {column!r} has {len(values):,} different values in {len(filled):,} rows, such as "
                f"{truncated_list(shown(value[:80]) for value in list(values)[:2])}, so it holds no labels"
            )


def of_share(table: Table, rows: Sequence[Mapping[str, Any]], sight: Sight) -> str:
    """Says that a table names few of the images."""
    return f"{table.path} names only {len(rows):,} of {len(sight.images):,} images"
