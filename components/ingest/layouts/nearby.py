"""Files whose names are nearly what a table or an annotation says: in other case, without ending, in another folder."""

from __future__ import annotations

import functools
import itertools
import posixpath
import unicodedata
from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import overload

import numpy as np

_Key = Callable[[str], str]  # of a path; "" for a path that is not looked for


class _Texts(Sequence[str]):
    """Texts one behind the other, with 8 bytes more for each."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._content, self._ends = bytearray(), array("Q")
        for text in texts:
            self._content += text.encode("utf-8", "surrogatepass")
            self._ends.append(len(self._content))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        i = range(len(self))[place]
        start = self._ends[i - 1] if i else 0
        return self._content[start : self._ends[i]].decode("utf-8", "surrogatepass")


class _Index:
    """The paths by a key, of which only the hashes are kept."""

    def __init__(self, paths: _Texts, key: _Key) -> None:
        self._paths, self._key = paths, key
        hashes = np.fromiter((hash(key(path)) for path in paths), np.int64, len(paths))
        order = hashes.argsort(kind="stable")
        self._hashes, self._order = hashes[order], order.astype(np.uint32)

    def find(self, key: str) -> list[str]:
        """The paths with this key, in order."""
        if not key:
            return []
        hashed = np.int64(hash(key))
        start, end = self._hashes.searchsorted(hashed), self._hashes.searchsorted(hashed, "right")
        paths = (self._paths[place] for place in self._order[start:end].tolist())
        return [path for path in paths if self._key(path) == key]


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
        texts = _Texts(paths)
        ordered = all(one <= other for one, other in itertools.pairwise(texts))
        self._paths, self._endings = texts if ordered else _Texts(sorted(texts)), endings

    def same(self, path: str) -> list[str]:
        """Returns the paths that differ from `path` at most in case."""
        return self._whole.find(folded(path))

    def without_ending(self, path: str) -> list[str]:
        """Returns the images whose path without its ending is `path`."""
        return self._stems.find(folded(path))

    def elsewhere(self, path: str) -> list[str]:
        """Returns the files of this name in any folder; of a name without an ending, the images."""
        name = folded(posixpath.basename(path))
        return self._names.find(name) or self._name_stems.find(name)

    def near(self, path: str) -> str:
        """Returns the one path that is most likely meant: of this name, or of this name with another ending; or ""."""
        stem = posixpath.splitext(path)[0]
        for found in (self.same(path), self.without_ending(path), self.without_ending(stem), self.elsewhere(path)):
            if found:
                return found[0] if len(found) == 1 else ""
        found = self._name_stems.find(folded(posixpath.basename(stem)))
        return found[0] if len(found) == 1 else ""

    @functools.cached_property
    def _whole(self) -> _Index:
        return _Index(self._paths, folded)

    @functools.cached_property
    def _names(self) -> _Index:
        return _Index(self._paths, _name)

    @functools.cached_property
    def _stems(self) -> _Index:
        return _Index(self._paths, lambda path: self._stem(folded(path)))

    @functools.cached_property
    def _name_stems(self) -> _Index:
        return _Index(self._paths, lambda path: self._stem(_name(path)))

    def _stem(self, path: str) -> str:
        """The path of an image without its ending; "" for other files."""
        stem, ending = posixpath.splitext(path)
        return stem if ending and ending in self._endings else ""


def _name(path: str) -> str:
    return folded(path.rpartition("/")[2])


def folded(path: str) -> str:
    """Writes a path without regard to case and to the composition of letters."""
    return path.casefold() if path.isascii() else unicodedata.normalize("NFC", path).casefold()
