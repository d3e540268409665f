"""Reads a COCO annotation file: its images, each with its annotations, after checking that all ids fit together."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.base.values import parsed_json
from components.data.dataset import LayoutError
from components.data.storage import File
from components.ingest.layouts.annotated.shared.entries import Found
from components.ingest.layouts.annotated.shared.names import Names
from components.ingest.layouts.instances.categories import Category, parse_categories
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import truncated_lines

Id = int | str

_LISTS = ("images", "annotations", "categories")
_LONGEST_ID = 30  # digits of a number in a text; Python refuses to read thousands
_TWICE = "[entry is|entries are] twice in a list, with the same content, and used once"
_SAME_ID = "[annotation has|annotations have] the id of another one; ids of annotations only order equal areas"
_LOST = "[annotation belongs|annotations belong] to no image in the list of images, and [is|are] left out"


@dataclass(frozen=True, slots=True)
class Image:
    """An entry of the list `images`.

    Attributes:
        where: name of the entry in messages.
        file: its file in the data set; `problem` says why it cannot be used.
        split: split of the annotation file.
        size: width and height in pixels, if the entry has them.
        annotations: (id, label, entry), in the file's order; of a panoptic file, one for each segment.
        masks: names of its panoptic masks.
    """

    where: str
    file: File
    split: str | None
    size: tuple[int, int] | None
    annotations: list[tuple[Id, str, dict[str, Any]]] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Content:
    """One annotation file.

    Attributes:
        images: in the file's order.
        categories: in the file's order.
        panoptic: whether it lists segments of masks instead of regions.
    """

    images: list[Image]
    categories: list[Category]
    panoptic: bool


def parse(listing: Listing, path: str, prefix: str, split: str | None, found: Found) -> Content:
    """Reads one annotation file.

    Args:
        listing: listing of the data set.
        path: path of the annotation file.
        prefix: folder of the images, as `Listing.folder` returns it.
        split: split that the images belong to.
        found: where what is left out or guessed is counted.

    Raises:
        ConfigError: there is no such file.
        LayoutError: it is not COCO's JSON, an id of images or categories is there twice, most annotations belong to no
            image, one belongs to no category, or an entry has no name.
    """
    content = _load(listing.text(path, "data.annotations"), path)
    problems: list[str] = []
    names = Names(listing, (prefix,), found)
    images: dict[Id, Image] = {}
    for key, entry in _by_id(content, "images", path, problems, found).items():
        where = f"image {key!r} of {path}"
        name, size = _file_name(entry), (entry.get("width"), entry.get("height"))
        if not name:
            problems.append(f"{where}: expected a file_name, got {repr(entry.get('file_name'))[:50]}")
            continue
        known = (size[0], size[1]) if type(size[0]) is int and type(size[1]) is int else None
        images[key] = Image(where, names.find(name), split, known)
    annotations = list(_annotations(content, path, problems, found))
    used = {_id(part.get("category_id")) for _, _, parts in annotations for part in parts}
    categories = parse_categories(_by_id(content, "categories", path, problems, found), used, path, problems, found)
    _attach(images, annotations, categories, path, problems, found)
    if problems:
        raise LayoutError(truncated_lines(problems))
    panoptic = any("segments_info" in entry for _, entry, _ in annotations)
    return Content(list(images.values()), list(categories.values()), panoptic)


def _attach(
    images: Mapping[Id, Image],
    annotations: list[tuple[Id, dict[str, Any], list[dict[str, Any]]]],
    categories: Mapping[Id, Category],
    path: str,
    problems: list[str],
    found: Found,
) -> None:
    """Adds the annotations to their images."""
    lost: list[tuple[Id, Any]] = []
    for key, entry, parts in annotations:
        image = images.get(_id(entry.get("image_id")))  # type: ignore[arg-type]
        if image is None:
            lost.append((key, entry.get("image_id")))
            continue
        if "segments_info" in entry:
            image.masks.append(str(entry.get("file_name")))
        for part in parts:
            category = categories.get(_id(part.get("category_id")))  # type: ignore[arg-type]
            if category is None:
                wrong = part.get("category_id")
                problems.append(f"annotation {key!r} of {path}: there is no category with the id {wrong!r}")
            else:
                image.annotations.append((key, category.label, part))
    if len(lost) * 2 > len(annotations):
        problems += [
            f"annotation {key!r} of {path}: there is no image with the id {image_id!r}" for key, image_id in lost
        ]
        return
    for key, image_id in lost:
        found.note(_LOST, f"annotation {key!r} of {path} (image_id {image_id!r})")


def _file_name(entry: Mapping[str, Any]) -> str:
    """The name of an image's file; where there is none, that of its URL."""
    for key in ("file_name", "coco_url", "flickr_url", "path"):
        name = entry.get(key)
        if isinstance(name, str) and name:
            return posixpath.basename(name.partition("?")[0]) if "://" in name else name
    return ""


