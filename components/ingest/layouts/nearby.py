"""Files whose names are nearly what a table or an annotation says: in other case, without ending, in another folder."""

from __future__ import annotations

import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping


class Nearby:
    """Look-ups in the paths of a data set, without regard to case.

    Args:
        paths: of all files.
        endings: of images, in lower case.

    >>> found = Nearby(["a/1.JPG", "a/2.png"], {".jpg", ".png"})
    >>> found.same("A/1.jpg"), found.without_ending("a/2"), found.elsewhere("2.png"), found.near("1.jpeg")
    (['a/1.JPG'], ['a/2.png'], ['a/2.png'], 'a/1.JPG')
    """

    def __init__(self, paths: Iterable[str], endings: Collection[str]) -> None:
        whole: dict[str, list[str]] = defaultdict(list)
        stems: dict[str, list[str]] = defaultdict(list)
        names: dict[str, list[str]] = defaultdict(list)
        name_stems: dict[str, list[str]] = defaultdict(list)
        for path in sorted(paths):
            key = folded(path)
            stem, ending = posixpath.splitext(key)
            whole[key].append(path)
            names[posixpath.basename(key)].append(path)
            if ending and ending in endings:
                stems[stem].append(path)
                name_stems[posixpath.basename(stem)].append(path)
        self._whole, self._stems, self._names, self._name_stems = whole, stems, names, name_stems

    def same(self, path: str) -> list[str]:
        """Returns the paths that differ from `path` at most in case."""
        return self._whole.get(folded(path), [])

    def without_ending(self, path: str) -> list[str]:
        """Returns the images whose path without its ending is `path`."""
        return self._stems.get(folded(path), [])

    def elsewhere(self, path: str) -> list[str]:
        """Returns the files of this name in any folder; of a name without an ending, the images."""
        name = folded(posixpath.basename(path))
        return _of(self._names, name) or _of(self._name_stems, name)

    def near(self, path: str) -> str:
        """Returns the one path that is most likely meant: of this name, or of this name with another ending; or ""."""
        stem = posixpath.splitext(path)[0]
        name = folded(posixpath.basename(stem))
        for found in (self.same(path), self.without_ending(path), self.without_ending(stem), self.elsewhere(path)):
            if found:
                return found[0] if len(found) == 1 else ""
        found = _of(self._name_stems, name)
        return found[0] if len(found) == 1 else ""


def folded(path: str) -> str:
    """Writes a path without regard to case and to the composition of letters."""
    return path.casefold() if path.isascii() else unicodedata.normalize("NFC", path).casefold()


def _of(index: Mapping[str, list[str]], key: str) -> list[str]:
    return index.get(key, []) if key else []
