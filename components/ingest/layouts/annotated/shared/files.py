"""Reads annotation files: bounded text, JSON and XML. Whatever is in them is untrusted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element

from components.base.errors import ConfigError
from components.base.values import parsed_json
from components.data import storage
from components.data.dataset import LayoutError
from components.data.storage import File
from components.ingest.layouts.annotated.shared.entries import Malformed
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import by_split
from components.ingest.settings import Data

_PIECE = 16 << 20  # bytes
MOST_OF_IMAGE = 64 << 20  # bytes of the annotations of one image
MOST_OF_ALL = 1 << 30  # bytes of the annotations of a whole data set


def chosen(listing: Listing, path: str, key: str) -> File:
    """Finds the annotation file that a setting names.

    Raises:
        ConfigError: naming `key`: there is no such file below the root.
    """
    file = listing.find("", path)
    if file.problem:
        raise ConfigError(f"{key}: {path}: {file.problem}")
    return file


def image_folders(listing: Listing, data: Data, split: str | None) -> list[str]:
    """The prefixes of the images of one split: that of `data.images`, or all of them where there is none for it.

    Raises:
        ConfigError: a folder is outside the root.
        LayoutError: there is no file below it.
    """
    folders = by_split(data.images or "", "data.images")
    chosen = [folders[key]] if (key := split if split in folders else None) in folders else list(folders.values())
    return [listing.folder(folder, "data.images") for folder in chosen]


def content(listing: Listing, file: File, most: int = MOST_OF_IMAGE) -> bytes:
    """Reads a file.

    Raises:
        Malformed: it is too large, or cannot be read.
    """
    if file.problem:
        raise Malformed(f"{file.path}: {file.problem}")
    if file.size > most:
        raise Malformed(f"{file.path}: has {file.size:,} bytes; expected at most {most:,}")
    try:
        return storage.read(listing.root, file.path)
    except OSError as error:
        raise Malformed(f"{file.path}: cannot be read: {error.strerror or error}") from None


def text(listing: Listing, file: File, most: int = MOST_OF_IMAGE) -> str:
    """Reads UTF-8 text with or without a byte order mark.

    Raises:
        Malformed: it is too large, cannot be read, or is not UTF-8.
    """
    try:
        return content(listing, file, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(
            f"{file.path}: is not UTF-8 text: byte 0x{error.object[error.start]:02x} at offset {error.start}; "
            "save it as UTF-8"
        ) from None


def parsed(listing: Listing, file: File, most: int = MOST_OF_IMAGE) -> Any:
    """Reads JSON.

    Raises:
        Malformed: it is not valid JSON, or nested too deeply.
    """
    try:
        return parsed_json(text(listing, file, most))
    except ValueError as error:
        raise Malformed(f"{file.path}: not valid JSON: {error}") from None


def xml(listing: Listing, file: File, tags: tuple[str, ...], most: int = MOST_OF_IMAGE) -> Iterator[Element]:
    """Yields the elements with these names as they end; the caller clears them, so that a large file fits in memory.

    The root element, at the end, is always yielded. defusedxml refuses document types, and so entities that expand.

    Raises:
        Malformed: it is not XML, or has a document type.
    """
    import defusedxml.ElementTree
    from defusedxml.common import DefusedXmlException

    root: Element | None = None
    try:
        data = _Pieces(content(listing, file, most))
        for event, element in defusedxml.ElementTree.iterparse(data, events=("start", "end"), forbid_dtd=True):
            root = element if root is None else root
            if event == "end" and (element.tag in tags or element is root):
                yield element
    except DefusedXmlException:
        raise Malformed(f"{file.path}: has a document type or entities, which are not read; remove them") from None
    except (defusedxml.ElementTree.ParseError, ValueError, LookupError) as error:
        raise Malformed(f"{file.path}: not valid XML: {error}") from None


class _Pieces(io.BytesIO):
    """A file that is read in large pieces, whatever is asked for.

    expat reads a tag from its beginning again with each piece that it is cut into, so that pieces of 16 KB would make
    hours of one that is a gigabyte long (CVE-2023-52425).
    """

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(_PIECE)


def as_layout_error(error: Malformed) -> LayoutError:
    """The same message for a file on which the whole data set depends."""
    return LayoutError(str(error))
