"""Recognises one folder per label: at the top, below split folders, above them, or inside a folder around all."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence

from components.base.text import truncated_list
from components.data.dataset import LayoutError
from components.ingest.layouts.paths.folder_names import are_images_and_masks, is_image_word
from components.ingest.layouts.paths.levels import Levels, decide
from components.ingest.layouts.paths.split_names import split_of
from pipeline.init.recognise.remarks import tables
from pipeline.init.recognise.sight import Proposal, Sight

Paths = list[list[str]]


def recognise(sight: Sight) -> Iterator[Proposal]:
    """Proposes the layout `folders` where images lie in folders.

    If the folders of two levels may be the labels, because the same names are below all upper ones, the level with more
    names is preferred, of equally many the upper one.
    """
    paths = [] if sight.start else [path.split("/") for path in sight.images]
    if not any(len(parts) > 1 for parts in paths):
        return
    below, paths = _unwrapped(paths)
    top = sorted({parts[0] for parts in paths if len(parts) > 1})
    try:
        levels = decide(sight.root, top, paths, None)
    except LayoutError:
        proposals = list(_of_two_levels(sight, paths, below))
        # Where neither level fits, reading the folders says what is wrong.
        yield from proposals or [
            Proposal("folders", ("single_label",), "images lie in folders", below=below, last=True)
        ]
        return
    names = _names(paths, levels.label)
    parts = len(names) == 1 or all(map(is_image_word, names))
    # A folder of images beside a table or annotations is no label.
    if names and not (parts and tables(sight)):
        yield Proposal("folders", ("single_label",), _reason(paths, levels, below), below=below, last=parts)


def _unwrapped(paths: Paths) -> tuple[str, Paths]:
    """Goes down while one folder holds everything and only folders; returns its path and what is inside."""
    around: list[str] = []
    inside = paths
    while True:
        top = {parts[0] for parts in inside}
        if len(top) != 1 or min(map(len, inside)) < 3 or split_of(next(iter(top))) == "train":
            return "/".join(around), inside
        around += top
        inside = [parts[1:] for parts in inside]


def _of_two_levels(sight: Sight, paths: Paths, below: str) -> Iterator[Proposal]:
    """Proposes both levels of folders as labels, by naming them, as far as they can be read so."""
    levels = [_names(paths, level) for level in range(3)]
    for names in sorted(levels, key=len, reverse=True):
        try:
            found = decide(sight.root, levels[0], paths, names)
        except LayoutError:
            continue
        plain = all(map(split_of, names)) or are_images_and_masks(names)
        if names and names == _names(paths, found.label) and not plain:
            yield Proposal(
                "folders",
                ("single_label",),
                _reason(paths, found, below),
                labels={"names": names},
                comments={"labels.names": "the labels are the folders of these names, on whichever level they are"},
                below=below,
            )


def _names(paths: Paths, level: int) -> list[str]:
    return sorted({parts[level] for parts in paths if len(parts) > level + 1})


def _reason(paths: Paths, levels: Levels, below: str) -> str:
    names = _names(paths, levels.label)
    where = f" in {posixpath.normpath(below)}" if below else ""
    folders = f"{len(names):,} folders of images{where} look like labels"
    if len(names) == 1:
        folders = f"one folder of images{where} looks like a label"
    reason = f"{folders}: {truncated_list(names)}"
    if len(names) == 1:
        reason += " (a classifier needs at least two labels; a model of one label, which detects images unlike it, "
        reason += "needs a pretrained backbone)"
    return f"{reason}; {_splits(paths, levels)}" if levels.split is not None else reason


def _splits(paths: Paths, levels: Levels) -> str:
    assert levels.split is not None
    names: Sequence[str] = _names(paths, levels.split)
    where = "above" if levels.split < levels.label else "below"
    return f"the folders {where} them look like splits: {truncated_list(names)}"
