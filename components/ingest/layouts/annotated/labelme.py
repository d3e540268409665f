"""The layout `labelme`: one JSON file per image, as LabelMe writes it.

Our own reader rather than the `labelme` package, which is a desktop program: it brings a window system, and reads the
copy of the image that may be embedded in the JSON file, which is ignored here.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import Any

from components.data.dataset import LayoutError
from components.data.storage import File
from components.ingest.layouts.annotated import labelme_shapes
from components.ingest.layouts.annotated.shared import files
from components.ingest.layouts.annotated.shared.entries import Entry, Found, Malformed, Wanted
from components.ingest.layouts.annotated.shared.partners import Partners
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import by_split
from components.ingest.settings import Data

_WITHOUT_FILE = "[image has|images have] no JSON file, so that nobody annotated [it|them], and [was|were] left out"
_OTHER_JSON = "JSON file[ is|s are] not LabelMe's and [was|were] left out"
_RENAMED = "JSON file[ names|s name] another image than the one beside [it|them], which was taken"
_FLAGS_UNUSED = "[image has|images have] flags, which were left out: labels come from the shapes"


def read(listing: Listing, data: Data, wanted: Wanted) -> Found:
    """Reads the JSON files below `data.annotations`, or else beside the images.

    Labels are those of the shapes; if no image has a shape, they are the flags that are set. The image of `a/1.json` is
    the one of this name beside it, or below `data.images`; if there is none, it is the one that `imagePath` names.

    Raises:
        ConfigError: a folder is outside the root.
        LayoutError: there is no JSON file of LabelMe.
    """
    sides = by_split(data.images or "", "data.images")
    prefixes = {split: listing.folder(path, "data.images") for split, path in sides.items()}
    found = Found(splits=set(sides), folders=set(prefixes.values()))
    folders = set(prefixes.values())
    if isinstance(data.annotations, str):
        folders = {listing.folder(data.annotations, "data.annotations")}
    images = Partners(listing, prefixes, tuple(folders), found)
    drawn: list[tuple[Entry, frozenset[str]]] = []
    for path, file in sorted(listing.files.items()):
        if path.lower().endswith(".json") and path.startswith(tuple(folders)):
            entry = _read_one(listing, file, images, wanted, found)
            if entry is not None:
                drawn.append(entry)
    if not drawn:
        raise LayoutError(f"data.annotations: there is no JSON file of LabelMe in {listing.root}")
    _choose(drawn, wanted, found)
    for path in sorted(images.paths - {entry.file.path for entry in found.entries}):
        found.note(_WITHOUT_FILE, path)
    return found


def _read_one(
    listing: Listing, document: File, images: Partners, wanted: Wanted, found: Found
) -> tuple[Entry, frozenset[str]] | None:
    """Reads one file.

    Returns:
        the entry, whose labels are those of the shapes, and the flags that are set; None for a file of another kind.
    """
    named, content = "", None
    try:
        content = files.parsed(listing, document)
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            found.note(_OTHER_JSON, document.path)
            return None
        named = content["imagePath"] if isinstance(content.get("imagePath"), str) else ""
        labels, regions = labelme_shapes.read(content["shapes"], document.path, wanted, found)
    except Malformed as error:
        file, _ = images.of(document, named)
        if content is None and file.problem:  # a broken file beside no image
            found.note(_OTHER_JSON, document.path)
            return None
        found.used.add(document.path)
        return Entry(document.path, file, images.split(file.path), problem=str(error)), frozenset()
    found.used.add(document.path)
    file, beside = images.of(document, named)
    if beside and named and posixpath.basename(named.replace("\\", "/")) != posixpath.basename(file.path):
        found.note(_RENAMED, document.path)
    flags = content.get("flags")
    set_flags = {str(name).strip() for name, on in flags.items() if on is True} if isinstance(flags, dict) else set()
    split = images.split(file.path)
    return Entry(document.path, file, split, labels, _size(content), regions), frozenset(set_flags)


def _choose(drawn: list[tuple[Entry, frozenset[str]]], wanted: Wanted, found: Found) -> None:
    """Takes labels from shapes, or from flags if no image has a shape."""
    if wanted.per_pixel or any(entry.labels for entry, _ in drawn):
        found.entries = [entry for entry, _ in drawn]
        for entry, flags in drawn:
            if flags:
                found.note(_FLAGS_UNUSED, entry.file.path)
        return
    found.entries = [replace(entry, labels=flags) for entry, flags in drawn]


def _size(content: dict[str, Any]) -> tuple[int, int] | None:
    width, height = content.get("imageWidth"), content.get("imageHeight")
    return (width, height) if type(width) is int and type(height) is int else None
