"""The project's own places inside a data set, and what a listing says of all that it left aside."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Mapping

from components.base.errors import ConfigError
from components.base.text import truncated_list
from components.data import storage
from components.data.storage import Aside
from components.ingest.layouts.listing import ENDINGS
from components.ingest.settings import Source


def places(source: Source) -> dict[str, str]:
    """Returns place -> key of what listings skip.

    `runs/pets` makes a folder `runs`, too, which the layout `folders` would take for a label. So there, a folder above
    such a place is skipped as a whole if no image lies elsewhere in it.
    """
    own = {place: key for key, place in source.skipped}
    if source.data.layout != "folders":
        return own
    return {_highest(place, source.data.root, own): key for place, key in own.items()}


def notes(left: Aside, own: Mapping[str, str], root: str) -> tuple[str, ...]:
    """Says what listings left aside, a sentence for each kind."""
    start, sentences = root.rstrip("/") + "/", []
    if left.met:
        names = (f"{place.removeprefix(start)} ({own[place]})" for place in sorted(left.met))
        sentences.append(f"left out of the data set, since they are the project's own: {', '.join(names)}")
    if left.hidden:
        names = (place.removeprefix(start) for place in sorted(left.hidden))
        many = "files or folders were" if len(left.hidden) > 1 else "file or folder was"
        sentences.append(
            f"{len(left.hidden):,} {many} left aside, hidden or of a file manager: {truncated_list(names)}"
        )
    return (*sentences, *left.notes)


def _highest(place: str, root: str, own: Collection[str]) -> str:
    start = root.rstrip("/") + "/"
    parts = place.removeprefix(start).split("/")
    above = (start + "/".join(parts[:count]) for count in range(1, len(parts)))
    return next((folder for folder in above if not _holds_images(folder, own)), place)


def _holds_images(folder: str, without: Iterable[str]) -> bool:
    with storage.watch(tuple(without)):
        try:
            return any(
                posixpath.splitext(file.path)[1].lower() in ENDINGS - {""}
                for file in storage.files(folder, "data.root")
            )
        except ConfigError:  # it is not there yet
            return False
