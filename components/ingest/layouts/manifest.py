"""The layout `manifest`: tables with one row per image, such as Hugging Face's `metadata.csv` and Parquet files.

Labels are in several 0/1 columns, or in one column of names. In a 0/1 column, an empty cell means that it is unknown
whether the label applies to the image, while 0 means that it does not. The loss treats the two differently.
"""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from components.base.compact.packed import Packed
from components.base.errors import ConfigError
from components.base.text import truncated_list
from components.data.dataset import Dataset, LayoutError, Record, packed
from components.ingest.layouts import sequences
from components.ingest.layouts.listed import Listed
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import ordered_labels, resolved_split, shares, truncated_lines
from components.ingest.layouts.sequences import Moments
from components.ingest.layouts.table import content, remarks, rows
from components.ingest.layouts.table.cells import other_separator
from components.ingest.layouts.table.columns import Reader
from components.ingest.layouts.table.lookup import Lookup
from components.ingest.layouts.table.paths import Tables, paths_of
from components.ingest.layouts.table.roles import default_columns
from components.ingest.layouts.table.rows import Row
from components.ingest.layouts.table.table import Table
from components.ingest.settings import Columns


@dataclass
class _Read:
    """The contents of the tables, and the notes on them; of sequences, the name and time that each row has."""

    columns: Columns
    parts: list[Packed[Row]] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    moments: list[tuple[str, float | None]] = field(default_factory=list)


def read(
    root: str,
    split: Mapping[str, float],
    names: Sequence[str] | None = None,
    *,
    manifest: Tables,
    images: str | Sequence[str] | None = None,
    columns: Columns | None = None,
    prefix: str = "",
    long: bool = False,
    separator: str = "|",
    empty: Literal["unknown", "none"] = "unknown",
    single: bool = False,
) -> Dataset:
    """Lists a data set by its tables. Reads the listing and the tables, but no image.

    Every row becomes a record, or an entry of `rejected` with a reason: its file is missing or outside the root, or its
    labels are impossible for `single`. If several rows name one file, the first is used if all agree, else none; with
    `long`, their labels are merged.

    Args:
        root: local folder or fsspec URL.
        split: shares of train, eval and test; see `rules.shares`.
        names: the labels in output order, or None: those of the table, sorted.
        manifest: path of the table below `root`, several, or a pattern; or one of these per split.
        images: folder below `root` that file names are relative to, or several; None: the folder of each table.
        columns: see `Columns`.
        prefix: the beginning of file names that is not part of their paths.
        long: whether a row holds one label of its image rather than all.
        separator: separates the names in a cell; "": a cell is one name. The names of lists are not separated.
        empty: whether an empty list of names means that all labels are unknown, or that none applies. A missing or
            null value always means that they are unknown.
        single: each image has exactly one label; a cell is one name, and an empty cell means unknown.

    Raises:
        ConfigError: there is no such root or table, or settings contradict each other.
        LayoutError: the table cannot be used: it cannot be parsed, or a column or cell is invalid.
    """
    columns = columns or Columns()
    listing = Listing(root)
    paths = paths_of(manifest, listing)
    named_splits = {all_rows for all_rows, _ in paths}
    if None not in named_splits and columns.split is not None:
        raise ConfigError("data.columns.split: data.manifest already has one table per split; remove one of the two")
    if columns.applies is not None and not (long and isinstance(columns.labels, str)):
        raise ConfigError(
            "data.columns.applies: says of each row whether its label applies; it needs data.rows: label and one "
            "column in data.columns.labels; set them, or remove it"
        )
    separator = "" if single else separator
    found = _Read(columns)
    for named_split, path in paths:
        listing.known(path, "data.manifest")
        places = [posixpath.dirname(path)] if images is None else [images] if isinstance(images, str) else images
        lookup = Lookup(listing, [listing.folder(place, "data.images") for place in places], prefix)
        found.folders |= {listing.folder(place, "data.images") for place in places}
        reader = Reader(path, columns, separator, empty == "none", single, named_split, frozenset(names or ()))
        _read_table(found, listing, lookup, reader)
    columns = found.columns
    all_rows = found.parts[0] if len(found.parts) == 1 else rows.packed(itertools.chain.from_iterable(found.parts))
    missing = tuple(remarks.of_missing(all_rows, _expected(listing, found.folders, prefix)))
    _check_names(names, columns, separator, (path for _, path in paths))
    _check_separator(found, separator, names)
    moments: Mapping[str, Moments] = {}
    if columns.sequence is not None:
        whole, moments = sequences.joined(list(zip(found.moments, all_rows, strict=True)))
        entries = rows.packed(whole)
        found.notes.append(
            f"data.manifest: {len(all_rows):,} rows are the moments of {len(moments):,} sequences "
            "(data.columns.sequence)"
        )
    else:
        entries = rows.merged(all_rows) if long else all_rows
    if long and len(entries) < len(all_rows):
        found.notes.append(
            f"data.manifest: {len(all_rows):,} rows name {len(entries):,} images; the labels of all rows of an image "
            "count together"
        )
    entries = rows.with_group_splits(entries)
    labels = _labels(entries, columns, names)
    fractions = shares(split, {row.content.split for row in entries} | named_splits)
    may_be_long = not single and not columns.label_of
    kept, rejected, contradictory = rows.unique(entries, may_be_long)
    return Dataset(
        root=root,
        labels=labels,
        records=packed(_record(row, labels, fractions, columns.applies is not None, moments) for row in kept),
        fractions=fractions,
        rejected=tuple(sorted(rejected)),
        contradictory=tuple(sorted(contradictory.items())),
        ignored=tuple(_unused(found, all_rows, listing, {listing.find("", path).path for _, path in paths})),
        notes=(*remarks.of_tables(found.tables), *found.notes, *missing),
    )


