"""Remarks on a data set that no layout fits, where the reason can be seen."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from components.base.text import truncated_list
from pipeline.init.recognise.sight import Sight

_TABLES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".xml", ".parquet", ".arrow", ".xls", ".xlsx", ".mat")
# Texts that people keep beside images and that say nothing of single images, in lower case.
_PROSE = ("readme", "license", "licence", "notes", "requirements", "changelog", "citation", "attribution", "credits")
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
_NEAR = 2  # folders above a table or annotation file


def remarks(sight: Sight) -> Iterator[str]:
    """Yields sentences on what keeps a data set from being read."""
    archives = [path for path in sight.files if path.lower().endswith(_ARCHIVES)]
    if archives and not sight.images:
        one = f"{sight.root.rstrip('/')}/{archives[0]}"
        yield (
            f"The images may be in the archives: {truncated_list(archives)}. An archive that holds a whole data set is "
            f"read as it is: `imagegate init {one}`. If each archive holds a part or a label, unpack each into a "
            "folder of its name"
        )
    folders = {path.rpartition("/")[0] for path in sight.images}
    if len(folders) == 1 and "" not in folders and (beside := tables(sight)):
        yield (
            f"All images are in the folder {folders.pop()}, so it is no label, and beside it is "
            f"{truncated_list(beside)}, from which no labels could be read"
        )


def tables(sight: Sight) -> list[str]:
    """Files near the top that may say something of the images: tables and annotations."""
    return [
        path
        for path in sight.ending(*_TABLES)
        if path.count("/") <= _NEAR and not posixpath.basename(path).lower().startswith(_PROSE)
    ]
