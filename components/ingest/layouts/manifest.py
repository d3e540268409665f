"""Layout `manifest`: a CSV or JSONL table with one row per image. Hugging Face's `metadata.csv` is one.

Labels stand in several 0/1 columns, or in one column of names. An empty 0/1 cell means that nobody said whether this
label applies to this image; a 0 says that it does not. Both are kept apart all the way to the loss.
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
from components.ingest.layouts.columns import Columns, Reader, Said, default_columns
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import by_split, ordered_labels, settled, several, shares


@dataclass(frozen=True, slots=True)
class _Row:
    where: str
    file: File
    said: Said


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
    """Lists a data set by its table. Reads the listing and the table, no image.

    Every row becomes a record or, with a reason, an entry of `rejected`: its file is missing, lies outside the root,
    is named by several rows (of rows that say the same the first stays, else none), or cannot be in `single`.

    Args:
        root: local folder or fsspec URL.
        split: shares of train, eval and test; see `layouts.shares`.
        names: the labels in output order, or None: those found, sorted.
        manifest: path of the table below `root`, or one per split.
        images: folder below `root` that file names are relative to; None: each table's own folder.
        columns: see `Columns`.
        separator: between the names in a cell; "": a cell is one name. The names of a JSONL list are not separated.
        empty: whether an empty list of names means that nobody said, or none of the labels. A missing or null value
            always means that nobody said.
        single: each image has exactly one label; a cell of names is one name, and an image without is unknown.

    Raises:
        ConfigError: no such root or table, or settings that contradict each other.
        LayoutError: the table as a whole cannot be used: its form, a column, or cells that mean nothing.
    """
    columns = columns or Columns()
    paths = by_split(manifest, "data.manifest")
    if None not in paths and columns.split is not None:
        raise ConfigError("data.columns.split: data.manifest already has one table per split; remove one of the two")
    listing = Listing(root)
    rows: list[_Row] = []
    folders = set()
    for fixed, path in paths.items():
        table = tables.parse(listing.text(path, "data.manifest"), path)
        columns = default_columns(table.header, columns, path)
        folder = listing.folder(posixpath.dirname(path) if images is None else images, "data.images")
        folders.add(folder)
        rows += _rows(table, folder, listing, Reader(path, columns, separator, empty == "none", single, fixed))
    _check_names(names, columns, "" if single else separator, paths.values())
    rows = _one_split_a_group(rows)
    labels = _labels(rows, columns, names)
    fractions = shares(split, {row.said.split for row in rows} | set(paths))
    kept, rejected, contradictory = _once(rows)
    spoken_for = {row.file.path for row in rows} | {listing.find("", path).path for path in paths.values()}
    return Dataset(
        root=root,
        labels=labels,
        records=tuple(sorted((_record(row, labels, fractions) for row in kept), key=lambda r: r.path)),
        fractions=fractions,
        rejected=tuple(sorted(rejected)),
        contradictory=tuple(sorted(contradictory.items())),
        ignored=tuple(sorted({f.path for folder in folders for f in listing.below(folder)} - spoken_for)),
    )


def _rows(table: tables.Table, folder: str, listing: Listing, reader: Reader) -> list[_Row]:
    rows, problems = [], []
    for number, cells in table.rows:
        try:
            file = listing.find(folder, reader.file_name(number, cells))
            rows.append(_Row(f"row {number} of {table.path}", file, reader.said(number, cells)))
        except LayoutError as error:
            problems.append(str(error))
    if problems:
        raise LayoutError(several(problems))
    return rows


def _check_names(names: Sequence[str] | None, columns: Columns, separator: str, paths: Iterable[str]) -> None:
    """Raises ConfigError where `names` contradict the other settings."""
    for name in names or ():
        if columns.label_of and name not in columns.label_of.values():
            raise ConfigError(f"labels.names: {name!r} is no column of data.columns.labels; add or remove it")
        # A JSONL list needs no separator.
        if not columns.label_of and separator and separator in name and any(p.lower().endswith("csv") for p in paths):
            raise ConfigError(
                f"labels.names: {name!r} holds the separator {separator!r}, so that a cell with it would be read as "
                "several labels; choose another data.separator"
            )


def _one_split_a_group(rows: Sequence[_Row]) -> list[_Row]:
    """Rows without a split take that of their group; a group in two splits is a contradiction."""
    first: dict[str, _Row] = {}
    for row in rows:
        group, split = row.said.group, row.said.split
        if group and split and (other := first.setdefault(group, row)).said.split != split:
            raise LayoutError(
                f"{row.where}: group {group!r} is in {split} here, but in {other.said.split} in {other.where}; "
                "a group's images must all be in one split"
            )

    def together(row: _Row) -> _Row:
        if row.said.split or row.said.group not in first:
            return row
        return replace(row, said=replace(row.said, split=first[row.said.group].said.split))

    return [together(row) for row in rows] if first else list(rows)


def _labels(rows: Iterable[_Row], columns: Columns, names: Sequence[str] | None) -> tuple[str, ...]:
    """Labels in output order. A label column counts as found even where it is all zeros."""
    found = set(columns.label_of.values()).union(*(row.said.labels for row in rows))
    labels = ordered_labels(found, names, "data.manifest")
    if not labels:
        raise LayoutError(f"data.manifest: no row has a label in the column {columns.labels!r}")
    return labels


def _once(rows: Sequence[_Row]) -> tuple[list[_Row], list[tuple[str, str]], dict[str, str]]:
    """The rows to use, one per file; (path, reason) of all others; path -> reason where rows say different things."""
    of_file: dict[str, dict[Said, _Row]] = defaultdict(dict)  # path -> what is said of it -> the first row that does
    for row in rows:
        of_file[row.file.path].setdefault(row.said, row)
    kept, rejected = [], []
    contradictory: dict[str, str] = {}
    for row in rows:
        said = of_file[row.file.path]
        problem = row.file.problem or row.said.problem or _said_elsewhere(row, said)
        if problem and len(said) > 1 and not row.file.problem:
            contradictory.setdefault(row.file.path, f"{row.where}: {problem}")
        if problem:
            rejected.append((row.file.path, f"{row.where}: {problem}"))
        else:
            kept.append(row)
    return kept, rejected, contradictory


def _said_elsewhere(row: _Row, first: Mapping[Said, _Row]) -> str:
    """Why `row` is not the one to use of those that name the same file, or ""."""
    others = [other.where for said, other in itertools.islice(first.items(), 5) if said != row.said]
    if others:
        return f"the same file is named with other labels or values in {', '.join(others)}"
    same = first[row.said]
    return "" if row is same else f"the same file is named before, in {same.where}, with the same labels"


def _record(row: _Row, labels: Sequence[str], fractions: Mapping[str, float]) -> Record:
    said = row.said
    return Record(
        path=row.file.path,
        labels=tuple(label for label in labels if label in said.labels),
        split=settled(said.split, fractions),
        size=row.file.size,
        version=row.file.version,
        unknown=tuple(label for label in labels if said.unknown is None or label in said.unknown),
        weight=said.weight,
        group=said.group,
        slices=said.slices,
    )
