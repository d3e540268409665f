"""The rows of a data set's tables: those of one file are merged, or contradict each other; groups share a split."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from components.base.compact.packed import Packed
from components.data.dataset import LayoutError
from components.data.storage import File, bundles
from components.ingest.layouts.table.columns import RowLabels

_LONG = "; if each row has one of the labels of its image, set data.rows: label"


@dataclass(frozen=True, slots=True)
class Row:
    """A row with its file; `where` names it in messages."""

    where: str
    file: File
    content: RowLabels


def packed(rows: Iterable[Row]) -> Packed[Row]:
    """The same rows, packed."""
    return Packed(_row, rows, _fields)


def _row(where: str, path: str, size: int, version: str, problem: str, *content: Any) -> Row:
    return Row(where, File(path, size, version, problem), RowLabels(*content))


def _fields(row: Row) -> tuple[Any, ...]:
    return row.where, *_of_file(row.file), *_of_content(row.content)


_of_file = operator.attrgetter(*(field.name for field in fields(File)))
_of_content = operator.attrgetter(*(field.name for field in fields(RowLabels)))


def of_files(rows: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Yields each path with the rows that name it, in their order; the paths are sorted."""
    ordered = Packed.ordered(_row, rows, _path, _fields)
    return ((path, list(same)) for path, same in itertools.groupby(ordered, key=_path))


_path = operator.attrgetter("file.path")


def merged(rows: Iterable[Row]) -> Packed[Row]:
    """Makes one row of all rows of a file, with the labels of all, if they agree in everything else.

    A label that one row gives is known; the image's labels are unknown only if no row says anything.
    """
    return packed(itertools.chain.from_iterable(_merged(same) for _, same in of_files(rows)))


def _merged(same: list[Row]) -> list[Row]:
    """One row of the rows of a file, or all of them if they do not agree."""
    if same[0].file.problem or len({_without_labels(row.content) for row in same}) > 1:
        return same  # `unique` says why they cannot be used
    labels = frozenset().union(*(row.content.labels for row in same))
    known = [row.content.unknown for row in same if row.content.unknown is not None]
    absent = frozenset().union(*(row.content.absent for row in same))
    content = replace(same[0].content, labels=labels, unknown=frozenset() if known else None, absent=absent)
    if both := sorted(labels & absent):
        content = replace(content, problem=f"its rows say both that {both[0]!r} applies and that it does not")
    return [replace(same[0], content=content)]


def with_group_splits(rows: Packed[Row]) -> Packed[Row]:
    """Gives rows without a split that of their group, after checking that no group is in two splits."""
    first: dict[str, Row] = {}
    for row in rows:
        group, split = row.content.group, row.content.split
        if group and split and (other := first.setdefault(group, row)).content.split != split:
            raise LayoutError(
                f"{row.where}: group {group!r} is in {split} here, but in {other.content.split} in {other.where}; "
                "a group's images must all be in one split"
            )

    def completed(row: Row) -> Row:
        if row.content.split or row.content.group not in first:
            return row
        return replace(row, content=replace(row.content, split=first[row.content.group].content.split))

    return packed(map(completed, rows)) if first else rows


def unique(rows: Iterable[Row], may_be_long: bool) -> tuple[Packed[Row], list[tuple[str, str]], dict[str, str]]:
    """Keeps one row per file, in the order of their paths.

    Args:
        rows: of all tables.
        may_be_long: whether `data.rows: label` would merge rows that have different labels.

    Returns:
        the rows to use; (path, reason) of all others; and path -> reason for files whose rows contradict each other.
    """
    rejected: list[tuple[str, str]] = []
    contradictory: dict[str, str] = {}

    def kept() -> Iterator[Row]:
        for path, same in of_files(rows):
            first: dict[RowLabels, Row] = {}  # content -> the first row that has it
            for row in same:
                first.setdefault(row.content, row)
            for row in same:
                problem = row.file.problem or row.content.problem or _named_twice(row, first, may_be_long)
                if problem and len(first) > 1 and not row.file.problem:
                    contradictory.setdefault(path, f"{row.where}: {problem}")
                if problem:
                    rejected.append((path, f"{row.where}: {problem}"))
                else:
                    yield row

    return packed(kept()), rejected, contradictory


def _named_twice(row: Row, same_file: Mapping[RowLabels, Row], may_be_long: bool) -> str:
    """Explains why another row that names the same file excludes `row`; or returns ""."""
    others = [other.where for content, other in itertools.islice(same_file.items(), 5) if content != row.content]
    if others:
        alike = len({_without_labels(content) for content in same_file}) == 1
        hint = _LONG if may_be_long and alike else ""
        what = "sequence" if bundles.find(row.file.path) else "file"
        return f"the same {what} is named with other labels or values in {', '.join(others)}{hint}"
    first = same_file[row.content]
    return "" if row is first else f"the same file is already named in {first.where}, with the same labels"


def _without_labels(content: RowLabels) -> RowLabels:
    return replace(content, labels=frozenset(), unknown=None, absent=frozenset())
