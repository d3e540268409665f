"""How a delimited table is written: its delimiter and quotes, and whether its first row names the columns."""

from __future__ import annotations

import csv
import itertools
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from components.data.dataset import LayoutError
from components.ingest.layouts.listing import endings
from components.ingest.layouts.table import aligned

NAMES = {",": "','", ";": "';'", "\t": "tabs", "|": "'|'", " ": "blanks"}
ROWS = 500  # from which the delimiter is concluded
_MOST_COLUMNS = 20_000  # each name is looked up among the files, in about 0.1 ms
_CHARACTERS = 1 << 20  # that are searched for these rows
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_SEP = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)

Row = tuple[int, list[str]]  # (line where the row starts, counted from 1; cells)
IsFile = Callable[[str], bool]


@dataclass(frozen=True)
class Dialect:
    """Attributes:
    delimiter: between cells.
    quote: around cells that contain the delimiter.
    skips_blanks: whether blanks between delimiter and quote are skipped.
    skipped: characters before the first row: the line `sep=;` that Excel reads, or one with the number of rows.
    aligned: whether any number of blanks is one delimiter, and nothing is a quote.
    """

    delimiter: str = ","
    quote: str = '"'
    skips_blanks: bool = False
    skipped: int = 0
    aligned: bool = False

    def rows(self, text: str) -> Iterator[Row]:
        """Yields the rows that are not blank.

        Raises:
            csv.Error: a quote is not closed, text follows one, or a row has too many cells; it names the row.
        """
        for number, cells in self._rows(text):
            if len(cells) > _MOST_COLUMNS:
                raise csv.Error(f"row {number}: has {len(cells):,} cells; expected at most {_MOST_COLUMNS:,}")
            yield number, cells

    def _rows(self, text: str) -> Iterator[Row]:
        lines_before = text.count("\n", 0, self.skipped)
        if self.aligned:
            yield from aligned.rows(text[self.skipped :], lines_before)
            return
        reader = csv.reader(
            _lines(text, self.skipped),
            delimiter=self.delimiter,
            quotechar=self.quote,
            skipinitialspace=self.skips_blanks,
            strict=True,
        )
        start = 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise csv.Error(f"row {start + lines_before}: not valid CSV: {error}") from None
            if len(cells) > 1 or (cells and cells[0].strip()):
                yield start + lines_before, cells
            start = reader.line_num + 1


def _lines(text: str, start: int) -> Iterator[str]:
    """Yields the lines of a text with their ends, as `csv` wants them; a StringIO would take four times the text."""
    return (match[0] for match in _LINE.finditer(text, start))


def detect(text: str, path: str, is_file: IsFile) -> Dialect:
    """Concludes delimiter and quotes from the first rows: every row must have the same number of cells.

    Where several delimiters fit, that one counts which leaves a column of nothing but file names. Where none fits, the
    one that is most frequent in the first row, so that messages can name the rows that differ.

    Raises:
        LayoutError: naming `path`: two delimiters fit equally.
    """
    if match := _SEP.match(text):
        return Dialect(match[1], skipped=match.end())
    sample, whole = text[:_CHARACTERS], len(text) <= _CHARACTERS
    fitting = [d for delimiter in ",;\t|" if (d := _fitting(sample, whole, delimiter)) is not None]
    if len(fitting) > 1:
        names = [d for d in fitting if _file_columns(_sample(sample, whole, d) or [], is_file)]
        usual = "\t" if path.lower().endswith((".tsv", ".tab")) else ","
        fitting = names or fitting
        if len(fitting) > 1:
            fitting = [d for d in fitting if d.delimiter == usual and not _embedded(sample, whole, d)] or fitting
    if len(fitting) > 1:
        raise LayoutError(
            f"{path}: are its cells separated by {' or by '.join(NAMES[d.delimiter] for d in fitting)}? Each gives all "
            "rows the same number of cells; save the table with cells in quotes"
        )
    if fitting:
        return fitting[0]
    if (skipped := aligned.start(text, lambda cell: is_name(cell, is_file))) is not None:
        return Dialect(" ", skipped=skipped, aligned=True)
    by_blanks = Dialect(" ")
    rows = (_sample(sample, whole, by_blanks) or []) if '"' in sample else []  # names with blanks, in quotes
    if len({len(cells) for _, cells in rows}) == 1 and len(rows[0][1]) > 1 and is_name(rows[0][1][0], is_file):
        return by_blanks
    first = _LINE.match(text.lstrip())
    return Dialect(max(",;\t|", key=(first[0] if first else "").count))


