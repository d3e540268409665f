"""The categories of COCO annotation files, without those that only stand for a group of others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from components.data.dataset import LayoutError, label_name
from components.ingest.layouts.annotated.shared.entries import Found

Id = int | str

_GROUP = "[category has|categories have] no annotation and only [groups|group] others, and [is|are] no label"


@dataclass(frozen=True, slots=True)
class Category:
    """A category.

    Attributes:
        where: name of the entry in messages.
        raw: the name as the file has it.
        label: the name as a label.
        group: label of the category that it belongs to, or "".
        used: whether an annotation has it.
    """

    where: str
    raw: str
    label: str
    group: str
    used: bool


def parse_categories(
    entries: Mapping[Id, Mapping[str, Any]], used: Collection[Id | None], path: str, problems: list[str], found: Found
) -> dict[Id, Category]:
    """Maps category ids to categories.

    Of two with one name, that without annotations is left out if it is the group of the other, as Roboflow writes it.

    Args:
        entries: id -> entry.
        used: ids that annotations have.
        path: of the annotation file, for messages.
        problems: where messages on invalid entries are added.
        found: where what is left out is counted.
    """
    categories: dict[Id, Category] = {}
    for key, entry in entries.items():
        where, name = f"category {key!r} of {path}", entry.get("name")
        if not isinstance(name, str):
            problems.append(f"{where}: expected a name, got {repr(name)[:50]}")
            continue
        group = entry.get("supercategory")
        group = group.strip() if isinstance(group, str) else ""
        try:
            categories[key] = Category(where, name, label_name(name, where), group, key in used)
        except LayoutError as error:
            problems.append(str(error))
    alike: dict[str, dict[Id, Category]] = defaultdict(dict)  # label -> the categories of this name
    for key, own in categories.items():
        alike[own.label][key] = own
    for same in alike.values():
        groups = Counter(category.group for category in same.values())
        for key, own in same.items() if len(same) > 1 else ():
            if not own.used and groups[own.label] > (own.group == own.label):  # of another one
                groups[own.group] -= 1
                del categories[key]
                found.note(_GROUP, own.label)
    problems += _equal(categories.values())
    return categories


def labels(categories: Iterable[Category], keep: Collection[str], found: Found) -> set[str]:
    """The labels of all files' categories, without the groups that no annotation has.

    Args:
        categories: of all files.
        keep: labels that the configuration names.
        found: where what is left out is counted.
    """
    every = list(categories)
    used = {category.label for category in every if category.used}
    groups = {category.group for category in every if category.group != category.label}
    left_out = {category.label for category in every} & groups - used - set(keep)
    for label in sorted(left_out):
        found.note(_GROUP, label)
    return {category.label for category in every} - left_out


def _equal(categories: Iterable[Category]) -> list[str]:
    """Describes categories whose names are equal but for blanks."""
    first: dict[str, Category] = {}
    problems = []
    for category in categories:
        other = first.setdefault(category.label, category)
        if other is not category:
            problems.append(
                f"{category.where}: another category, {other.where}, has the name {category.label!r} as well"
                + ("" if other.raw == category.raw else f" (written {other.raw!r} and {category.raw!r})")
                + "; rename one"
            )
    return problems