def _unused(found: _Read, all_rows: Packed[Row], listing: Listing, tables: Collection[str]) -> Iterator[str]:
    """The files in the folders of images that no row names, sorted."""
    named = (path for path, _ in rows.of_files(all_rows))
    folders, name = tuple(found.folders), next(named, None)
    for path in sorted(listing.files) if not isinstance(listing.files, Listed) else listing.files:
        while name is not None and name < path:
            name = next(named, None)
        if path != name and path not in tables and path.startswith(folders):
            yield path


def _expected(listing: Listing, folders: set[str], prefix: str) -> str:
    """Describes the file names that a table should have."""
    places = truncated_list(sorted(folder.rstrip("/") or listing.root for folder in folders))
    return f"paths below {places} (data.images)" + (f" after {prefix!r} (data.prefix)" if prefix else "")


def _read_table(found: _Read, listing: Listing, lookup: Lookup, reader: Reader) -> None:
    """Reads one table and adds its rows and notes."""
    table = content.read(listing, reader.path, lookup.is_file)
    found.columns, guessed = default_columns(table, found.columns, lookup.is_file)
    reader = replace(reader, columns=found.columns)
    problems = []

    def read_rows() -> Iterator[Row]:
        for number, cells in table.rows:
            try:
                name = reader.file_name(number, cells)
                file = lookup.find(name) if isinstance(name, str) else name
                labels, moment = reader.row_labels(number, cells), _moment(reader, number, cells)
            except LayoutError as error:
                problems.append(str(error))
                continue
            if reader.columns.sequence is not None:
                found.moments.append(moment)
            yield Row(f"row {number} of {table.path}", file, labels)

    part = rows.packed(read_rows())
    if problems:
        raise LayoutError(truncated_lines(problems))
    found.parts.append(part)
    found.tables.append(replace(table, rows=()))
    found.readers.append(reader)
    found.notes += [guessed] if guessed else []
    found.notes += lookup.notes(reader.path)
    found.notes += remarks.of_lists(reader)
    remarks.check_class_names(found.tables, found.columns)


def _check_names(names: Sequence[str] | None, columns: Columns, separator: str, paths: Iterable[str]) -> None:
    """Raises ConfigError if `names` contradict the other settings."""
    delimited = any(path.lower().endswith(content.DELIMITED) for path in paths)
    for name in names or ():
        if columns.label_of and name not in columns.label_of.values():
            raise ConfigError(
                f"labels.names: {name!r} is not a column of data.columns.labels; add it there or remove it"
            )
        # A list needs no separator.
        if not columns.label_of and separator and separator in name and delimited:
            raise ConfigError(
                f"labels.names: {name!r} contains the separator {separator!r}, so a cell with this name would be read "
                "as several labels; choose another data.separator"
            )


def _check_separator(found: _Read, separator: str, names: Sequence[str] | None) -> None:
    """Raises LayoutError if the separator is in no cell, but another one seems to be used."""
    where: dict[str, str] = {}
    for reader in found.readers:
        for cell, number in reader.seen.cells.items():
            where.setdefault(cell, f"{reader.path}: row {number}: column {found.columns.labels!r}")
    if (other := other_separator(where, separator, names or ())) is not None:
        raise LayoutError(
            f"{where[other[1]]}: {other[1][:80]!r} looks like several names separated by {other[0]!r}, but "
            f"data.separator is {separator!r}, which is in no cell; set data.separator: {other[0]!r}; if these are "
            "single names, list them in labels.names"
        )


def _labels(entries: Iterable[Row], columns: Columns, names: Sequence[str] | None) -> tuple[str, ...]:
    """Puts the labels in output order. A label column counts even if it is all zeros."""
    used = dict.fromkeys(columns.label_of.values(), "")
    for row in entries:
        used |= {label: row.where for label in row.content.labels | row.content.absent if not used.get(label)}
    labels = ordered_labels(used, names, "data.manifest")
    if not labels:
        raise LayoutError(f"data.manifest: no row has a label in the column {columns.labels!r}")
    return labels


def _moment(reader: Reader, number: int, cells: Mapping[str, Any]) -> tuple[str, float | None]:
    """The sequence and the time in a row; "" and None without such columns.

    Raises:
        LayoutError: a cell holds none.
    """
    columns = reader.columns
    if columns.sequence is None:
        return "", None
    name = sequences.name_of(cells.get(columns.sequence), reader.where(number, columns.sequence))
    if columns.time is None:
        return name, None
    return name, sequences.when(cells.get(columns.time), reader.where(number, columns.time))


def _record(
    row: Row,
    labels: Sequence[str],
    fractions: Mapping[str, float],
    has_absent: bool,
    moments: Mapping[str, Moments],
) -> Record:
    about = row.content
    unknown = set(labels) - about.labels - about.absent if has_absent or about.unknown is None else about.unknown
    return Record(
        path=row.file.path,
        labels=tuple(label for label in labels if label in about.labels),
        split=resolved_split(about.split, fractions),
        size=row.file.size,
        version=row.file.version,
        unknown=tuple(label for label in labels if label in unknown),
        weight=about.weight,
        group=about.group,
        slices=about.slices,
        moments=moments.get(row.file.path, ()),
    )
