"""Reads a COCO annotation file: its images, each with its annotations, after checking that all ids fit together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.data.dataset import LayoutError, label_name
from components.data.storage import File
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import truncated_lines

Id = int | str


@dataclass(frozen=True, slots=True)
class Image:
    """An entry of the list `images`.

    Attributes:
        where: name of the entry in messages.
        file: its file in the data set; `problem` says why it cannot be used.
        split: split of the annotation file.
        size: width and height in pixels, if the entry has them.
        annotations: (id, label, entry), in the file's order.
    """

    where: str
    file: File
    split: str | None
    size: tuple[int, int] | None
    annotations: list[tuple[Id, str, dict[str, Any]]] = field(default_factory=list)


def parse(listing: Listing, path: str, prefix: str, split: str | None) -> tuple[list[Image], set[str]]:
    """Reads one annotation file.

    Args:
        listing: listing of the data set.
        path: path of the annotation file.
        prefix: folder of the images, as `Listing.folder` returns it.
        split: split that the images belong to.

    Returns:
        the images, in the file's order, and the names of all categories.

    Raises:
        ConfigError: there is no such file.
        LayoutError: it is not COCO's JSON, an id is there twice or refers to nothing, or an entry has no name.
    """
    content = _load(listing.text(path, "data.annotations"), path)
    problems: list[str] = []
    images: dict[Id, Image] = {}
    for key, entry in _by_id(content, "images", path, problems).items():
        name, size = entry.get("file_name"), (entry.get("width"), entry.get("height"))
        where = f"image {key!r} of {path}"
        if not isinstance(name, str) or not name:
            problems.append(f"{where}: expected a file_name, got {name!r}")
            continue
        known = (size[0], size[1]) if type(size[0]) is int and type(size[1]) is int else None
        images[key] = Image(where, listing.find(prefix, name), split, known)
    labels = _categories(content, path, problems)
    for key, entry in _by_id(content, "annotations", path, problems).items():
        image, category = _id(entry.get("image_id")), _id(entry.get("category_id"))
        if image not in images:
            problems.append(f"annotation {key!r} of {path}: there is no image with the id {entry.get('image_id')!r}")
        elif category not in labels:
            problems.append(
                f"annotation {key!r} of {path}: there is no category with the id {entry.get('category_id')!r}"
            )
        else:
            images[image].annotations.append((key, labels[category], entry))
    if problems:
        raise LayoutError(truncated_lines(problems))
    return list(images.values()), set(labels.values())


def _load(text: str, path: str) -> dict[str, list[Any]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LayoutError(f"{path}: not valid JSON: {error}") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise LayoutError(
                f"{path}: expected COCO instances: an object with the lists images, annotations, categories"
            )
    if not content["images"]:
        raise LayoutError(f"{path}: the list of images is empty; expected one entry per image")
    return content


def _by_id(content: Mapping[str, list[Any]], kind: str, path: str, problems: list[str]) -> dict[Id, dict[str, Any]]:
    """Indexes the entries of one list by `id`; invalid entries are added to `problems`."""
    entries: dict[Id, dict[str, Any]] = {}
    for position, entry in enumerate(content[kind]):
        key = _id(entry.get("id")) if isinstance(entry, dict) else None
        if key is None:
            problems.append(f"{path}: {kind}[{position}]: expected an object with an id, a whole number or text")
        elif key in entries:
            problems.append(
                f"{path}: {kind}[{position}]: the id {key!r} is twice in this list; each entry needs its own"
            )
        else:
            entries[key] = entry
    return entries


def _id(value: Any) -> Id | None:
    return value if type(value) in (int, str) else None


def _categories(content: Mapping[str, list[Any]], path: str, problems: list[str]) -> dict[Id, str]:
    """Maps category ids to labels."""
    labels: dict[Id, str] = {}
    for key, entry in _by_id(content, "categories", path, problems).items():
        where = f"category {key!r} of {path}"
        name = entry.get("name")
        if not isinstance(name, str):
            problems.append(f"{where}: expected a name, got {name!r}")
            continue
        label = label_name(name, where)
        if label in labels.values():
            problems.append(f"{where}: another category has the name {label!r} as well; rename one")
        labels[key] = label
    return labels
