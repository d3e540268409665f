"""Files that may be tables of images: those with the ending of a table, together where they belong together."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components.base.errors import ImagegateError
from components.ingest.layouts.paths.split_names import split_of
from components.ingest.layouts.table import parquet
from components.ingest.layouts.table.content import ENDINGS, parse
from components.ingest.layouts.table.dialect import IsFile
from components.ingest.layouts.table.table import Table
from pipeline.init.recognise.sight import Sight

_DEEPEST = 2  # folders around a table
_MOST = 12  # tables that are opened
_MOST_BYTES = 64 << 20  # of one of them
_TEXTS = (".txt", ".json")  # which are often something else
_SHARD = re.compile(r"(.+?)[-_.]\d+([-_.]of[-_.]\d+)?")
_LIKELY = re.compile(r"label|metadata|annot|train|data|image|class", re.IGNORECASE)


@dataclass(frozen=True)
class Candidate:
    """Tables that are read together.

    Attributes:
        manifest: value of `data.manifest`.
        tables: one of each split, or the only one, with the split's name as `data.manifest` has it.
        left: tables of other splits that lack columns of the first.
    """

    manifest: str | dict[str, str]
    tables: tuple[tuple[str, Table], ...]
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unparsed:
    """A file that may be a table, and why it cannot be parsed."""

    path: str
    problem: str


def candidates(sight: Sight, is_file: IsFile) -> Iterator[Candidate | Unparsed]:
    """Yields the tables, those of one data set's splits together, the likely ones first; and those with errors."""
    patterns = _patterns(sight)
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for pattern in patterns:
        groups[_place(pattern)].append(pattern)
    opened = 0
    for group in sorted(groups.values(), key=_unlikely):
        named: dict[str, str] = {}
        for pattern in sorted(group):
            named.setdefault(_split(pattern) or pattern, pattern)
        chosen = named if len(named) == len(group) and "train" in named else dict.fromkeys(group, "")
        found = []
        for split, pattern in named.items() if chosen is named else ((pattern, pattern) for pattern in chosen):
            opened += 1
            table = _table(sight, patterns[pattern][0], is_file) if opened <= _MOST else None
            if isinstance(table, Unparsed):
                yield table
            elif table is not None:
                found.append((split, pattern, table))
        yield from _together(found) if chosen is named else (Candidate(p, (("", t),)) for _, p, t in found)


def _together(found: Sequence[tuple[str, str, Table]]) -> Iterator[Candidate]:
    """Yields the tables of splits as one candidate; those that lack columns of train are left out."""
    train = next((table for split, _, table in found if split == "train"), None)
    if train is None:
        return
    whole = [(s, p, t) for s, p, t in found if set(t.header) >= set(train.header)]
    left = tuple(p for s, p, t in found if not set(t.header) >= set(train.header))
    tables = tuple((split, table) for split, _, table in sorted(whole, key=lambda entry: entry[0] != "train"))
    if len(whole) == 1:
        yield Candidate(whole[0][1], tables, left)
    else:
        order = sorted(whole, key=lambda entry: ("train", "eval", "test").index(entry[0]))
        yield Candidate({split: pattern for split, pattern, _ in order}, tables, left)


def _patterns(sight: Sight) -> dict[str, list[str]]:
    """Maps paths of tables, or patterns of several shards, to the files that fit."""
    paths = [sight.start] if sight.start else [p for p in sight.files if _may_be_table(p)]
    shards: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        stem, ending = posixpath.splitext(path)
        match = _SHARD.fullmatch(posixpath.basename(stem)) if ending.lower() == ".parquet" and not sight.start else None
        pattern = f"{posixpath.join(posixpath.dirname(path), match[1])}-*{ending}" if match else path
        shards[pattern].append(path)
    result: dict[str, list[str]] = {}
    for pattern, fitting in shards.items():
        exact = all(fnmatch.fnmatchcase(path, pattern) for path in fitting) and len(fitting) > 1
        result |= {pattern: sorted(fitting)} if exact else {path: [path] for path in fitting}
    return result


def _may_be_table(path: str) -> bool:
    if not path.lower().endswith(ENDINGS):  # most files are images
        return False
    stem, ending = posixpath.splitext(posixpath.basename(path))
    depth = path.count("/")
    if "submission" in stem.lower():  # of a competition: made up labels of test
        return False
    if ending.lower() in _TEXTS and (depth > 1 or stem.lower() in ("readme", "license", "requirements", "classes")):
        return False
    return depth <= _DEEPEST


def _place(pattern: str) -> tuple[str, str]:
    """Returns what the tables of one data set's splits have in common: folder and ending, without the split."""
    folder, name = posixpath.split(pattern)
    stem, ending = posixpath.splitext(name)
    if split_of(stem.replace("*", "")):
        return f"{folder}/", ending
    if split_of(posixpath.basename(folder)):
        return posixpath.dirname(folder), name
    return pattern, ""


def _split(pattern: str) -> str | None:
    folder, name = posixpath.split(pattern)
    return split_of(posixpath.splitext(name)[0].replace("*", "")) or split_of(posixpath.basename(folder))


def _unlikely(group: Sequence[str]) -> tuple[bool, int, str]:
    first = min(group)
    return not any(_LIKELY.search(path) for path in group), first.count("/"), first


def _table(sight: Sight, path: str, is_file: IsFile) -> Table | Unparsed | None:
    file = sight.files.get(path)
    if file is None:
        return None
    try:
        if path.lower().endswith(".parquet"):
            return parquet.parse(sight.root, file)
        return parse(sight.read(path), path, is_file) if file.size <= _MOST_BYTES else None
    except ImagegateError as error:
        return Unparsed(path, str(error))
    except OSError:
        return None
