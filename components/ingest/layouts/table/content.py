"""Reads tables of every kind into named columns and numbered rows. `columns` gives the cells their meaning."""

from __future__ import annotations

import csv
import itertools
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from components.base.compact.packed import Packed
from components.base.errors import ConfigError
from components.data.dataset import LayoutError
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import first_twice, truncated_lines
from components.ingest.layouts.table import dialect, documents, parquet
from components.ingest.layouts.table.dialect import NAMES, IsFile, is_name
from components.ingest.layouts.table.encoding import decode
from components.ingest.layouts.table.roles import DEFAULT_IMAGE, IMAGE, folded
from components.ingest.layouts.table.table import Table

DELIMITED = (".csv", ".tsv", ".tab", ".txt")
LINES = (".jsonl", ".ndjson")
ENDINGS = (*DELIMITED, *LINES, ".json", ".parquet")


def read(listing: Listing, path: str, is_file: IsFile) -> Table:
    """Reads a table that the configuration names.

    Raises:
        ConfigError: there is no such file, or its ending is not that of a table.
        LayoutError: see `parse`.
    """
    if posixpath.splitext(path)[1].lower() == ".parquet":
        return parquet.parse(listing.root, listing.known(path, "data.manifest"))
    return parse(listing.content(path, "data.manifest"), path, is_file)


def parse(data: bytes, path: str, is_file: IsFile = lambda name: False) -> Table:
    r"""Parses a table. The ending of `path` tells its kind; everything else is concluded from the content.

    >>> list(parse(b"file_name;label\na.jpg;cat\n", "labels.csv").rows)
    [(2, {'file_name': 'a.jpg', 'label': 'cat'})]

    Args:
        data: content of the file.
        path: its path.
        is_file: whether a name, perhaps without ending, is that of a file of the data set.

    Raises:
        ConfigError: `path` has another ending.
        LayoutError: naming file and row: the text cannot be parsed, a column is there twice, a row has another length
            than the header, or there is no row.
    """
    kind = posixpath.splitext(path)[1].lower()
    if kind not in ENDINGS:
        raise ConfigError(f"data.manifest: {path}: expected a table; its name must end in {', '.join(ENDINGS)}")
    text, encoded = decode(data, path)
    del data  # of the size of the text
    if kind in DELIMITED:
        table = _delimited(text, path, is_file)
    elif kind in LINES:
        table = Table(path, *documents.lines(text, path))
    else:
        table = Table(path, *documents.document(text, path, is_file))
    if not table.rows:
        raise LayoutError(f"{path}: has no rows; expected one per image" + (" below the header" * (kind in DELIMITED)))
    remarks = (encoded, *table.remarks) if encoded else table.remarks
    return Table(path, table.header, table.rows, remarks, table.named)


@dataclass(frozen=True, slots=True)
class _Line:
    """A row of a delimited table: the line where it starts, and its cells."""

    number: int
    cells: tuple[str, ...]


class _Rows(Sequence[tuple[int, dict[str, Any]]]):
    """The rows of a delimited table, each made when it is asked for.

    Args:
        header: names of the columns.
        lines: of the file.
        first: number of lines that are no rows.
    """

    def __init__(self, header: Sequence[str], lines: Packed[_Line], first: int) -> None:
        self._header, self._lines, self._first = tuple(header), lines, first

    def _row(self, line: _Line) -> tuple[int, dict[str, Any]]:
        return line.number, dict(zip(self._header, line.cells, strict=True))

    def __len__(self) -> int:
        return len(self._lines) - self._first

    @overload
    def __getitem__(self, place: int) -> tuple[int, dict[str, Any]]: ...

    @overload
    def __getitem__(self, place: slice) -> list[tuple[int, dict[str, Any]]]: ...

    def __getitem__(self, place: int | slice) -> tuple[int, dict[str, Any]] | list[tuple[int, dict[str, Any]]]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        return self._row(self._lines[self._first + range(len(self))[place]])

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        return map(self._row, itertools.islice(self._lines, self._first, None))

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


def _lacks_first(header: Sequence[str], lines: Packed[_Line], is_file: IsFile) -> bool:
    """Whether a header has one name less than all rows have cells, since it does not name the column of file names.

    A header that begins with such a name, or rows that end in nothing, lack something else.
    """
    if DEFAULT_IMAGE in header or not header or IMAGE.fullmatch(folded(header[0])):
        return False

    def below() -> Iterator[tuple[str, ...]]:
        return (line.cells for line in itertools.islice(lines, 1, None))

    return (
        len(lines) > 1
        and all(len(cells) == len(header) + 1 for cells in below())
        and any(cells[-1].strip() for cells in below())
        and all(is_name(cells[0], is_file) for cells in below())
    )


def _delimited(text: str, path: str, is_file: IsFile) -> Table:
    found = dialect.detect(text, path, is_file)
    try:
        lines = Packed(_Line, (_Line(number, tuple(cells)) for number, cells in found.rows(text)))
    except csv.Error as error:
        raise LayoutError(f"{path}: {error}") from None
    if not lines:
        raise LayoutError(f"{path}: is empty; expected a header and one row per image")
    remarks = [f"separated by {NAMES.get(found.delimiter, repr(found.delimiter))}"] if found.delimiter != "," else []
    remarks += ["with cells in single quotes"] if found.quote == "'" else []
    remarks += ["after a line with the number of rows"] if found.aligned and found.skipped else []
    named = dialect.has_header([(line.number, list(line.cells)) for line in lines[: dialect.ROWS + 1]], is_file)
    if named:
        header = [name.strip() for name in lines[0].cells]
        if _lacks_first(header, lines, is_file):
            header.insert(0, DEFAULT_IMAGE)
            remarks.append(f"whose first column has no name and is called {DEFAULT_IMAGE}")
    else:
        header = [f"column_{i}" for i in range(1, 1 + len(lines[0].cells))]
        remarks.append(f"without a row that names the columns, which are called {header[0]} to {header[-1]}")
    # pandas writes its index without a name, so columns without a name may repeat.
    if twice := first_twice(filter(None, header)):
        raise LayoutError(f"{path}: the column {twice!r} is twice in the header; rename or remove one")
    expected = "in the header" if named else "in the first row"
    ragged = [
        f"{path}: row {number}: expected {len(header)} cells as {expected}, got {len(cells)}; "
        f"put cells that contain {'a comma' if found.delimiter == ',' else NAMES[found.delimiter]} in quotes"
        for number, cells in itertools.islice(lines.values("number", "cells"), int(named), None)
        if len(cells) != len(header)
    ]
    if ragged:
        raise LayoutError(truncated_lines(ragged))
    return Table(path, tuple(header), _Rows(header, lines, int(named)), tuple(remarks), named)
