"""Sentences about a tree of label folders: what was left out, merged or guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from components.base.compact.packed import Packed
from components.base.text import truncated_list
from components.data.dataset import Paths, Record
from components.data.storage import File
from components.ingest.layouts.listing import ARRAYS
from components.ingest.layouts.paths import sidecars
from components.ingest.layouts.paths.folder_names import are_images_and_masks
from components.ingest.layouts.paths.levels import Levels
from components.ingest.layouts.paths.split_names import split_of


@dataclass(frozen=True)
class Found:
    """A tree as it was read.

    Attributes:
        top: folders at the top.
        levels: where the labels and splits are.
        label_of: path of a label folder -> label.
        records: the images.
        misplaced: paths of images outside the label folders.
        beside: files that are no images.
    """

    top: Sequence[str]
    levels: Levels
    label_of: Mapping[str, str]
    records: Packed[Record]
    misplaced: Sequence[str]
    beside: Sequence[File]


def sentences(found: Found) -> Iterator[str]:
    """Yields one sentence for each kind of thing, with a count and up to five examples."""
    yield from _label_notes(found)
    if found.levels.split is not None:
        yield from _split_notes(found)
    yield from _depth_notes(found)
    if found.misplaced:
        yield (
            f"{_count(len(found.misplaced), 'image')} outside the label folders left out: "
            f"{truncated_list(found.misplaced)}"
        )
    if found.beside:
        arrays = any(file.path.lower().endswith(ARRAYS) for file in found.beside)
        hint = "; arrays are read with data.bands" if arrays else ""
        yield (
            f"{_count(len(found.beside), 'file')} ignored, no images by their names "
            f"({sidecars.described(found.beside)}): {truncated_list(file.path for file in found.beside)}{hint}"
        )


def _label_notes(found: Found) -> Iterator[str]:
    levels = found.levels
    if levels.split is None and "train" in map(split_of, found.top):
        named = [name for name in found.top if split_of(name)]
        yield (
            f"{_count(len(named), 'folder')} named like a split taken as labels, because not all folders at the top "
            f"are named like splits: {truncated_list(named)}"
        )
    folders = Counter(found.label_of.values())
    if len(folders) == 2 and are_images_and_masks(folders):
        yield (
            f"the labels are called {truncated_list(map(repr, folders))}; if these are images and their masks, set "
            "task: segmentation and data.layout: masks"
        )
    used = {"/".join(path.split("/")[: levels.label + 1]) for path in Paths(found.records)}
    if empty := [folder for folder in found.label_of if folder not in used]:
        yield f"{_count(len(empty), 'label folder')} without images: {truncated_list(empty)}"
    if levels.label == 0 and (twice := [label for label, n in folders.items() if n > 1]):
        yield f"{_count(len(twice), 'label')} made of several folders: {truncated_list(twice)}"


def _depth_notes(found: Found) -> Iterator[str]:
    levels = found.levels
    depth = max(levels.label, -1 if levels.split is None else levels.split) + 2
    split = (path.split("/") for path in Paths(found.records))
    deep = Counter("/".join(parts[:depth]) for parts in split if len(parts) > depth)
    if deep:
        yield (
            f"{_count(deep.total(), 'image')} of {len(found.records):,} in sub-folders of the label folders, which are "
            f"not labels of their own: {truncated_list(sorted(deep))}"
        )


def _split_notes(found: Found) -> Iterator[str]:
    at = found.levels.split
    assert at is not None
    folders: dict[str, set[str]] = {}
    names = found.top if at == 0 else {path.split("/")[at] for path in Paths(found.records)}
    for name in names:
        folders.setdefault(split_of(name) or "", set()).add(name)
    for split, same in folders.items():
        if len(same) > 1:
            yield f"the folders {truncated_list(sorted(same))} are all the split {split}"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
