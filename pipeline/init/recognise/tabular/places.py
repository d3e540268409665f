"""Which column of a table names the images, and in which folders they are."""

from __future__ import annotations

import posixpath
import urllib.parse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from components.data.storage import File, is_url
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.nearby import folded
from components.ingest.layouts.table.roles import IMAGE
from components.ingest.layouts.table.roles import folded as folded_column
from components.ingest.layouts.table.table import Table

_SAMPLE = 300  # cells of a column
_MOST_FOLDERS = 20


@dataclass(frozen=True)
class Place:
    """Attributes:
    column: that names the images.
    share: of the sampled cells that name one; 1 for images in the table itself.
    folders: prefixes of paths, "" or with "/" at the end, that hold them.
    prefix: of the names, which is no part of the paths.
    embedded: whether the table holds the images.
    """

    column: str
    share: float
    folders: tuple[str, ...] = ()
    prefix: str = ""
    embedded: bool = False


def place(tables: Sequence[Table], listing: Listing) -> Place | None:
    """Returns the column whose cells name the most images, or None if no column names half of its images."""
    header = [column for column in tables[0].header if column.strip()]  # pandas writes its index without a name
    found = [p for column in header if (p := _of_column(column, tables, listing)) is not None]
    return max(found, key=lambda p: (p.embedded, round(p.share, 2), _is_called_image(p.column)), default=None)


def is_somewhere(cell: str, listing: Listing) -> bool:
    """Whether a cell may name an image in any folder."""
    return _hit(cell, listing) is not None


def _is_called_image(column: str) -> bool:
    """Whether a column is called like one of file names; the numbers of rows may be names of files by accident."""
    return IMAGE.fullmatch(folded_column(column)) is not None


def _of_column(column: str, tables: Sequence[Table], listing: Listing) -> Place | None:
    cells = [(posixpath.dirname(table.path), cell) for table in tables for cell in _sample(table, column)]
    if cells and all(isinstance(cell, File) for _, cell in cells):
        return Place(column, 1.0, embedded=True)
    hits: list[tuple[str, dict[str, str]]] = []  # prefix, folder -> path
    for _, cell in cells:
        name = cell.get("path") if isinstance(cell, dict) else cell
        if isinstance(name, str | int) and not isinstance(name, bool) and (hit := _hit(str(name), listing)):
            hits.append(hit)
    paths = {path for _, places in hits for path in places.values()}
    if (2 * len(paths) < len(cells) and 2 * len(paths) < len({str(cell) for _, cell in cells})) or not hits:
        return None
    homes = {f"{home}/" if home else "" for home, _ in cells}
    prefix = _common_prefix([prefix for prefix, _ in hits])
    hits = [hit for hit in hits if hit[0].startswith(prefix)]
    folders = _cover([set(places) for _, places in hits], homes)
    covered = {path for _, places in hits for folder, path in places.items() if folder in folders}
    return Place(column, len(covered) / len(cells), folders, prefix)


def _sample(table: Table, column: str) -> list[object]:
    step = max(1, len(table.rows) // _SAMPLE) | 1  # odd, so that tables that alternate are sampled evenly
    return [cell for _, cells in table.rows[::step] if (cell := cells.get(column)) not in (None, "")]


def _hit(cell: str, listing: Listing) -> tuple[str, dict[str, str]] | None:
    """Finds the images that a cell may name by its longest end that is a path: what is before, and folder -> path."""
    name = cell.strip() if listing.has_backslashes else cell.strip().replace("\\", "/")
    parts = name.split("/")
    start = 3 if is_url(name) else 1 if name.startswith("/") else 0
    for first in range(start, len(parts)):
        rest = "/".join(parts[first:])
        wanted = folded(urllib.parse.unquote(rest) if start == 3 else posixpath.normpath(rest)) if rest else ""
        if not wanted or wanted.startswith(".."):
            continue
        places = {}
        for path in listing.nearby.elsewhere(wanted):
            key = folded(path)
            for end in (key, posixpath.splitext(key)[0]):
                if end == wanted or end.endswith(f"/{wanted}"):
                    places[path[: len(end) - len(wanted)]] = path
                    break
        if places:
            return name[: len(name) - len(rest)] if first else "", places
    return None


def _common_prefix(prefixes: Sequence[str]) -> str:
    """Returns the most frequent prefix; relative ones that only some names have are part of their paths."""
    return Counter(prefixes).most_common(1)[0][0]


def _cover(choices: Sequence[set[str]], homes: set[str]) -> tuple[str, ...]:
    """Chooses few folders that hold an image of each name: at best the tables' own, then those with the most."""
    counts = Counter(folder for places in choices for folder in places)
    order = sorted(counts, key=lambda folder: (-counts[folder], folder not in homes, len(folder), folder))
    if homes and all(places & homes for places in choices):
        return tuple(sorted(homes))
    chosen: list[str] = []
    left = list(choices)
    while left and len(chosen) < _MOST_FOLDERS:
        best = max(order, key=lambda folder: sum(folder in places for places in left))
        chosen.append(best)
        left = [places for places in left if best not in places]
    return tuple(sorted(chosen))
