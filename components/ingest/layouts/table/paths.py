"""The setting `data.manifest`: which tables of the data set it names."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Mapping, Sequence

from components.base.errors import ConfigError
from components.base.text import truncated_list
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import by_split

Tables = str | Sequence[str] | Mapping[str, str] | Mapping[str, str | tuple[str, ...]]


def paths_of(manifest: Tables, listing: Listing) -> list[tuple[str | None, str]]:
    """Lists (split, path) of every table, in the order of the setting; the tables of a pattern are sorted.

    Raises:
        ConfigError: a pattern fits no file, a table is named twice, or a split is not one.
    """
    if isinstance(manifest, Mapping):
        splits = {split: manifest[key] for split, key in by_split({k: k for k in manifest}, "data.manifest").items()}
    else:
        splits = {None: manifest if isinstance(manifest, str) else tuple(manifest)}
    found = []
    for split, value in splits.items():
        for pattern in (value,) if isinstance(value, str) else value:
            found += [(split, path) for path in _fitting(pattern, listing)]
    first: dict[str, str | None] = {}
    for split, path in found:
        if path in first:
            both = f"for {first[path]} and {split}" if split != first[path] else "twice"
            raise ConfigError(f"data.manifest: names {path} {both}; a table may be there only once")
        first[path] = split
    if not found:
        raise ConfigError("data.manifest: expected the path of a table, got an empty list")
    return found


def _fitting(pattern: str, listing: Listing) -> list[str]:
    """Returns the files that fit a pattern, whose `*` stands for anything but "/"; or the path itself."""
    if not any(sign in pattern for sign in "*?[") or pattern in listing.files:
        return [pattern]
    parts = posixpath.normpath(pattern).split("/")
    fitting = sorted(
        path
        for path in listing.files
        if path.count("/") == len(parts) - 1 and all(map(fnmatch.fnmatchcase, path.split("/"), parts))
    )
    if not fitting:
        ending = posixpath.splitext(pattern)[1]
        others = sorted(path for path in listing.files if path.endswith(ending or "\n"))
        there = f"; there are {truncated_list(others)}" if others else ""
        raise ConfigError(f"data.manifest: no file in {listing.root} fits the pattern {pattern}{there}")
    return fitting
