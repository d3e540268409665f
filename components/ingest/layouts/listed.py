"""The files of a listing by path: a dictionary of few, and of many what takes 75 bytes each in its place."""

from __future__ import annotations

from array import array
from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView

from components.base.compact.packed import Packed
from components.base.compact.places import Places
from components.data.storage import File

_FEW = 100_000


class Listed(Mapping[str, File]):
    """Path -> file, in the order of the paths.

    Args:
        files: in any order; no path comes twice.
    """

    def __init__(self, files: Iterable[File]) -> None:
        self._files = Packed.ordered(File, files, key=lambda file: file.path)
        self._few: dict[str, File] | None = None
        if len(self._files) <= _FEW:
            self._few = {file.path: file for file in self._files}
            return
        self._places = Places(self, len(self._files))
        self._sizes, self._ends, self._versions = array("Q"), array("Q"), bytearray()
        self._problems: dict[str, str] = {}
        for file in self._files:
            self._sizes.append(file.size)
            self._versions += file.version.encode("utf-8", "surrogatepass")
            self._ends.append(len(self._versions))
            if file.problem:
                self._problems[file.path] = file.problem

    def __getitem__(self, path: str) -> File:
        if self._few is not None:
            return self._few[path]
        place = self._places.of(path)
        if place < 0:
            raise KeyError(path)
        start = self._ends[place - 1] if place else 0
        version = self._versions[start : self._ends[place]].decode("utf-8", "surrogatepass")
        return File(path, self._sizes[place], version, self._problems.get(path, ""))

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[str]:
        if self._few is not None:
            return iter(self._few)
        return (path for (path,) in self._files.values("path"))

    def values(self) -> ValuesView[File]:
        """The files."""
        return _Files(self)

    def items(self) -> ItemsView[str, File]:
        """The paths and files."""
        return _Pairs(self)

    def in_order(self) -> Iterator[File]:
        """Yields the files."""
        return iter(self._files)


class _Files(ValuesView[File]):
    def __init__(self, listed: Listed) -> None:
        super().__init__(listed)
        self._listed = listed

    def __iter__(self) -> Iterator[File]:
        return self._listed.in_order()


class _Pairs(ItemsView[str, File]):
    def __init__(self, listed: Listed) -> None:
        super().__init__(listed)
        self._listed = listed

    def __iter__(self) -> Iterator[tuple[str, File]]:
        return ((file.path, file) for file in self._listed.in_order())
