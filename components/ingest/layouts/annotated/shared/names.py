"""Finds the images that annotations name: by their path where it fits, else by the end of it."""

from __future__ import annotations

import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from components.data.storage import File
from components.ingest.layouts.annotated.shared.entries import Found
from components.ingest.layouts.listing import Listing, endings

_BY_END = "[image was|images were] found by the end of [its|their] path: the annotations were made in another folder"


class Names:
    """The images below some folders, by path and by file name. Only listed files are ever returned."""

    def __init__(self, listing: Listing, folders: Iterable[str], found: Found) -> None:
        self._listing, self._folders, self._found = listing, tuple(folders), found
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for path in listing.files:
            stem, ending = posixpath.splitext(path)
            if ending.lower() in endings() - {""} and path.startswith(self._folders):
                self._by_name[_key(posixpath.basename(path))].append(path)
                self._by_stem[_key(posixpath.basename(stem))].append(path)

    def exact(self, name: str) -> File | None:
        """The image at this path below one of the folders, or None."""
        paths = (posixpath.normpath(folder + name) for folder in self._folders)
        return next((self._listing.files[path] for path in paths if path in self._listing.files), None)

    def find(self, name: str, beside: str = "") -> File:
        """Finds an image; if there is none, the file's `problem` says why.

        Args:
            name: as annotations have it: a path, absolute or not, with "/" or "\\\\".
            beside: prefix of paths in which `name` may start, too, such as the annotation file's folder.
        """
        path = name.replace("\\", "/")
        for folder in (*self._folders, beside, ""):
            listed = self._listing.files.get(posixpath.normpath(folder + path))
            if listed is not None:
                return listed
        return self._by_end(name, path)

    def _by_end(self, name: str, path: str) -> File:
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        if not parts:
            return File(name or ".", 0, "", "is not the name of a file")
        has_ending = posixpath.splitext(parts[-1])[1].lower() in endings() - {""}
        paths = self._by_name.get(_key(parts[-1]), [])
        if not paths and not has_ending:
            paths = self._by_stem.get(_key(parts[-1]), [])
        best = _longest(paths, parts)
        best = [path for path in best if posixpath.basename(path) == parts[-1]] or best
        if len(best) == 1:
            self._found.note(_BY_END, name)
            return self._listing.files[best[0]]
        if best:
            shown = ", ".join(sorted(best)[:5])
            return File(path, 0, "", f"could be any of {shown}; name the image by its path below data.images")
        near = self._by_stem.get(_key(posixpath.splitext(parts[-1])[0]), [])
        hint = f"; did you mean {near[0]}?" if near else ""
        return File(path, 0, "", f"there is no such file in {self._listing.root}{hint}")


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _longest(paths: Sequence[str], parts: Sequence[str]) -> list[str]:
    """Returns the paths that share the most last parts with `parts`."""

    def shared(path: str) -> int:
        own = path.split("/")
        count = 0
        while count < min(len(own), len(parts)) and _key(own[-1 - count]) == _key(parts[-1 - count]):
            count += 1
        return count

    if len(paths) < 2:
        return list(paths)
    most = max(map(shared, paths))
    return [path for path in paths if shared(path) == most]
