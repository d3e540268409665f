"""The layout `voc`: one XML file per image, as in Pascal VOC; the objects' names are the image's labels.

The file is read with defusedxml, which refuses what makes XML dangerous. Objects marked `difficult`, `truncated` or
`occluded` count like all others: they are in the image.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from components.base.errors import ConfigError
from components.data.dataset import LayoutError
from components.data.storage import File
from components.ingest.layouts.annotated.shared import files
from components.ingest.layouts.annotated.shared.entries import Entry, Found, Malformed, Wanted
from components.ingest.layouts.annotated.shared.partners import Partners
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.paths import image_lists
from components.ingest.layouts.rules import by_split
from components.ingest.settings import Data

_ENDING = ".xml"
_WITHOUT_FILE = "[image has|images have] no XML file, so that nobody annotated [it|them], and [was|were] left out"
_UNLISTED = "XML file[ is|s are] of images that data.lists does not name, and [was|were] left out"


def read(listing: Listing, data: Data, wanted: Wanted) -> Found:
    """Reads the XML files below `data.annotations`.

    The image of `Annotations/a/1.xml` is `a/1.*` below `data.images`; if there is none, it is the one that the file
    names in `filename`. With `data.lists`, only images that the lists name are used.

    Raises:
        ConfigError: a folder is outside the root, or there is no such list.
        LayoutError: there is no XML file, or a list names an image in two splits.
    """
    assert isinstance(data.annotations, str)
    folder = listing.folder(data.annotations, "data.annotations")
    sides = by_split(data.images or "", "data.images")
    if data.lists is not None and None not in sides:
        raise ConfigError("data.lists: data.images already has one folder per split; remove one of the two")
    prefixes = {split: listing.folder(path, "data.images") for split, path in sides.items()}
    found = Found(folders={*prefixes.values(), folder}, splits=set(sides))
    documents = {
        posixpath.splitext(path)[0][len(folder) :]: file
        for path, file in sorted(listing.files.items())
        if path.startswith(folder) and path.lower().endswith(_ENDING)
    }
    if not documents:
        raise LayoutError(f"data.annotations: there is no XML file below {data.annotations} in {listing.root}")
    images = Partners(listing, prefixes, [folder], found)
    listed = _listed(listing, data, documents, found)
    found.splits |= set(listed.values())
    for key, document in documents.items():
        if data.lists is not None and key not in listed:
            found.note(_UNLISTED)
            found.used.add(document.path)
            continue
        found.used.add(document.path)
        found.entries.append(_entry(listing, document, listed.get(key), images))
    if data.lists is None:
        used = {entry.file.path for entry in found.entries}
        for path in sorted(images.paths - used):
            found.note(_WITHOUT_FILE, path)
    return found


def _entry(listing: Listing, document: File, split: str | None, images: Partners) -> Entry:
    labels, name = set(), ""
    try:
        for element in files.xml(listing, document, ("annotation",)):
            if element.tag != "annotation":
                raise Malformed(f"{document.path}: expected an <annotation> of Pascal VOC, got <{element.tag}>")
            name = (element.findtext("filename") or "").strip()
            labels = set(_labels(element, document.path))
    except Malformed as error:
        file, _ = images.of(document, name)
        return Entry(document.path, file, split or images.split(file.path), problem=str(error))
    file, _ = images.of(document, name)
    return Entry(document.path, file, split or images.split(file.path), frozenset(labels))


def _labels(annotation: Element, path: str) -> Iterator[str]:
    for position, item in enumerate(annotation.findall("object"), 1):
        name = (item.findtext("name") or "").strip()
        if not name:
            raise Malformed(f"{path}: object {position} has no name")
        yield name


def _listed(listing: Listing, data: Data, documents: dict[str, File], found: Found) -> dict[str, str | None]:
    """Maps the key of every image in a list to its split; lines that name none are rejected."""
    listed: dict[str, str | None] = {}
    names = image_lists.Names(documents)
    for split, path in by_split(data.lists, "data.lists").items() if data.lists is not None else ():
        lines = image_lists.parse(listing.text(path, "data.lists"), path, names, f"with a file in {data.annotations}")
        for line in lines.missing:
            missing = File(line, 0, "", "is listed, but there is no such XML file")
            found.entries.append(Entry(path, missing, split))
        found.sentences += lines.notes(path)
        for key in lines.keys:
            if listed.setdefault(key, split) != split:
                raise LayoutError(
                    f"{path}: {key!r} is also in the list of {listed[key]}; remove it from one of the two"
                )
    return listed
