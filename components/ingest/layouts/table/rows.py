"""The rows of a data set's tables: those of one file are merged, or contradict each other; groups share a split."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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


def merged(rows: Sequence[Row]) -> list[Row]:
    """Makes one row of all rows of a file, with the labels of all, if they agree in everything else.

    A label that one row gives is known; the image's labels are unknown only if no row says anything.
    """
    of_file: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_file[row.file.path].append(row)
    result: list[Row] = []
    for same in of_file.values():
        if same[0].file.problem or len({_without_labels(row.content) for row in same}) > 1:
            result += same  # `unique` says why they cannot be used
            continue
        labels = frozenset().union(*(row.content.labels for row in same))
        known = [row.content.unknown for row in same if row.content.unknown is not None]
        absent = frozenset().union(*(row.content.absent for row in same))
        content = replace(same[0].content, labels=labels, unknown=frozenset() if known else None, absent=absent)
        if both := sorted(labels & absent):
            content = replace(content, problem=f"its rows say both that {both[0]!r} applies and that it does not")
        result.append(replace(same[0], content=content))
    return result


def with_group_splits(rows: Sequence[Row]) -> list[Row]:
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

    return [completed(row) for row in rows] if first else list(rows)


def unique(rows: Sequence[Row], may_be_long: bool) -> tuple[list[Row], list[tuple[str, str]], dict[str, str]]:
    """Keeps one row per file.

    Args:
        rows: of all tables.
        may_be_long: whether `data.rows: label` would merge rows that have different labels.

    Returns:
        the rows to use; (path, reason) of all others; and path -> reason for files whose rows contradict each other.
    """
    first: dict[str, dict[RowLabels, Row]] = defaultdict(dict)  # path -> content -> the first row that has it
    for row in rows:
        first[row.file.path].setdefault(row.content, row)
    kept, rejected = [], []
    contradictory: dict[str, str] = {}
    for row in rows:
        same_file = first[row.file.path]
        problem = row.file.problem or row.content.problem or _named_twice(row, same_file, may_be_long)
        if problem and len(same_file) > 1 and not row.file.problem:
            contradictory.setdefault(row.file.path, f"{row.where}: {problem}")
        if problem:
            rejected.append((row.file.path, f"{row.where}: {problem}"))
        else:
            kept.append(row)
    return kept, rejected, contradictory


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
