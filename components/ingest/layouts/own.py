"""The project's own places inside a data set, and what a listing says of all that it left aside."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from components.base.errors import ConfigError
from components.base.text import truncated_list
from components.data import storage
from components.data.dataset import Dataset
from components.data.storage import Aside
from components.ingest.layouts.listing import endings
from components.ingest.settings import Source

_POOL = "data.unlabelled"


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
    for reason, places in (
        ("they are the project's own", [place for place in sorted(left.met) if own[place] != _POOL]),
        ("its images are those without labels", [place for place in sorted(left.met) if own[place] == _POOL]),
    ):
        if places:
            names = (f"{place.removeprefix(start)} ({own[place]})" for place in places)
            sentences.append(f"left out of the data set, since {reason}: {', '.join(names)}")
    if left.hidden:
        names = (place.removeprefix(start) for place in sorted(left.hidden))
        many = "files or folders were" if len(left.hidden) > 1 else "file or folder was"
        sentences.append(
            f"{len(left.hidden):,} {many} left aside, hidden or of a file manager: {truncated_list(names)}"
        )
    return (*sentences, *left.notes)


def without_pool(dataset: Dataset, source: Source) -> Dataset:
    """Tells the files among the images without labels from those that nothing is known of.

    A table may name some images of that folder, with their labels; so it cannot be skipped.
    """
    start, masks = f"{source.data.root.rstrip('/')}/", source.data.masks
    # Masks are no images without labels, wherever they lie.
    others = tuple(f"{start}{name}/" for name in ([masks] if isinstance(masks, str) else (masks or {}).values()))
    found = [
        path
        for path in dataset.ignored
        if f"{start}{path}".startswith(tuple(f"{place.rstrip('/')}/" for place in source.pool))
        and not f"{start}{path}".startswith(others)
    ]
    if not found:
        return dataset
    files = f"{len(found):,} file{'s' if len(found) > 1 else ''}"
    places = " or ".join(f"{place}/".removeprefix(start).rstrip("/") or "data.root" for place in source.pool)
    note = f"left out of the data set, since they are among the images without labels: {files} below {places} ({_POOL})"
    rest = set(dataset.ignored) - set(found)
    return replace(dataset, ignored=tuple(sorted(rest)), notes=(*dataset.notes, note))


def _highest(place: str, root: str, own: Collection[str]) -> str:
    start = root.rstrip("/") + "/"
    parts = place.removeprefix(start).split("/")
    above = (start + "/".join(parts[:count]) for count in range(1, len(parts)))
    return next((folder for folder in above if not _holds_images(folder, own)), place)


def _holds_images(folder: str, without: Iterable[str]) -> bool:
    with storage.watch(tuple(without)):
        try:
            return any(
                posixpath.splitext(file.path)[1].lower() in endings() - {""}
                for file in storage.files(folder, "data.root")
            )
        except ConfigError:  # it is not there yet
            return False
