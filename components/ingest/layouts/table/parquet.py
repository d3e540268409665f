"""Parquet files as tables: plain ones, and those of Hugging Face with the images in a column."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.base.values import parsed_json
from components.data.dataset import LayoutError
from components.data.storage import File, parquet
from components.ingest.layouts.table.table import Table


def parse(root: str, file: File) -> Table:
    """Reads a Parquet file without its images. Numbers become the names that the file itself has for them.

    Args:
        root: of the data set.
        file: below it.

    Raises:
        LayoutError: naming the file: it cannot be read, has no rows, or a number has no name.
    """
    import pyarrow

    try:
        with warnings.catch_warnings():  # that a type of somebody's own is not loaded, which is right
            warnings.simplefilter("ignore")
            opened = parquet.opened(root, file.path)
            schema = opened.schema_arrow
            images = [field.name for field in schema if _is_image(opened, field)]
            columns = _columns(opened, images)
            numbers = frozenset(field.name for field in schema if pyarrow.types.is_integer(field.type))
    except (OSError, pyarrow.ArrowException, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LayoutError(f"{file.path}: cannot be read: {reason}") from None
    if not opened.metadata.num_rows:
        raise LayoutError(f"{file.path}: has no rows; expected one per image")
    names = _class_names(schema.metadata or {}, file.path)
    for column, values in columns.items():
        where = f"{file.path}: column {column!r}: row"
        columns[column] = [
            _named(cell, names[column], f"{where} {row}") if column in names else _plain(cell)
            for row, cell in enumerate(values, 1)
        ]
    for column in images:
        columns[column] = list(_members(opened, file, column))
    header = tuple(name for name in schema.names if name in columns)
    rows = tuple(
        (number, dict(zip(header, values, strict=True)))
        for number, values in enumerate(zip(*(columns[name] for name in header), strict=True), 1)
    )
    return Table(file.path, header, rows, classes=frozenset(names), numbers=numbers - frozenset(names))


def _columns(opened: Any, images: Sequence[str]) -> dict[str, list[Any]]:
    """Reads all columns but the images."""
    leaves = [leaf for leaf in _leaves(opened) if not any(leaf == i or leaf.startswith(f"{i}.") for i in images)]
    cells = opened.read(columns=leaves, use_threads=False)
    return {name: cells.column(name).to_pylist() for name in cells.column_names}


def _is_image(opened: Any, field: Any) -> bool:
    """Whether a column holds files: bytes, or Hugging Face's bytes and path of which the bytes are there."""
    import pyarrow

    def binary(kind: Any) -> bool:
        return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))

    if binary(field.type):
        return True
    if not pyarrow.types.is_struct(field.type):
        return False
    index = field.type.get_field_index("bytes")
    return index >= 0 and binary(field.type.field(index).type) and not _is_empty(opened, f"{field.name}.bytes")


def _is_empty(opened: Any, leaf: str) -> bool:
    """Whether a column is known to hold nothing: Hugging Face then stores only the paths of the images."""
    for group in range(opened.num_row_groups):
        meta = opened.metadata.row_group(group)
        chunk = next((c for c in map(meta.column, range(meta.num_columns)) if c.path_in_schema == leaf), None)
        if chunk is None:  # the file is damaged, which is said of its rows
            return False
        if not (
            chunk.is_stats_set and chunk.statistics.has_null_count and chunk.statistics.null_count == meta.num_rows
        ):
            return False
    return True


def _leaves(opened: Any) -> list[str]:
    return [opened.schema.column(i).path for i in range(len(opened.schema))]


def _members(opened: Any, file: File, column: str) -> Iterator[File]:
    """Yields the images of a column as files; their size is the mean of their row group."""
    row = 0
    for group in range(opened.num_row_groups):
        meta = opened.metadata.row_group(group)
        chunks = [
            c for c in map(meta.column, range(meta.num_columns)) if c.path_in_schema in (column, f"{column}.bytes")
        ]
        size = sum(chunk.total_compressed_size for chunk in chunks) // max(1, meta.num_rows)
        for _ in range(meta.num_rows):
            yield File(str(parquet.Member(file.path, column, group, row)), size, f"{file.size} {file.version}")
            row += 1


def _class_names(metadata: Mapping[bytes, bytes], path: str) -> dict[str, Sequence[str]]:
    """Maps the columns whose numbers have names in Hugging Face's metadata to these names.

    Raises:
        LayoutError: the names are not text.
    """
    try:
        features = parsed_json(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        described = {column: _class_label(feature) for column, feature in features.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    for column, names in described.items():
        if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise LayoutError(f"{path}: expected a list of names for the numbers in column {column!r}, got {names!r}")
    return {column: names for column, names in described.items() if names}


def _class_label(feature: Any) -> Any:
    """Returns the names of a feature of numbers, or of lists of numbers; None if it has none."""
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    if isinstance(feature, dict) and feature.get("_type") in ("Sequence", "List", "LargeList"):
        feature = feature.get("feature")
    return feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None


def _named(cell: Any, names: Sequence[str], where: str) -> Any:
    if isinstance(cell, list):
        return [name for number in cell if (name := _named(number, names, where)) is not None]
    if cell is None or cell == -1:  # -1 is how Hugging Face writes an unknown label
        return None
    if not isinstance(cell, int) or not 0 <= cell < len(names):
        raise LayoutError(
            f"{where}: expected a number from 0 to {len(names) - 1}, which have names, or -1; got {cell!r}"
        )
    return names[cell]


def _plain(cell: Any) -> Any:
    """Turns what JSON does not know into text, and missing numbers into None."""
    if cell is None or isinstance(cell, str | int):
        return cell
    if isinstance(cell, float):
        return None if math.isnan(cell) else cell
    if isinstance(cell, list):
        return [_plain(value) for value in cell]
    if isinstance(cell, dict):
        return {str(key): _plain(value) for key, value in cell.items()}
    return str(cell)