def _load(text: str, path: str) -> dict[str, list[Any]]:
    try:
        content = parsed_json(text)
    except ValueError as error:
        raise LayoutError(f"{path}: not valid JSON: {error}") from None
    lists = content if isinstance(content, dict) else {}
    missing = [key for key in _LISTS if not isinstance(lists.get(key), list)]
    if missing:
        held = f"; it lacks {', '.join(missing)} and has {', '.join(sorted(map(str, lists))[:8]) or 'no lists'}"
        raise LayoutError(
            f"{path}: expected COCO instances: an object with the lists images, annotations, categories{held}"
        )
    if not lists["images"]:
        raise LayoutError(f"{path}: the list of images is empty; expected one entry per image")
    return lists


def _by_id(
    content: Mapping[str, list[Any]], kind: str, path: str, problems: list[str], found: Found
) -> dict[Id, dict[str, Any]]:
    """Indexes the entries of one list by `id`; invalid entries are added to `problems`."""
    entries: dict[Id, dict[str, Any]] = {}
    for position, entry in enumerate(content[kind]):
        key = _id(entry.get("id")) if isinstance(entry, dict) else None
        if key is None:
            problems.append(f"{path}: {kind}[{position}]: expected an object with an id, a whole number or text")
        elif key not in entries:
            entries[key] = entry
        elif entries[key] == entry:
            found.note(_TWICE, f"{kind}[{position}] of {path}")
        else:
            problems.append(
                f"{path}: {kind}[{position}]: the id {key!r} is twice in this list; each entry needs its own"
            )
    return entries


def _annotations(
    content: Mapping[str, list[Any]], path: str, problems: list[str], found: Found
) -> Iterator[tuple[Id, dict[str, Any], list[dict[str, Any]]]]:
    """Yields (id, entry, the entry or its segments) of each annotation; the position is the id where there is none."""
    seen: dict[Id, dict[str, Any]] = {}
    for position, entry in enumerate(content["annotations"]):
        where = f"{path}: annotations[{position}]"
        if not isinstance(entry, dict):
            problems.append(f"{where}: expected an object, got {type(entry).__name__}")
            continue
        key = _id(entry.get("id"))
        if key is not None and seen.setdefault(key, entry) is not entry:
            found.note(_TWICE if seen[key] == entry else _SAME_ID, f"annotation {key!r} of {path}")
            if seen[key] == entry:
                continue
        parts = entry.get("segments_info", [entry])
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            problems.append(f"{where}: expected segments_info to be a list of objects")
            continue
        yield position if key is None else key, entry, parts


def _id(value: Any) -> Id | None:
    """An id as a whole number, if it is one in any spelling, or as text."""
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is str and len(value) < _LONGEST_ID and value.isascii() and value.isdecimal():
        return int(value) if str(int(value)) == value else value
    return value if type(value) in (int, str) else None
