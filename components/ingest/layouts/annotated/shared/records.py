"""Images with the annotations of a tool -> a data set, by the same rules for every format.

The labels are those that images have; labels that a format only declares are left out and counted. For an image with
one label, that is the label; with several, it is rejected. Regions are drawn in the order that the format defines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from components.base.errors import ConfigError
from components.base.text import truncated_list
from components.data import regions
from components.data.dataset import Dataset, LayoutError, Record, label_name
from components.ingest.layouts.annotated.shared.entries import Entry, Found, Wanted
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import ordered_labels, resolved_split, shares

_UNLABELLED = "[image is|images are] not annotated, so that [its|their] labels are unknown"
_LEFT_OUT = "[image is|images are] not annotated and [was|were] left out"
_DECLARED = "declared [label is in no image and was|labels are in no image and were] left out"


def dataset(
    listing: Listing,
    found: Found,
    wanted: Wanted,
    split: Mapping[str, float],
    names: Sequence[str] | None = None,
    *,
    ignore: str = "",
    background: str = "",
) -> Dataset:
    """Makes the data set.

    Args:
        listing: listing of the data set.
        found: what the format's module found.
        wanted: what the task asks of annotations.
        split: shares of train, eval and test; see `rules.shares`.
        names: the labels in output order, or None: those that images have, sorted.
        ignore: for segmentation, a label whose regions are ignored.
        background: for segmentation, the label of pixels outside all regions.

    Returns:
        the data set, whose `labels` leave out the ignored one; for segmentation, `Record.regions` is set.

    Raises:
        ConfigError: a setting names a label that is not there.
        LayoutError: there is no image, or no label.
    """
    if not found.entries:
        raise LayoutError(f"{found.key}: names no image; expected annotations of images")
    _spell(found)
    labels = _labels(found, names, ignore, background)
    fractions = shares(split, found.splits)
    places: dict[str, list[str]] = defaultdict(list)  # path -> all entries that name the file
    for entry in found.entries:
        places[entry.file.path].append(entry.where)
    records: list[Record] = []
    rejected: list[tuple[str, str]] = []
    left_out: set[str] = set()
    for entry in found.entries:
        problem = entry.file.problem or entry.problem or _named_twice(entry.where, places[entry.file.path])
        problem = problem or _too_many(entry, wanted)
        if problem:
            rejected.append((entry.file.path, f"{entry.where}: {problem}"))
        elif entry.labels is None and wanted.per_pixel:
            found.note(_LEFT_OUT, entry.file.path)
            left_out.add(entry.file.path)
        else:
            records.append(_record(entry, wanted, labels, fractions, found))
    used = {*places, *found.used} - left_out
    return Dataset(
        root=listing.root,
        labels=labels,
        records=tuple(sorted(records, key=lambda r: r.path)),
        fractions=fractions,
        rejected=tuple(sorted(rejected)),
        ignored=tuple(sorted({path for path in listing.files if path.startswith(tuple(found.folders))} - used)),
        contradictory=tuple(
            sorted((e.file.path, f"{e.where}: {e.problem}") for e in found.entries if e.contradictory and e.problem)
        ),
        notes=found.notes(),
    )


def _spell(found: Found) -> None:
    """Trims and composes all names, as in every layout."""
    spelt = {raw: label_name(raw, entry.where) for entry in found.entries for raw in entry.labels or ()}
    found.entries = [
        replace(
            entry,
            labels=None if entry.labels is None else frozenset(spelt[raw] for raw in entry.labels),
            regions=tuple((spelt[raw], region) for raw, region in entry.regions),
        )
        for entry in found.entries
    ]
    found.declared = {label_name(raw, found.key) for raw in found.declared}


def _labels(found: Found, names: Sequence[str] | None, ignore: str, background: str) -> tuple[str, ...]:
    """Chooses the labels and puts them in output order."""
    present = {label: entry.where for entry in reversed(found.entries) for label in entry.labels or ()}
    known_labels = {*present, *found.declared}
    if ignore and ignore not in known_labels:
        known = truncated_list(repr(label) for label in sorted(known_labels))
        raise ConfigError(f"labels.ignore: {ignore!r} is not among the labels; there are {known}")
    labels = {label: present.get(label, found.key) for label in {*present, background} - {ignore, ""}}
    if not labels:
        raise LayoutError(f"{found.key}: no image has a label; expected at least one annotation")
    if names is None:
        for label in sorted(found.declared - set(labels) - {ignore}):
            found.note(_DECLARED, label)
    return ordered_labels(labels, None if names is None else [name for name in names if name != ignore], found.key)


def _named_twice(where: str, same: Sequence[str]) -> str:
    """Explains why an image cannot be used if all entries in `same` name its file; or returns ""."""
    others = [other for other in same[:5] if other != where] or [where]
    return f"the same file is also named by {', '.join(others)}; remove all but one" if len(same) > 1 else ""


def _too_many(entry: Entry, wanted: Wanted) -> str:
    """Explains why an image has too many labels; or returns ""."""
    if not wanted.one_label or len(entry.labels or ()) < 2:
        return ""
    shown = truncated_list(repr(label) for label in sorted(entry.labels or ()))
    return f"has the labels {shown}; this task needs one for each image, and task multi_label takes several"


def _record(
    entry: Entry, wanted: Wanted, labels: Sequence[str], fractions: Mapping[str, float], found: Found
) -> Record:
    present = entry.labels or frozenset()
    unknown = entry.labels is None or (wanted.one_label and not present)
    if unknown:
        found.note(_UNLABELLED, entry.file.path)
    return Record(
        path=entry.file.path,
        labels=() if wanted.per_pixel else tuple(label for label in labels if label in present),
        split=resolved_split(entry.split, fractions),
        size=entry.file.size,
        version=entry.file.version,
        unknown=tuple(labels) if unknown and not wanted.per_pixel else (),
        regions=regions.dump(entry.size, entry.regions) if wanted.per_pixel else "",
    )
