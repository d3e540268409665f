"""The layout `yolo`: images with one text file each, as Ultralytics reads them.

Our own reader rather than the `ultralytics` package: that one has a licence that spreads (AGPL), follows `download:`
and paths outside the data set, and drops what it cannot read.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Container
from dataclasses import replace

from components.base.errors import ConfigError
from components.data.dataset import LayoutError
from components.data.storage import File
from components.ingest.layouts.annotated import yolo_data, yolo_lines, yolo_places
from components.ingest.layouts.annotated.shared import files
from components.ingest.layouts.annotated.shared.entries import Entry, Found, Malformed, Wanted
from components.ingest.layouts.annotated.yolo_data import Described
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.rules import by_split
from components.ingest.settings import Data

_WITHOUT_FILE = "[image has|images have] no label file, so that none of the labels applies, as in Ultralytics"
_WITHOUT_IMAGE = "label file[ has|s have] no image and [was|were] left out"
_SPLIT_WITHOUT_FILE = "[image is|images are] of a split in which no image has a label file, and [was|were] left out"
_NOT_LABELS = ("classes.txt", "obj.names", "train.txt", "val.txt", "test.txt")


def read(listing: Listing, data: Data, wanted: Wanted) -> Found:
    """Lists the images that `data.annotations` or `data.images` name, and reads the label file of each.

    The label file of `…/images/…/x.jpg` is `…/labels/…/x.txt`, where the last `images` in the path counts; where there
    is none, it is the file `x.txt` beside the image.

    Raises:
        ConfigError: there is no such file, or settings contradict each other.
        LayoutError: `data.yaml` cannot be used, or no image has a label file.
    """
    assert isinstance(data.annotations, str)
    described = yolo_data.load(listing, data.annotations)
    found = Found(declared=set(described.names.values()), used={described.path})
    sides = _labelled(listing, _sides(listing, data, described, found), found)
    found.splits = set(sides)
    splits_of: dict[str, list[str]] = defaultdict(list)
    for split, members in sides.items():
        for file in members:
            splits_of[file.path].append(str(split))
    for split, members in sides.items():
        for file in members:
            entry = _entry(listing, file, split, described, wanted, found)
            if len(set(splits_of[file.path])) > 1:
                named = " and ".join(splits_of[file.path])
                entry = replace(entry, problem=f"is in the splits {named}; remove it from all but one")
            found.entries.append(entry)
    _refuse_boxes(found, wanted)
    _count_orphans(listing, found)
    return found


def label_path(paths: Container[str], path: str) -> str | None:
    """Finds the path of an image's label file among `paths`; None if there is none."""
    both = (_expected(path), f"{posixpath.splitext(path)[0]}.txt")
    return next((candidate for candidate in both if candidate in paths), None)


def _expected(path: str) -> str:
    """
    >>> _expected("images/images/a.b.jpg"), _expected("a.jpg")
    ('images/labels/a.b.txt', 'a.txt')
    """
    before, images, after = f"/{path}".rpartition("/images/")
    return posixpath.splitext((f"{before}/labels/{after}" if images else path).lstrip("/"))[0] + ".txt"


def _labelled(listing: Listing, sides: dict[str | None, list[File]], found: Found) -> dict[str | None, list[File]]:
    """Leaves out splits whose images have no label file at all: those were not annotated, rather than empty.

    Raises:
        LayoutError: that is so for all of train.
    """
    kept = {}
    for split, members in sides.items():
        if any(label_path(listing.files, file.path) for file in members):
            kept[split] = members
        elif split in (None, "train"):
            raise LayoutError(
                f"data.annotations: none of the {len(members):,} images to train on has a label file; expected for "
                f"example {_expected(members[0].path)} for {members[0].path}"
                if members
                else "data.annotations: there is no image to train on where it says; check its paths"
            )
        for file in members if split not in kept else ():
            found.note(_SPLIT_WITHOUT_FILE, file.path)
    return kept


def _entry(
    listing: Listing, file: File, split: str | None, described: Described, wanted: Wanted, found: Found
) -> Entry:
    path = label_path(listing.files, file.path)
    if path is None:
        if not file.problem:
            found.note(_WITHOUT_FILE, file.path)
        return Entry(described.path, file, split)
    found.used.add(path)
    text_file = listing.files[path]
    try:
        text = files.text(listing, text_file)
        objects = yolo_lines.parse(text, text_file.path, described.names, described.keypoints)
        regions = yolo_lines.regions(objects) if wanted.per_pixel else ()
    except Malformed as error:
        return Entry(text_file.path, file, split, problem=str(error))
    return Entry(text_file.path, file, split, frozenset(o.label for o in objects), regions=regions)


def _count_orphans(listing: Listing, found: Found) -> None:
    """Counts label files without an image, in the folders that hold label files."""
    folders = {posixpath.dirname(path) for path in found.used if path.endswith(".txt")}
    for path in listing.files:
        folder, name = posixpath.split(path)
        if name.endswith(".txt") and folder in folders and path not in found.used and name not in _NOT_LABELS:
            found.note(_WITHOUT_IMAGE, path)


def _refuse_boxes(found: Found, wanted: Wanted) -> None:
    """Raises LayoutError if segmentation is asked of a data set that has boxes only."""
    problems = [entry.problem for entry in found.entries if "is a box" in entry.problem]
    if wanted.per_pixel and problems and not any(entry.regions for entry in found.entries):
        raise LayoutError(
            f"{problems[0]}; task segmentation needs polygons. Task multi_label takes the labels of the boxes"
        )


def _sides(listing: Listing, data: Data, described: Described, found: Found) -> dict[str | None, list[File]]:
    """The images of each split; the split is None if the data set does not name splits."""
    if data.images is None and described.places:
        return yolo_places.images(listing, described, found)
    if data.images is None and described.path.lower().endswith((".yaml", ".yml")):
        raise ConfigError(f"data.images: {described.path} names no images; set the folder of the images")
    return {
        split: list(yolo_places.below(listing, listing.folder(folder, "data.images"), found))
        for split, folder in by_split(data.images or "", "data.images").items()
    }
