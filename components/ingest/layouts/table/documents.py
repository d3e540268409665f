"""Tables in JSON: an object per line, an array of objects, columns, or an object of file names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from components.data.dataset import LayoutError
from components.ingest.layouts.rules import first_twice, truncated_lines
from components.ingest.layouts.table.dialect import IsFile, is_name

Rows = tuple[tuple[int, dict[str, Any]], ...]
Parsed = tuple[tuple[str, ...], Rows, tuple[str, ...]]  # header, rows, remarks

_FORMS = (
    'an array of objects, [{"file_name": "1.jpg", "label": "cat"}, …], an object of file names, {"1.jpg": "cat", …}, '
    'or one of columns, {"file_name": ["1.jpg", …], "label": ["cat", …]}'
)


def lines(text: str, path: str) -> Parsed:
    """Reads one JSON object per line.

    Raises:
        LayoutError: naming file and row: a line is no JSON object, or repeats a key.
    """
    rows, problems = [], []
    for line, content in enumerate(text.split("\n"), 1):  # not splitlines: JSON strings may hold U+2028
        if not content.strip():
            continue
        try:
            row = _loads(content)
        except ValueError as error:
            problems.append(f"{path}: row {line}: not valid JSON: {error}")
            continue
        if isinstance(row, dict):
            rows.append((line, row))
        else:
            problems.append(f"{path}: row {line}: expected one JSON object in a line, got {type(row).__name__}")
    if problems:
        raise LayoutError(truncated_lines(problems))
    return _parsed(rows)


def document(text: str, path: str, is_file: IsFile) -> Parsed:
    """Reads a JSON document in one of the usual forms; also one object per line, which many call `.json`.

    Raises:
        LayoutError: naming `path`: it is not JSON, or in none of the forms.
    """
    try:
        content = _loads(text)
    except ValueError as error:
        first, _, rest = text.strip().partition("\n")
        if rest and first.strip().startswith("{") and first.strip().endswith("}"):
            header, rows, _ = lines(text, path)
            return header, rows, ("with one JSON object per line",)
        raise LayoutError(f"{path}: not valid JSON: {error}") from None
    if isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys():
        raise LayoutError(f"{path}: is an annotation file of COCO, not a table; set data.layout: coco")
    if isinstance(content, dict):
        wrapped = [key for key, value in content.items() if _is_array(value)]
        if len(wrapped) == 1 and not all(isinstance(value, list) for value in content.values()):
            return _parsed(_array(content[wrapped[0]], path), f"from the array {wrapped[0]!r}")
        if len(content) == 1 and wrapped:
            return _parsed(_array(content[wrapped[0]], path), f"from the array {wrapped[0]!r}")
        return _object_table(content, path, is_file)
    if isinstance(content, list):
        return _parsed(_array(content, path))
    raise LayoutError(f"{path}: expected {_FORMS}; got {type(content).__name__}")


def _object_table(content: Mapping[str, Any], path: str, is_file: IsFile) -> Parsed:
    """Reads an object whose keys are file names or columns."""
    if not content:
        return _parsed([])
    if all(is_name(key, is_file) for key in content):
        remark = "as an object of file names"
        if all(isinstance(value, dict) for value in content.values()):
            clash = next((key for key, value in content.items() if "file_name" in value), None)
            rows = [({} if clash else {"file_name": key}) | value for key, value in content.items()]
            return _parsed(list(enumerate(rows, 1)), remark)
        column = "labels" if any(isinstance(value, list) for value in content.values()) else "label"
        return _parsed([(i, {"file_name": k, column: v}) for i, (k, v) in enumerate(content.items(), 1)], remark)
    lengths = {len(value) for value in content.values() if isinstance(value, list)}
    if all(isinstance(value, list) for value in content.values()) and len(lengths) == 1:
        columns = [dict(zip(content, cells, strict=True)) for cells in zip(*content.values(), strict=True)]
        return _parsed(list(enumerate(columns, 1)), "as an object of columns")
    if all(isinstance(value, dict) for value in content.values()):
        keys = dict.fromkeys(key for value in content.values() for key in value)  # as pandas writes columns
        rows = [{column: value.get(key) for column, value in content.items()} for key in keys]
        return _parsed(list(enumerate(rows, 1)), "as an object of columns")
    raise LayoutError(f"{path}: expected {_FORMS}; got an object with {', '.join(map(repr, list(content)[:5]))}")


def _is_array(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _array(content: list[Any], path: str) -> list[tuple[int, dict[str, Any]]]:
    problems = [
        f"{path}: entry {i}: expected a JSON object, got {type(entry).__name__}"
        for i, entry in enumerate(content, 1)
        if not isinstance(entry, dict)
    ]
    if problems:
        raise LayoutError(truncated_lines(problems))
    return list(enumerate(content, 1))


def _parsed(rows: list[tuple[int, dict[str, Any]]], *remarks: str) -> Parsed:
    header = dict.fromkeys(key for _, row in rows for key in row)
    return tuple(header), tuple(rows), remarks


def _loads(text: str) -> Any:
    """Parses JSON.

    Raises:
        ValueError: it is not valid, too deep, or repeats a key.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Builds a JSON object from its pairs, refusing equal keys, of which Python would silently keep the last."""
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError(f"the key {first_twice(key for key, _ in pairs)!r} is there twice")
    return row
