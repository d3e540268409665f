"""The layout `manifest`: a CSV or JSONL table with one row per image, such as Hugging Face's `metadata.csv`.

Labels are in several 0/1 columns, or in one column of names. In a 0/1 column, an empty cell means that it is unknown
whether the label applies to the image, while 0 means that it does not. The loss treats the two differently.
"""

from __future__ import annotations

import itertools
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from components.base.errors import ConfigError
from components.data.dataset import Dataset, LayoutError, Record
from components.data.storage import File
from components.ingest.layouts import tables
from components.ingest.layouts.columns import Reader, RowLabels, default_columns
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import by_split, ordered_labels, resolved_split, shares, truncated_lines
from components.ingest.settings import Columns


@dataclass(frozen=True, slots=True)
class _Row:
    """A row with its file; `where` names it in messages."""

    where: str
    file: File
    content: RowLabels


def read(
    root: str,
    split: Mapping[str, float],
    names: Sequence[str] | None = None,
    *,
    manifest: str | Mapping[str, str],
    images: str | None = None,
    columns: Columns | None = None,
    separator: str = "|",
    empty: Literal["unknown", "none"] = "unknown",
    single: bool = False,
) -> Dataset:
    """Lists a data set by its table. Reads the listing and the table, but no image.

    Every row becomes a record, or an entry of `rejected` with a reason: its file is missing or outside the root, or its
    labels are impossible for `single`. If several rows name one file, the first is used if all agree, else none.

    Args:
        root: local folder or fsspec URL.
        split: shares of train, eval and test; see `rules.shares`.
        names: the labels in output order, or None: those of the table, sorted.
        manifest: path of the table below `root`, or one per split.
        images: folder below `root` that file names are relative to; None: the folder of each table.
        columns: see `Columns`.
        separator: separates the names in a cell; "": a cell is one name. The names of a JSONL list are not separated.
        empty: whether an empty list of names means that all labels are unknown, or that none applies. A missing or
            null value always means that they are unknown.
        single: each image has exactly one label; a cell is one name, and an empty cell means unknown.

    Raises:
        ConfigError: there is no such root or table, or settings contradict each other.
        LayoutError: the table cannot be used: it cannot be parsed, or a column or cell is invalid.
    """
    columns = columns or Columns()
    paths = by_split(manifest, "data.manifest")
    if None not in paths and columns.split is not None:
        raise ConfigError("data.columns.split: data.manifest already has one table per split; remove one of the two")
    listing = Listing(root)
    rows: list[_Row] = []
    folders = set()
    for named_split, path in paths.items():
        table = tables.parse(listing.text(path, "data.manifest"), path)
        columns = default_columns(table.header, columns, path)
        folder = listing.folder(posixpath.dirname(path) if images is None else images, "data.images")
        folders.add(folder)
        rows += _rows(table, folder, listing, Reader(path, columns, separator, empty == "none", single, named_split))
    _check_names(names, columns, "" if single else separator, paths.values())
    rows = _with_group_splits(rows)
    labels = _labels(rows, columns, names)
    fractions = shares(split, {row.content.split for row in rows} | set(paths))
    kept, rejected, contradictory = _unique(rows)
    used = {row.file.path for row in rows} | {listing.find("", path).path for path in paths.values()}
    return Dataset(
        root=root,
        labels=labels,
        records=tuple(sorted((_record(row, labels, fractions) for row in kept), key=lambda r: r.path)),
        fractions=fractions,
        rejected=tuple(sorted(rejected)),
        contradictory=tuple(sorted(contradictory.items())),
        ignored=tuple(sorted({f.path for folder in folders for f in listing.below(folder)} - used)),
    )


def _rows(table: tables.Table, folder: str, listing: Listing, reader: Reader) -> list[_Row]:
    rows, problems = [], []
    for number, cells in table.rows:
        try:
            file = listing.find(folder, reader.file_name(number, cells))
            rows.append(_Row(f"row {number} of {table.path}", file, reader.row_labels(number, cells)))
        except LayoutError as error:
            problems.append(str(error))
    if problems:
        raise LayoutError(truncated_lines(problems))
    return rows


