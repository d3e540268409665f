"""The files that the rows of a table name, also where the spelling differs: every such repair is counted and said."""

from __future__ import annotations

import posixpath
import re
import urllib.parse
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from components.base.text import truncated_list
from components.data import storage
from components.data.storage import File
from components.ingest.layouts.listing import Listing, endings

_DRIVE = re.compile(r"[A-Za-z]:/")
_SHOWN = 5  # examples
_REPAIRS = {
    "ending": "has no ending and was matched to the image of this name",
    "case": "differs from its file in case",
    "backslash": "separates folders by a backslash, as Windows does",
}
_MANY = {
    "ending": "have no ending and were matched to the images of these names",
    "case": "differ from their files in case",
    "backslash": "separate folders by a backslash, as Windows does",
}


class Lookup:
    """Finds the files that the rows of one table name.

    Args:
        listing: of the data set.
        folders: prefixes as `Listing.folder` returns them, in which names start.
        prefix: the beginning of names that is no part of their paths.
    """

    def __init__(self, listing: Listing, folders: Sequence[str], prefix: str = "") -> None:
        self._listing, self._folders, self._prefix = listing, tuple(dict.fromkeys(folders)), _slashed(prefix)
        self._repairs: Counter[str] = Counter()  # kind -> names
        self._examples: dict[str, list[str]] = defaultdict(list)  # kind -> the first of them

    def find(self, name: str) -> File:
        """Finds the file of a name; if there is none, or several might be meant, its `problem` says so."""
        rest, problem = self._cut(name)
        if problem:
            return File(name, 0, "", problem)
        for kinds, file in self._found(rest):
            for kind in kinds:
                self._repairs[kind] += 1
                if len(self._examples[kind]) < _SHOWN:
                    self._examples[kind].append(f"{name} → {file.path}")
            return file
        return self._missing(rest)

    def is_file(self, name: str) -> bool:
        """Whether a name is that of a file; counts no repair."""
        rest, problem = self._cut(name)
        return not problem and any(not file.problem for _, file in self._found(rest))

    def notes(self, path: str) -> Iterator[str]:
        """Yields one sentence for each kind of repair: how many names of the table, and which for example."""
        for kind, count in self._repairs.items():
            shown = truncated_list(self._examples[kind], count)
            if count == 1:
                yield f"{path}: one name {_REPAIRS[kind]}: {shown}"
            else:
                yield f"{path}: {count:,} names {_MANY[kind]}: {shown}"

    def _cut(self, name: str) -> tuple[str, str]:
        """Cuts the prefix off; returns the rest, and why there is none or ""."""
        if not self._prefix:
            return name, ""
        written = name if name.startswith(self._prefix) else _slashed(name)
        rest = written.removeprefix(self._prefix)
        if rest == written or not (self._prefix.endswith("/") or rest.startswith("/")):
            return "", f"does not begin with data.prefix ({self._prefix})"
        rest = rest.lstrip("/")
        return (urllib.parse.unquote(rest) if storage.is_url(self._prefix) else rest), ""

    def _found(self, name: str) -> Iterator[tuple[tuple[str, ...], File]]:
        """Yields the file of a name, with the repairs that lead to it, if there is one."""
        yield from self._spelt(name, ())
        if "\\" in name and not self._listing.has_backslashes:
            yield from self._spelt(name.replace("\\", "/"), ("backslash",))
        if name != (stripped := name.strip()) and stripped:  # blanks beside the delimiter
            yield from self._found(stripped)

    def _spelt(self, name: str, kinds: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], File]]:
        if _is_absolute(name):
            return
        exact = {
            file.path: file for folder in self._folders if self._is_there(file := self._listing.find(folder, name))
        }
        paths = [path for folder in self._folders if not (path := posixpath.normpath(folder + name)).startswith("..")]
        # Its index of all names is not made where each name is that of a file.
        same = (
            {p: self._listing.files[p] for path in paths for p in self._listing.nearby.same(path)} if not exact else {}
        )
        stems = {}
        ending = posixpath.splitext(name)[1].lower()
        if not exact and not same and (not ending or ending not in endings()):
            stems = {p: self._listing.files[p] for path in paths for p in self._listing.nearby.without_ending(path)}
        for found, repair in ((exact, ()), (same, ("case",)), (stems, ("ending",))):
            if len(found) > 1:
                yield (), File(name, 0, "", f"could be any of {truncated_list(sorted(found))}; name the file in full")
            elif found:
                yield (*kinds, *repair), next(iter(found.values()))

    def _is_there(self, file: File) -> bool:
        return file.path in self._listing.files

    def _missing(self, name: str) -> File:
        """Says why there is no file of a name, and what might be meant."""
        slashed = name.replace("\\", "/") if not self._listing.has_backslashes else name
        if not _is_absolute(slashed):
            return self._listing.find(self._folders[0], name)
        is_url = storage.is_url(slashed)
        places = truncated_list(folder or self._listing.root for folder in self._folders)
        problem = f"{'a URL' if is_url else 'an absolute path'}; expected a path relative to {places}"
        parts = slashed.split("/")
        for start in range(1, len(parts)):
            rest = "/".join(parts[start:])
            if rest and not self._prefix and any(not file.problem for _, file in self._found(rest)):
                prefix = name[: len(name) - len(rest)]
                return File(name, 0, "", f"{problem}; there is a file {rest}, so set data.prefix: {prefix!r}")
        return File(name, 0, "", problem)


def _is_absolute(name: str) -> bool:
    return name.startswith("/") or storage.is_url(name) or _DRIVE.match(name) is not None


def _slashed(path: str) -> str:
    r"""Writes a path of Windows with "/".

    >>> _slashed(r"C:\photos"), _slashed("/home/me")
    ('C:/photos', '/home/me')
    """
    return path.replace("\\", "/") if re.match(r"[A-Za-z]:\\|\\\\", path) else path
