"""The images that YOLO's `data.yaml` names. Paths that lead out of the data set are never followed."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator

from components.data.dataset import LayoutError
from components.data.storage import File
from components.ingest.layouts.annotated.shared.entries import Found
from components.ingest.layouts.annotated.shared.names import Names
from components.ingest.layouts.annotated.yolo_data import Described
from components.ingest.layouts.listing import Listing, endings

_MOVED = "[path of data.yaml was|paths of data.yaml were] not there or outside the data set; read instead"
_BOTH = "split[ has|s have] the same images as train, so that all were split by hash"


def images(listing: Listing, described: Described, found: Found) -> dict[str | None, list[File]]:
    """Lists the images of each split; the split is None where another has the same images, as in COCO128.

    Raises:
        LayoutError: a place is not below the root, or there is none for train.
    """
    if "train" not in described.places:
        raise LayoutError(f"{described.path}: the key train is missing; expected the folder of the images to train on")
    places = _Places(listing, described, found)
    sides: dict[str | None, list[File]] = {}
    for split, values in described.places.items():
        members = {file.path: file for value in values for file in places.images(value)}
        sides[split] = list(members.values())
    same = [split for split in sides if split != "train" and sides[split] == sides["train"]]
    for split in same:
        del sides[split]
        found.note(_BOTH, {"eval": "val"}.get(str(split), str(split)))
    return sides if len(sides) > 1 or not same else {None: sides["train"]}


class _Places:
    """Resolves the paths in `data.yaml` to images below the root."""

    def __init__(self, listing: Listing, described: Described, found: Found) -> None:
        self._listing, self._found = listing, found
        self._start = posixpath.dirname(described.path)
        self._base = described.base.replace("\\", "/")
        self._folders = {""}
        for path in listing.files:
            folder = posixpath.dirname(path)
            while folder not in self._folders:
                self._folders.add(folder)
                folder = posixpath.dirname(folder)

    def images(self, value: str) -> Iterable[File]:
        """The images of one folder, list of images, or image.

        Raises:
            LayoutError: there is no such folder or file below the root.
        """
        path = self._resolved(value.replace("\\", "/"))
        if path in self._folders:
            return below(self._listing, f"{path}/" if path else "", self._found)
        if path.lower().endswith(".txt"):
            return self._listed(path)
        return [self._listing.files[path]]

    def _resolved(self, value: str) -> str:
        known = [path for path in self._candidates(value) if path in self._folders or path in self._listing.files]
        if not known:
            raise LayoutError(
                f"data.annotations: {value!r} is not below {self._listing.root}; expected a folder of images, or a "
                "list of images; correct it, or set data.images"
            )
        if known[0] != posixpath.normpath(posixpath.join(self._start, self._base, value)).removeprefix("."):
            self._found.note(_MOVED, f"{known[0] or '.'} for {value}")
        return known[0]

    def _candidates(self, value: str) -> Iterator[str]:
        """Paths below the root that `value` could mean, the best first; paths that lead out of it are shortened."""
        tried = [
            posixpath.join(self._start, self._base, value),
            posixpath.join(self._start, value),
            posixpath.join(self._base, value),
            value,
        ]
        for path in map(posixpath.normpath, tried):
            if not path.startswith(("/", "..")):
                yield "" if path == "." else path
        parts = [part for part in value.split("/") if part not in ("", ".", "..")]
        for start in range(len(parts)):
            for folder in (self._start, ""):
                yield posixpath.join(folder, *parts[start:])

    def _listed(self, path: str) -> Iterator[File]:
        """The images that a text file lists, one per line."""
        self._found.used.add(path)
        names = Names(self._listing, (posixpath.join(self._start, ""),), self._found)
        for line in self._listing.text(path, "data.annotations").splitlines():
            if line.strip():
                yield names.find(line.strip(), posixpath.join(posixpath.dirname(path), ""))


def below(listing: Listing, folder: str, found: Found) -> Iterator[File]:
    """Yields the images below a folder, sorted."""
    found.folders.add(folder)
    for path in sorted(file.path for file in listing.below(folder)):
        if posixpath.splitext(path)[1].lower() in endings() - {""}:
            yield listing.files[path]
