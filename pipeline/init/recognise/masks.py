"""Recognises images with masks: folders that pair by the names of their files, and the values in a sample of masks."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from components.base.text import truncated_list
from components.ingest.layouts.paths.image_lists import Names
from components.ingest.layouts.paths.split_names import split_of
from pipeline.init.recognise.masked import class_names, known, meaning, places, twins, values
from pipeline.init.recognise.masked.class_names import ClassNames
from pipeline.init.recognise.masked.places import Pairing
from pipeline.init.recognise.sight import Proposal, Sight

_MOST_WAYS = 3  # ways to pair whose masks are opened
_MOST_LISTS = 40  # text files that are read
_MOST_LIST_BYTES = 1 << 23
_LISTED = 0.9  # share of a list's lines that must name an image with a mask


def recognise(sight: Sight) -> Iterator[Proposal]:
    """Proposes the layout `masks` where the files of two folders, or two kinds of files in one, pair by their names."""
    if sight.start:
        return
    ways = [pairing for pairing, _ in zip(places.find(sight), range(_MOST_WAYS), strict=False)]
    files = list(class_names.find(sight)) if ways else []
    for pairing in ways:
        found = values.read(sight, pairing.paths, values.SECONDS / len(ways))
        labels = None if found is None else meaning.labels(found, [*_known(pairing), *files])
        if labels is not None:
            yield _proposal(sight, pairing, labels)
    for pairing, found in () if ways else twins.find(sight):
        if (labels := meaning.labels(found, list(class_names.find(sight)))) is not None:
            yield _proposal(sight, pairing, labels)


def _known(pairing: Pairing) -> Iterator[ClassNames]:
    """Yields the names of data sets whose file names give them away."""
    for suffix, names in known.CITYSCAPES.items():
        if pairing.suffixes.mask.endswith(suffix):
            yield ClassNames("the names of Cityscapes", list(names), ids=names)


def _proposal(sight: Sight, pairing: Pairing, labels: meaning.Meaning) -> Proposal:
    data: dict[str, Any] = {"images": pairing.images, "masks": pairing.masks}
    if pairing.suffixes.image:
        data["image_suffix"] = pairing.suffixes.image
    if pairing.suffixes.mask:
        data["mask_suffix"] = pairing.suffixes.mask
    notes = list(labels.notes)
    if pairing.others:
        notes.append(f"folders named like masks that are not used: {truncated_list(pairing.others)}")
    comments = dict(labels.comments)
    if isinstance(pairing.images, str) and (lists := _lists(sight, pairing)):
        data["lists"] = lists
        comments["data.lists"] = "these images have masks; the others are not used"
    return Proposal(
        "masks",
        ("segmentation",),
        f"{len(pairing.paths):,} images in {_shown(pairing.images)} have masks in {_shown(pairing.masks)}",
        data,
        labels.labels,
        comments,
        notes=notes,
    )


def _shown(folders: str | Mapping[str, str]) -> str:
    return folders if isinstance(folders, str) else ", ".join(folders.values())


def _lists(sight: Sight, pairing: Pairing) -> dict[str, str]:
    """Finds text files, named like splits, that list images with masks; those of one folder, the most lines first."""
    names = Names(pairing.keys, pairing.suffixes.image, pairing.suffixes.mask)
    found: dict[str, dict[str, tuple[int, str]]] = {}
    texts = [path for path in sight.ending(".txt", ".lst") if split_of(posixpath.splitext(posixpath.basename(path))[0])]
    for path in sorted(texts, key=lambda path: ("seg" not in path.lower(), path))[:_MOST_LISTS]:
        if (lines := _images_in(sight, path, names)) > 0:
            split = split_of(posixpath.splitext(posixpath.basename(path))[0]) or ""
            folder = found.setdefault(posixpath.dirname(path), {})
            folder[split] = max(folder.get(split, (0, "")), (lines, path))
    whole = [lists for lists in found.values() if "train" in lists]
    best = max(whole, key=lambda lists: sum(lines for lines, _ in lists.values()), default={})
    order = ("train", "eval", "test")
    return {split: best[split][1] for split in order if split in best}


def _images_in(sight: Sight, path: str, names: Names) -> int:
    """Number of lines that name an image with a mask, or 0 if many do not."""
    if sight.files[path].size > _MOST_LIST_BYTES:
        return 0
    try:
        lines = [line.split()[0] for line in sight.read(path).decode("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        return 0
    found = sum(names.find(line) is not None for line in lines)
    return found if found >= _LISTED * len(lines) else 0