def has_header(rows: Sequence[Row], is_file: IsFile) -> bool:
    """Whether the first row names the columns rather than an image.

    A name without an ending, of which there is a file, says little: a label may be called like an image. So all other
    cells below it must be names of files, too, and most of them different ones.
    """
    for column in itertools.zip_longest(*(cells for _, cells in rows[: ROWS + 1]), fillvalue=""):
        if is_name(column[0], lambda cell: False):
            return False
        if is_file(column[0]) and 2 * len(set(column)) > len(column) and all(is_name(c, is_file) for c in column):
            return False
    return True


def is_name(cell: str, is_file: IsFile) -> bool:
    """Whether a cell is the name of an image file, by its ending or because there is such a file."""
    cell = cell.strip()
    stem, ending = posixpath.splitext(cell)
    return bool(cell) and ((bool(stem) and ending != "" and ending.lower() in endings()) or is_file(cell))


def _fitting(sample: str, whole: bool, delimiter: str) -> Dialect | None:
    """Returns the way of quoting with which all rows have the same number of cells, more than one; None if none has."""
    found = []
    for quote, skips_blanks in (('"', False), ("'", False), ('"', True), ("'", True)):
        if quote == "'" and "'" not in sample:
            continue
        dialect = Dialect(delimiter, quote, skips_blanks)
        rows = _sample(sample, whole, dialect)
        if rows and len({len(cells) for _, cells in rows}) == 1 and len(rows[0][1]) > 1:
            if quote == '"' and not _wrapped(rows):
                return dialect
            found.append(dialect)
    # Text in single quotes fits both ways of quoting; then a whole column of such cells shows which is meant.
    return next((d for d in found if d.quote == "'"), found[0] if found else None)


def _sample(sample: str, whole: bool, dialect: Dialect) -> list[Row] | None:
    """Returns the first rows; None if they cannot be read. The last one of a part of the text may be incomplete."""
    rows: list[Row] = []
    try:
        for row in dialect.rows(sample):
            rows.append(row)
            if len(rows) > ROWS:
                return rows[:-1]
    except csv.Error:
        return rows if not whole and len(rows) > 1 else None
    return rows if whole else rows[:-1]


def _wrapped(rows: Sequence[Row]) -> bool:
    """Whether all cells of a column, or of the first row, are in single quotes."""
    cells = [cells for _, cells in rows]
    return any(all(_quoted(cell) for cell in column) for column in (*zip(*cells, strict=True), cells[0]))


def _quoted(cell: str) -> bool:
    cell = cell.strip()
    return len(cell) > 1 and cell[0] == cell[-1] == "'"


def _file_columns(rows: Sequence[Row], is_file: IsFile) -> int:
    """Counts the columns of which every cell below the first row is the name of a file."""
    below = [cells for _, cells in (rows[1:] or rows)]
    return sum(all(is_name(cell, is_file) for cell in column) for column in zip(*below, strict=True))


def _embedded(sample: str, whole: bool, dialect: Dialect) -> bool:
    """Whether the header's cells contain other delimiters, so that this one is hardly meant."""
    rows = _sample(sample, whole, dialect) or []
    return any(
        other in cell for cell in (rows[0][1] if rows else []) for other in ",;\t|" if other != dialect.delimiter
    )
