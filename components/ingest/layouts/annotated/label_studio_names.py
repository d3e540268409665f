"""The image that a task of Label Studio is about: which of its data, and which file below the root."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from components.data.storage import File
from components.ingest.layouts.annotated.shared.entries import Found
from components.ingest.layouts.annotated.shared.names import Names
from components.ingest.layouts.listing import Listing, endings

_PREFIX = re.compile(r"[0-9a-f]{8}-")  # which Label Studio puts before the names of uploaded files
_REMOVED = re.compile(r"[^-\w.]")  # from the names of uploaded files, after blanks became "_"
_RENAMED = "[image was|images were] found by the name that Label Studio gave the uploaded file"


class Images:
    """The images below `data.images`, by what tasks call them."""

    def __init__(self, listing: Listing, folders: Sequence[str], found: Found) -> None:
        self._listing, self._found = listing, found
        self._names = Names(listing, folders, found)
        self._cleaned: dict[str, list[str]] = defaultdict(list)
        for path in listing.files:
            if path.startswith(tuple(folders)) and posixpath.splitext(path)[1].lower() in endings() - {""}:
                self._cleaned[_cleaned(posixpath.basename(path))].append(path)

    def of(self, data: dict[str, Any]) -> tuple[File, str]:
        """Finds the image of a task.

        Returns:
            the file, whose `problem` says why there is none, and what two tasks of the same image have in common.
        """
        values = {key: value for key, value in data.items() if isinstance(value, str)}
        pictures = {key: value for key, value in values.items() if is_picture(value)} or values
        key = "image" if "image" in pictures else next(iter(pictures), None)
        if key is None or (key != "image" and len(pictures) > 1):
            return File(str(sorted(data))[:100], 0, "", "has no single image; expected data.image"), str(data)
        if values[key].startswith("data:"):
            return File("data:", 0, "", "is in the annotation file itself; expected the name of a file"), values[key]
        path = _path(values[key])
        short = _PREFIX.sub("", posixpath.basename(path), count=1)
        uploaded = short != posixpath.basename(path)
        file = self._names.find(path)
        if file.problem and uploaded:
            file = self._uploaded(short) or file
        return file, short if uploaded else path

    def _uploaded(self, name: str) -> File | None:
        """The only image that has this name once Label Studio has cleaned it."""
        paths = self._cleaned.get(_cleaned(name), [])
        if len(paths) != 1:
            return None
        self._found.note(_RENAMED, paths[0])
        return self._listing.files[paths[0]]


def _path(value: str) -> str:
    """The path in a reference to a file.

    >>> _path("/data/local-files/?d=a%20b/1.jpg"), _path("https://x.org/p/2.jpg?token=3"), _path("s3://bucket/c/3.jpg")
    ('a b/1.jpg', '/p/2.jpg', '/c/3.jpg')
    >>> _path("50% off?.jpg")
    '50% off?.jpg'
    """
    try:
        parts = urlsplit(value)
    except ValueError:  # such as the host "["
        return value
    if value.startswith("/data/local-files/"):
        return parse_qs(parts.query).get("d", [value])[0]
    if "://" in value:
        return unquote(parts.path)
    return unquote(value) if value.startswith("/data/") else value


def is_picture(value: str) -> bool:
    """Whether a text refers to an image, by the ending of its path.

    >>> is_picture("https://x.org/a.jpg?b=c"), is_picture("a photo")
    (True, False)
    """
    return posixpath.splitext(_path(value))[1].lower() in endings() - {""}


def _cleaned(name: str) -> str:
    return _REMOVED.sub("", name.strip().replace(" ", "_"))
