"""The table of the images to label next, which layout `manifest` reads once somebody has filled in the labels."""

from __future__ import annotations

import csv
import fnmatch
import io
import os
import posixpath
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.base.text import plain_cell
from components.data import storage
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.table import content
from components.ingest.layouts.table.lookup import Lookup
from components.ingest.layouts.table.paths import paths_of
from components.ingest.layouts.table.roles import default_columns
from components.ingest.settings import Columns
from pipeline.config import places

if TYPE_CHECKING:
    from pipeline.config import Config


@dataclass(frozen=True)
class Form:
    """The columns of the table, and how it is used.

    Attributes:
        image: the column of file names.
        labels: the columns to fill in.
        others: further columns that the configuration names, with what stands in each row.
        before: the beginning of each file name, before the path below `data.unlabelled`.
        is_url: whether file names are parts of URLs.
        advice: what to do with the table, in one line.
    """

    image: str
    labels: tuple[str, ...]
    others: tuple[tuple[str, str], ...]
    before: str
    is_url: bool
    advice: str

    def name(self, path: str) -> str:
        """The file name of an image."""
        name = self.before + (urllib.parse.quote(path) if self.is_url else path)
        return plain_cell(name, "./")

    def table(self, rows: Iterable[tuple[str, str, float]]) -> str:
        """Writes the table as CSV.

        Args:
            rows: (path below `data.unlabelled`, guess, uncertainty).
        """
        out = io.StringIO(newline="")
        # With lines that end in "\n", csv would not quote a name that holds "\r", where spreadsheets begin a new row.
        writer = csv.writer(out)
        header = [self.image, *self.labels, *(column for column, _ in self.others)]
        writer.writerow([*header, *(_free(name, header) for name in ("guess", "uncertainty"))])
        for path, guess, unsure in rows:
            told = [value for _, value in self.others]
            cells = [self.name(path), *("" for _ in self.labels), *told, plain_cell(guess, "label ")]
            writer.writerow([*cells, f"{unsure:.4f}"])
        return out.getvalue()


def form(config: Config, pool: str, output: str) -> Form:
    """Decides the form of the table.

    Where the configuration's own table looks for its images in a folder that contains `data.unlabelled`, the new table
    can stand beside it; otherwise, it is the table of a data set of its own.

    Args:
        config: the settings.
        pool: `data.unlabelled`, absolute.
        output: where the table is written.

    Raises:
        LayoutError: the configuration's table cannot be used.
    """
    data, file = config.data, os.path.basename(output)
    if config.kind.per_pixel:
        advice = "next: draw the masks of these images, and add the images with their masks to the data set"
        return Form("file_name", (), (), "", False, advice)
    place = _within(config, pool)
    if place is None:
        columns = data.columns if data.layout == "manifest" else Columns()
        where = f"move {file} to {pool}"
        root = data.unlabelled
        if storage.in_archive(pool):
            where, root = f"unpack {pool} and move {file} into the folder that you get", "THAT FOLDER"
        also = [f"data.{key}" for key in ("images", "prefix") if getattr(data, key)]
        without = f", without {' and '.join(also)}" if also else ""
        lines = f"data.root: {_flow(root)}, data.layout: manifest, data.manifest: {_flow(file)}{without}"
        other = ", or move each image to the folder of its label instead" if data.layout == "folders" else ""
        return _form(config, columns, "", False, f"{where}, and write {lines}{other}")
    folder, below = place
    columns = _columns_of_table(config)
    path = places.below(output, config.data_root)
    if path is None or (data.images is None and posixpath.dirname(path) != folder):
        path = posixpath.join("" if data.images is not None else folder, file)
        where = f"move {file} to {posixpath.join(config.data_root, posixpath.dirname(path)).rstrip('/')}, and "
    else:
        where = ""
    prefix, is_url = data.prefix, storage.is_url(data.prefix)
    start = f"{below}/" if below else ""
    before = (prefix if not prefix or prefix.endswith("/") else f"{prefix}/") + (
        urllib.parse.quote(start) if is_url else start
    )
    lines = f"data.root: {_flow(data.root)}, data.manifest: {_flow(_with(data.manifest, path))}"
    return _form(config, columns, before, is_url, f"{where}write {lines}")


def _form(config: Config, columns: Columns, before: str, is_url: bool, advice: str) -> Form:
    labels = tuple(columns.label_of) or (columns.labels if isinstance(columns.labels, str) else "label",)
    kept = {columns.image, *labels}
    told = {columns.weight: "1", columns.applies: "1", columns.split: "", columns.group: ""}
    told |= {column: told.get(column, "") for column in columns.slices}
    others = tuple((column, value) for column, value in told.items() if column is not None and column not in kept)
    fill = f"fill in the column {labels[0]}" if len(labels) == 1 else f"fill in the columns {', '.join(labels)}"
    fill += " with 1 or 0" if columns.label_of else ""
    # There, an empty cell means that no label applies.
    drop = not config.kind.exclusive and not columns.label_of and config.labels.empty == "none"
    fill += ", delete the rows that you leave empty" if drop else ""
    return Form(columns.image, labels, others, before, is_url, f"next: {fill}, {advice}")


def _within(config: Config, pool: str) -> tuple[str, str] | None:
    """Returns the folder below `data.root` in which the table's file names start, and the part of `pool` below it.

    None if the configuration has no table, or looks for its images elsewhere.
    """
    data = config.data
    if data.layout != "manifest" or storage.in_archive(pool) or storage.in_archive(config.data_root):
        return None
    if data.images is None:
        folders: tuple[str, ...] = (posixpath.dirname(_tables(config)[1]),)
    else:
        folders = (data.images,) if isinstance(data.images, str) else tuple(data.images)
    for folder in folders:
        below = places.below(pool, posixpath.join(config.data_root, folder))
        if below is not None:
            return folder, below
    return None


def _tables(config: Config) -> tuple[Listing, str]:
    """The files of the data set, and the first table among them."""
    assert config.data.manifest is not None
    listing = Listing(config.data_root)
    return listing, paths_of(config.data.manifest, listing)[0][1]


def _columns_of_table(config: Config) -> Columns:
    """The columns of the first table, whose names hold for all: those that are not configured are guessed from it."""
    data = config.data
    listing, path = _tables(config)
    folders = [posixpath.dirname(path)] if data.images is None else data.images
    folders = [folders] if isinstance(folders, str) else list(folders)
    lookup = Lookup(listing, [listing.folder(place, "data.images") for place in folders], data.prefix)
    return default_columns(content.read(listing, path, lookup.is_file), data.columns, lookup.is_file)[0]


def _with(manifest: object, path: str) -> object:
    """The setting `data.manifest` with one more table, which is for training where each split has its own."""
    if isinstance(manifest, dict):
        old = manifest.get("train")
        return manifest | {"train": path if old is None else _with(old, path)}
    tables = [manifest] if isinstance(manifest, str) else [str(table) for table in manifest]  # type: ignore[attr-defined]
    fits = any(t.count("/") == path.count("/") and fnmatch.fnmatchcase(path, t) for t in tables)
    return manifest if fits else [*tables, path]


def _flow(value: object) -> str:
    """Writes a setting as YAML on one line."""
    import yaml

    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in value.items()} if isinstance(value, dict) else value
    plain = list(plain) if isinstance(plain, tuple) else plain
    # In a list, because a text on its own ends with the mark of a document.
    text = yaml.safe_dump([plain], default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
    return str(text).strip()[1:-1]


def _free(name: str, taken: Iterable[str]) -> str:
    while name in taken:
        name += "_"
    return name
