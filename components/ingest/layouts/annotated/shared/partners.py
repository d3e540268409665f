"""The image of an annotation file of its own: the one of the same name, else the one that the file names."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Mapping, Sequence

from components.data.storage import File
from components.ingest.layouts.annotated.shared.entries import Found
from components.ingest.layouts.annotated.shared.names import Names
from components.ingest.layouts.listing import Listing, endings


class Partners:
    """The images below some folders, one folder per split.

    Attributes:
        paths: of all these images.
    """

    def __init__(
        self, listing: Listing, prefixes: Mapping[str | None, str], folders: Sequence[str], found: Found
    ) -> None:
        """
        Args:
            listing: listing of the data set.
            prefixes: split -> folder of the images, as `Listing.folder` returns it.
            folders: the folders of the annotation files.
            found: where guesses are counted.
        """
        self._listing, self._prefixes, self._folders = listing, prefixes, folders
        self._names = Names(listing, prefixes.values(), found)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for path in sorted(listing.files):
            stem, ending = posixpath.splitext(path)
            if ending.lower() in endings() - {""} and path.startswith(tuple(prefixes.values())):
                self._by_stem[stem].append(path)
        self.paths = {path for same in self._by_stem.values() for path in same}

    def of(self, document: File, named: str) -> tuple[File, bool]:
        """Finds the image of an annotation file.

        An image of the same name beside the annotation file comes first, then one at the same place below a folder of
        images, then the one that the file names.

        Returns:
            the image, whose `problem` says why there is none, and whether it was found by the name of the file itself.
        """
        stem = posixpath.splitext(document.path)[0]
        keys = [stem]
        for folder in self._folders:
            if stem.startswith(folder):
                keys += [prefix + stem[len(folder) :] for prefix in self._prefixes.values()]
        same = next((self._by_stem[key] for key in keys if key in self._by_stem), [])
        name = posixpath.basename(named.replace("\\", "/"))
        fitting = [path for path in same if posixpath.basename(path) == name] or same
        if len(fitting) > 1:
            shown = " and ".join(fitting[:5])
            return File(stem, 0, "", f"could be the annotation of {shown}; remove all but one, or rename them"), True
        if fitting:
            return self._listing.files[fitting[0]], True
        if not named:
            return File(stem, 0, "", f"there is no image of this name, and {document.path} names none"), False
        return self._names.find(named, posixpath.join(posixpath.dirname(stem), "")), False

    def split(self, path: str) -> str | None:
        """The split of an image, by its folder."""
        fitting = [(len(prefix), split) for split, prefix in self._prefixes.items() if path.startswith(prefix)]
        return max(fitting, key=lambda pair: pair[0])[1] if fitting else None
