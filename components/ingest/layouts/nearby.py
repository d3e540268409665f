"""Files whose names are nearly what a table or an annotation says: in other case, without ending, in another folder."""

from __future__ import annotations

import functools
import posixpath
import unicodedata
from collections.abc import Collection, Iterable

# Key -> the path, or all paths. Most keys have one, and a list for each would take a second more of 200,000 files.
_Index = dict[str, str | list[str]]


class Nearby:
    """Look-ups in the paths of a data set, without regard to case. Each index is built when it is asked first.

    Args:
        paths: of all files.
        endings: of images, in lower case.

    >>> found = Nearby(["a/1.JPG", "a/2.png"], {".jpg", ".png"})
    >>> found.same("A/1.jpg"), found.without_ending("a/2"), found.elsewhere("2.png"), found.near("1.jpeg")
    (['a/1.JPG'], ['a/2.png'], ['a/2.png'], 'a/1.JPG')
    """

    def __init__(self, paths: Iterable[str], endings: Collection[str]) -> None:
        self._paths, self._endings = sorted(paths), endings

    def same(self, path: str) -> list[str]:
        """Returns the paths that differ from `path` at most in case."""
        return _of(self._whole, folded(path))

    def without_ending(self, path: str) -> list[str]:
        """Returns the images whose path without its ending is `path`."""
        return _of(self._stems, folded(path))

    def elsewhere(self, path: str) -> list[str]:
        """Returns the files of this name in any folder; of a name without an ending, the images."""
        name = folded(posixpath.basename(path))
        return _of(self._names, name) or _of(self._name_stems, name)

    def near(self, path: str) -> str:
        """Returns the one path that is most likely meant: of this name, or of this name with another ending; or ""."""
        stem = posixpath.splitext(path)[0]
        for found in (self.same(path), self.without_ending(path), self.without_ending(stem), self.elsewhere(path)):
            if found:
                return found[0] if len(found) == 1 else ""
        found = _of(self._name_stems, folded(posixpath.basename(stem)))
        return found[0] if len(found) == 1 else ""

    @functools.cached_property
    def _whole(self) -> _Index:
        return _index((folded(path), path) for path in self._paths)

    @functools.cached_property
    def _names(self) -> _Index:
        return _index((folded(path.rpartition("/")[2]), path) for path in self._paths)

    @functools.cached_property
    def _stems(self) -> _Index:
        split = ((posixpath.splitext(folded(path)), path) for path in self._paths)
        return _index((stem, path) for (stem, ending), path in split if ending and ending in self._endings)

    @functools.cached_property
    def _name_stems(self) -> _Index:
        split = ((posixpath.splitext(folded(path.rpartition("/")[2])), path) for path in self._paths)
        return _index((stem, path) for (stem, ending), path in split if ending and ending in self._endings)


def folded(path: str) -> str:
    """Writes a path without regard to case and to the composition of letters."""
    return path.casefold() if path.isascii() else unicodedata.normalize("NFC", path).casefold()


def _index(entries: Iterable[tuple[str, str]]) -> _Index:
    index: _Index = {}
    for key, path in entries:
        known = index.setdefault(key, path)
        if isinstance(known, list):
            known.append(path)
        elif known is not path:
            index[key] = [known, path]
    return index


def _of(index: _Index, key: str) -> list[str]:
    found = index.get(key, []) if key else []
    return [found] if isinstance(found, str) else found
