"""Reads tables of every kind into named columns and numbered rows. `columns` gives the cells their meaning."""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Sequence

from components.base.errors import ConfigError
from components.data.dataset import LayoutError
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import truncated_lines
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

    >>> parse(b"file_name;label\na.jpg;cat\n", "labels.csv").rows
    ((2, {'file_name': 'a.jpg', 'label': 'cat'}),)

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


def _lacks_first(header: Sequence[str], lines: Sequence[dialect.Row], is_file: IsFile) -> bool:
    """Whether a header has one name less than all rows have cells, since it does not name the column of file names.

    A header that begins with such a name, or rows that end in nothing, lack something else.
    """
    if DEFAULT_IMAGE in header or not header or IMAGE.fullmatch(folded(header[0])):
        return False
    one_more = bool(lines) and all(len(cells) == len(header) + 1 for _, cells in lines)
    return (
        one_more
        and any(cells[-1].strip() for _, cells in lines)
        and all(is_name(cells[0], is_file) for _, cells in lines)
    )


def _delimited(text: str, path: str, is_file: IsFile) -> Table:
    found = dialect.detect(text, path, is_file)
    try:
        lines = list(found.rows(text))
    except csv.Error as error:
        raise LayoutError(f"{path}: {error}") from None
    if not lines:
        raise LayoutError(f"{path}: is empty; expected a header and one row per image")
    remarks = [f"separated by {NAMES.get(found.delimiter, repr(found.delimiter))}"] if found.delimiter != "," else []
    remarks += ["with cells in single quotes"] if found.quote == "'" else []
    remarks += ["after a line with the number of rows"] if found.aligned and found.skipped else []
    named = dialect.has_header(lines, is_file)
    if named:
        header = [name.strip() for name in lines.pop(0)[1]]
        if _lacks_first(header, lines, is_file):
            header.insert(0, DEFAULT_IMAGE)
            remarks.append(f"whose first column has no name and is called {DEFAULT_IMAGE}")
    else:
        header = [f"column_{i}" for i in range(1, 1 + len(lines[0][1]))]
        remarks.append(f"without a row that names the columns, which are called {header[0]} to {header[-1]}")
    # pandas writes its index without a name, so columns without a name may repeat.
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise LayoutError(f"{path}: the column {twice[0]!r} is twice in the header; rename or remove one")
    expected = "in the header" if named else "in the first row"
    ragged = [
        f"{path}: row {line}: expected {len(header)} cells as {expected}, got {len(cells)}; "
        f"put cells that contain {'a comma' if found.delimiter == ',' else NAMES[found.delimiter]} in quotes"
        for line, cells in lines
        if len(cells) != len(header)
    ]
    if ragged:
        raise LayoutError(truncated_lines(ragged))
    rows = ((line, dict(zip(header, cells, strict=True))) for line, cells in lines)
    return Table(path, tuple(header), tuple(rows), tuple(remarks), named)