def _check_names(names: Sequence[str] | None, columns: Columns, separator: str, paths: Iterable[str]) -> None:
    """Raises ConfigError if `names` contradict the other settings."""
    for name in names or ():
        if columns.label_of and name not in columns.label_of.values():
            raise ConfigError(
                f"labels.names: {name!r} is not a column of data.columns.labels; add it there or remove it"
            )
        # A JSONL list needs no separator.
        if not columns.label_of and separator and separator in name and any(p.lower().endswith("csv") for p in paths):
            raise ConfigError(
                f"labels.names: {name!r} contains the separator {separator!r}, so a cell with this name would be read "
                "as several labels; choose another data.separator"
            )


def _with_group_splits(rows: Sequence[_Row]) -> list[_Row]:
    """Gives rows without a split that of their group, after checking that no group is in two splits."""
    first: dict[str, _Row] = {}
    for row in rows:
        group, split = row.content.group, row.content.split
        if group and split and (other := first.setdefault(group, row)).content.split != split:
            raise LayoutError(
                f"{row.where}: group {group!r} is in {split} here, but in {other.content.split} in {other.where}; "
                "a group's images must all be in one split"
            )

    def completed(row: _Row) -> _Row:
        if row.content.split or row.content.group not in first:
            return row
        return replace(row, content=replace(row.content, split=first[row.content.group].content.split))

    return [completed(row) for row in rows] if first else list(rows)


def _labels(rows: Iterable[_Row], columns: Columns, names: Sequence[str] | None) -> tuple[str, ...]:
    """Puts the labels in output order. A label column counts even if it is all zeros."""
    used = dict.fromkeys(columns.label_of.values(), "")
    for row in rows:
        used |= {label: row.where for label in row.content.labels if not used.get(label)}
    labels = ordered_labels(used, names, "data.manifest")
    if not labels:
        raise LayoutError(f"data.manifest: no row has a label in the column {columns.labels!r}")
    return labels


def _unique(rows: Sequence[_Row]) -> tuple[list[_Row], list[tuple[str, str]], dict[str, str]]:
    """Keeps one row per file.

    Returns:
        the rows to use; (path, reason) of all others; and path -> reason for files whose rows contradict each other.
    """
    first: dict[str, dict[RowLabels, _Row]] = defaultdict(dict)  # path -> content -> the first row that has it
    for row in rows:
        first[row.file.path].setdefault(row.content, row)
    kept, rejected = [], []
    contradictory: dict[str, str] = {}
    for row in rows:
        same_file = first[row.file.path]
        problem = row.file.problem or row.content.problem or _named_twice(row, same_file)
        if problem and len(same_file) > 1 and not row.file.problem:
            contradictory.setdefault(row.file.path, f"{row.where}: {problem}")
        if problem:
            rejected.append((row.file.path, f"{row.where}: {problem}"))
        else:
            kept.append(row)
    return kept, rejected, contradictory


def _named_twice(row: _Row, same_file: Mapping[RowLabels, _Row]) -> str:
    """Explains why another row that names the same file excludes `row`; or returns ""."""
    others = [other.where for content, other in itertools.islice(same_file.items(), 5) if content != row.content]
    if others:
        return f"the same file is named with other labels or values in {', '.join(others)}"
    first = same_file[row.content]
    return "" if row is first else f"the same file is already named in {first.where}, with the same labels"


def _record(row: _Row, labels: Sequence[str], fractions: Mapping[str, float]) -> Record:
    content = row.content
    return Record(
        path=row.file.path,
        labels=tuple(label for label in labels if label in content.labels),
        split=resolved_split(content.split, fractions),
        size=row.file.size,
        version=row.file.version,
        unknown=tuple(label for label in labels if content.unknown is None or label in content.unknown),
        weight=content.weight,
        group=content.group,
        slices=content.slices,
    )
