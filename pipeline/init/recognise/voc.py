"""Recognises Pascal VOC's XML files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from components.ingest.layouts.paths.split_names import split_of
from pipeline.init.recognise import annotation_files
from pipeline.init.recognise.sight import Proposal, Sight

_ROOT = re.compile(rb"\s*(<\?xml[^>]*>)?\s*(<!--.*?-->\s*)*<annotation[\s>]", re.DOTALL)


def recognise(sight: Sight) -> Iterator[Proposal]:
    """Proposes the objects' names as labels; masks beside them are of the layout `masks`."""
    if sight.start:
        return
    documents = sight.ending(".xml")
    read = annotation_files.sample(sight, documents)
    if not read or not all(_ROOT.match(data) for _, data in read) or not any(b"<object" in data for _, data in read):
        return
    stems = {posixpath.splitext(path)[0] for path in documents}
    beside = [path for path in sight.images if posixpath.splitext(path)[0] in stems]
    folder = annotation_files.common_folder(documents)
    data: dict[str, Any] = {"annotations": folder or "."}
    comments = {"data.annotations": f"holds {len(documents):,} XML files"}
    if beside:
        splits = annotation_files.split_folders(beside)
        data |= {"images": splits} if splits else {}
    else:
        data |= _images(sight, folder)
        lists = _lists(sight, posixpath.dirname(folder))
        data |= {"lists": lists} if lists else {}
        comments |= {"data.lists": "the splits of the data set"} if lists else {}
    reason = f"{len(documents):,} XML files list the objects of images"
    yield Proposal("voc", ("multi_label",), reason, data, comments=comments)


def _images(sight: Sight, folder: str) -> dict[str, str]:
    """The folder beside the XML files that holds images of the same names."""
    names = {posixpath.splitext(posixpath.basename(path))[0] for path in sight.ending(".xml")}
    fitting = [path for path in sight.images if posixpath.splitext(posixpath.basename(path))[0] in names]
    # Masks have the names of their images, too; the folder that VOC calls JPEGImages comes first.
    named = [path for path in fitting if f"/{path}".count("/JPEGImages/")]
    masks = re.compile(r"segmentation|mask", re.IGNORECASE)
    images = annotation_files.common_folder(named or [path for path in fitting if not masks.search(path)])
    return {"images": images} if images else {}


def _lists(sight: Sight, root: str) -> dict[str, str]:
    """The lists of all images of a split: ImageSets/Main/train.txt and so on."""
    prefix = posixpath.join(root, "ImageSets", "Main", "")
    found: dict[str, str] = {}
    for path in sight.ending(".txt"):
        stem = posixpath.splitext(path)[0]
        split = split_of(stem[len(prefix) :]) if path.startswith(prefix) and sight.files[path].size else None
        if split is not None:
            found.setdefault(split, path)
    return {split: found[split] for split in ("train", "eval", "test") if split in found} if "train" in found else {}
