"""The layout `voc`: one XML file per image, as in Pascal VOC; the objects' names are the image's labels.

The file is read with defusedxml, which refuses what makes XML dangerous. Objects marked `difficult`, `truncated` or
`occluded` count like all others: they are in the image.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from components.data.dataset import LayoutError
from components.data.storage import File
from components.ingest.layouts.annotated.shared import files
from components.ingest.layouts.annotated.shared.entries import Entry, Found, Malformed, Wanted
from components.ingest.layouts.annotated.shared.names import Names
from components.ingest.layouts.listing import ENDINGS, Listing
from components.ingest.layouts.rules import by_split
from components.ingest.settings import Data

_ENDING = ".xml"
_FLAGS = ("-1", "0", "1")  # in lists of one label: whether an image shows it; all images of the list count
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
    prefixes = [listing.folder(path, "data.images") for path in by_split(data.images or "", "data.images").values()]
    found = Found(folders={*prefixes, folder})
    documents = {
        posixpath.splitext(path)[0][len(folder) :]: file
        for path, file in sorted(listing.files.items())
        if path.startswith(folder) and path.lower().endswith(_ENDING)
    }
    if not documents:
        raise LayoutError(f"data.annotations: there is no XML file below {data.annotations} in {listing.root}")
    images = _Images(listing, prefixes, folder, found)
    listed = _listed(listing, data, documents)
    found.splits = set(listed.values()) if data.lists is not None else {None}
    for key, document in documents.items():
        if data.lists is not None and key not in listed:
            found.note(_UNLISTED)
            found.used.add(document.path)
            continue
        found.used.add(document.path)
        found.entries.append(_entry(listing, document, key, listed.get(key), images))
    for key in sorted(set(listed) - set(documents)):
        missing = File(folder + key + _ENDING, 0, "", "is listed in data.lists, but there is no such XML file")
        found.entries.append(Entry("data.lists", missing, listed[key]))
    if data.lists is None:
        used = {entry.file.path for entry in found.entries}
        for path in sorted(images.paths - used):
            found.note(_WITHOUT_FILE, path)
    return found


class _Images:
    """The images below `data.images`, by the key that they share with XML files."""

    def __init__(self, listing: Listing, prefixes: list[str], folder: str, found: Found) -> None:
        self._names, self._listing, self._folder = Names(listing, prefixes, found), listing, folder
        self._by_key: dict[str, str] = {}
        self.paths: set[str] = set()
        for prefix in prefixes:
            for path in sorted(file.path for file in listing.below(prefix)):
                stem, ending = posixpath.splitext(path)
                if ending.lower() in ENDINGS - {""}:
                    self._by_key.setdefault(stem[len(prefix) :], path)
                    self.paths.add(path)

    def of(self, key: str, document: File, name: str) -> File:
        """The image of an XML file; its `problem` says why there is none."""
        beside = posixpath.splitext(document.path)[0]
        path = self._by_key.get(key) or self._by_key.get(beside)
        if path is not None:
            return self._listing.files[path]
        if not name:
            return File(key, 0, "", "there is no image of this name, and no filename in the XML file")
        return self._names.find(name, posixpath.join(posixpath.dirname(document.path), ""))


def _entry(listing: Listing, document: File, key: str, split: str | None, images: _Images) -> Entry:
    labels, name = set(), ""
    try:
        for element in files.xml(listing, document, ("annotation",)):
            if element.tag != "annotation":
                raise Malformed(f"{document.path}: expected an <annotation> of Pascal VOC, got <{element.tag}>")
            name = (element.findtext("filename") or "").strip()
            labels = set(_labels(element, document.path))
    except Malformed as error:
        return Entry(document.path, images.of(key, document, name), split, problem=str(error))
    return Entry(document.path, images.of(key, document, name), split, frozenset(labels))


def _labels(annotation: Element, path: str) -> Iterator[str]:
    for position, item in enumerate(annotation.findall("object"), 1):
        name = (item.findtext("name") or "").strip()
        if not name:
            raise Malformed(f"{path}: object {position} has no name")
        yield name


def _listed(listing: Listing, data: Data, documents: dict[str, File]) -> dict[str, str | None]:
    """Maps the key of every image in a list to its split."""
    listed: dict[str, str | None] = {}
    for split, path in by_split(data.lists, "data.lists").items() if data.lists is not None else ():
        for line in listing.text(path, "data.lists").splitlines():
            if not line.strip():
                continue
            key = _key(line.strip(), documents)
            if listed.setdefault(key, split) != split:
                raise LayoutError(
                    f"{path}: {key!r} is also in the list of {listed[key]}; remove it from one of the two"
                )
    return listed


def _key(line: str, documents: dict[str, File]) -> str:
    """The key that a line of a list means: `2007_000032`, `2007_000032 -1` or `/JPEGImages/2007_000032.jpg …`."""
    candidates = [line]
    fields = line.split()
    if len(fields) == 2 and fields[1] in _FLAGS:
        candidates.append(fields[0])
    candidates += [fields[0]]
    for candidate in list(candidates):
        stem, ending = posixpath.splitext(candidate)
        if ending.lower() in ENDINGS or ending.lower() == _ENDING:
            candidates.append(stem)
            candidates += [stem.split("/", i)[-1] for i in range(1, stem.count("/") + 1)]
    return next((candidate for candidate in candidates if candidate in documents), candidates[0])
