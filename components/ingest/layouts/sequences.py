"""Sequences whose moments are files of their own: in a folder each, or in a table with a row for each moment."""

from __future__ import annotations

import contextlib
import datetime
import math
import posixpath
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from components.data import images, storage
from components.data.arrays import check as arrays
from components.data.arrays import reading
from components.data.arrays.spec import Bands
from components.data.dataset import LayoutError
from components.data.storage import File, bundles
from components.ingest.layouts.paths.split_names import split_of
from components.ingest.layouts.rules import by_split
from components.ingest.layouts.table.rows import Row
from components.ingest.settings import Data

Moments = tuple[tuple[str, float | None], ...]  # path and time of each

_LOOKS = 8  # files that are opened to see whether each holds one moment
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_DAY = 86_400.0
_MOST_DAYS = 366_000.0


@contextlib.contextmanager
def bundled(data: Data, bands: Bands) -> Iterator[None]:
    """Within it, folders of moments are listed as one file each, if the files in them hold one moment each."""
    if not bands.frames or data.columns.sequence is not None:
        yield
        return
    files = {file.path: file for file in storage.files(data.root)}
    inside: dict[str, list[str]] = defaultdict(list)
    for path in sorted(filter(bundles.is_moment, files)):
        inside[posixpath.dirname(path)].append(path)
    folders = {
        folder
        for folder, paths in inside.items()
        if all(arrays.moment(path) is not None for path in paths) or _may_be_one(data, folder, paths, files)
    }
    # A photo that cannot be read says nothing, so a few files are asked.
    asked = [paths[0] for folder, paths in sorted(inside.items()) if folder in folders]
    asked += [path for folder in sorted(folders) for path in inside[folder][1:]]
    if any(_is_moment(data.root, files[path], bands, data.max_pixels) for path in asked[:_LOOKS]):
        with bundles.bundling(lambda root, folder, paths: folder in folders if root == data.root else False):
            yield
    else:
        yield


@contextlib.contextmanager
def bundled_of_any(bands: Bands, max_pixels: int) -> Iterator[None]:
    """The same for the folders that a model is asked about, whatever is below them."""

    def one(root: str, folder: str, paths: Sequence[str]) -> bool:
        if all(arrays.moment(path) is not None for path in paths):
            return True
        return any(_is_moment(root, File(path, 0, ""), bands, max_pixels) for path in paths[:_LOOKS])

    with bundles.bundling(one):
        yield


def _is_moment(root: str, file: File, bands: Bands, max_pixels: int) -> bool:
    if file.problem or file.size > images.max_file_bytes(max_pixels):
        return False
    try:
        return len(reading.read(storage.read(root, file.path), bands, max_pixels).pixels) == 1
    except (OSError, images.BadImage):
        return False


def _may_be_one(data: Data, folder: str, paths: Sequence[str], files: dict[str, File]) -> bool:
    """Whether a folder may be an example by its place, where the names of its files hold no dates."""
    parts = [part for part in folder.split("/") if part]
    if data.layout == "folders":  # below the folder of a label
        has_split = any(split_of(part) is not None for part in parts[:2])
        return len(parts) > 1 + has_split
    if data.layout == "manifest":
        return len(parts) > 0 and len(paths) > 1
    if data.layout != "masks" or data.images is None or isinstance(data.images, tuple) or data.masks is None:
        return False
    places, masks = (
        {posixpath.normpath(place) for place in by_split(given, "").values()} for given in (data.images, data.masks)
    )
    if any(_below(folder, place) is not None for place in masks):
        return False
    below = [rest for place in places if (rest := _below(folder, place))]
    # Images that lie in folders have masks in folders of the same names.
    partners = tuple(posixpath.normpath(f"{mask}/{rest}") + "/" for mask in masks for rest in below)
    return bool(below) and not any(path.startswith(partners) for path in files)


def _below(folder: str, place: str) -> str | None:
    """The path of a folder below a place: "" for the place itself; None if it is not below it."""
    if place == ".":
        return folder
    return folder.removeprefix(place).lstrip("/") if f"{folder}/".startswith(place + "/") else None


def when(cell: object, where: str) -> float:
    """The time in a cell: days, since 1970 for a date.

    >>> when("2017-01-03", "row 1"), when("1970-01-02T12:00Z", "row 1"), when(" 7.5 ", "row 1")
    (17169.0, 1.5, 7.5)

    Raises:
        LayoutError: it is neither a date nor a number.
    """
    text = str(cell).strip() if isinstance(cell, str | int | float) else ""
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if math.isfinite(days) and not (len(text) == 8 and text.isdecimal()):  # 20170103 is a date
        if abs(days) > _MOST_DAYS:
            raise LayoutError(
                f"{where}: {text[:40]} days are more than a thousand years; seconds since 1970 have to be divided by "
                "86,400"
            )
        return days
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise LayoutError(
            f"{where}: expected a date such as 2017-01-03 or 2017-01-03T10:00:08, or a number of days, got {cell!r}"
        ) from None
    found = found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
    return (found - _EPOCH).total_seconds() / _DAY


def joined(rows: Sequence[tuple[tuple[str, float | None], Row]]) -> tuple[list[Row], dict[str, Moments]]:
    """Makes one row of all rows of a sequence.

    Args:
        rows: (name of the sequence, time of the moment or None), and the row of its file.

    Returns:
        a row for each sequence, whose file stands for all of them, or all its rows if they do not agree in their labels
        and other values; and path -> (path, time) of each moment.
    """
    of_name: dict[str, list[tuple[float | None, Row]]] = defaultdict(list)
    for (name, time), row in rows:
        of_name[name].append((time, row))
    found: list[Row] = []
    moments: dict[str, Moments] = {}
    for name, parts in of_name.items():
        file = bundles.joined(name, [(row.file, time) for time, row in parts])
        first: dict[str, Row] = {}
        again = [row for _, row in parts if first.setdefault(row.file.path, row) is not row]
        wrong = next((row for _, row in parts if row.file.problem), None)
        if wrong is not None:
            file = replace(file, problem=f"{wrong.file.path} in {wrong.where} {wrong.file.problem}")
        elif again:
            other = first[again[0].file.path]
            file = replace(file, problem=f"{other.file.path} is a moment in {other.where} and in {again[0].where}")
        moments[file.path] = tuple((row.file.path, time) for time, row in parts)
        own = [replace(row, file=file) for _, row in parts]
        found += own[:1] if file.problem or all(row.content == own[0].content for row in own) else own
    return found, moments


def name_of(cell: object, where: str) -> str:
    """The name of a sequence in a cell; a path that leads nowhere else.

    Raises:
        LayoutError: it is none.
    """
    name = str(cell).strip() if isinstance(cell, str | int | float) and not isinstance(cell, bool) else ""
    parts = name.split("/")
    if not name or not name.isprintable() or "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise LayoutError(f"{where}: expected the name of a sequence, such as field_12, got {cell!r}")
    return name
