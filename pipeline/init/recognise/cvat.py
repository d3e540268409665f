"""Recognises CVAT's XML files for images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from components.ingest.layouts.paths.split_names import split_of
from pipeline.init.recognise import annotation_files
from pipeline.init.recognise.sight import Proposal, Sight

_ROOT = re.compile(rb"\s*(<\?xml[^>]*>)?\s*(<!--.*?-->\s*)*<annotations[\s>]", re.DOTALL)
_MOST_FILES = 20


def recognise(sight: Sight) -> Iterator[Proposal]:
    """Proposes tags as single labels, regions as masks, and both as labels."""
    paths = annotation_files.candidates(sight, ".xml")
    if len(paths) > _MOST_FILES:  # CVAT writes one file for all images, or one for each split
        return
    read = annotation_files.sample(sight, paths, annotation_files.MOST_WHOLE)
    read = [(path, data) for path, data in read if _ROOT.match(data) and b"<image " in data]
    files = _files([path for path, _ in read])
    if files is None:
        return
    chosen = set(files.values()) if isinstance(files, dict) else {files}
    content = b"".join(data for path, data in read if path in chosen)
    data: dict[str, Any] = {"annotations": files}
    images = annotation_files.common_folder(sight.images)
    data |= {"images": images} if images else {}
    yield from _proposals(content, data, ", ".join(sorted(chosen)))


def _files(paths: list[str]) -> str | dict[str, str] | None:
    """One file, or one for each split; the first where that is not clear; None where there is none."""
    splits = {split_of(path.rpartition("/")[2].rpartition(".")[0]): path for path in paths}
    if len(paths) > 1 and len(splits) == len(paths) and "train" in splits and None not in splits:
        return {split: splits[split] for split in ("train", "eval", "test") if split in splits}
    return min(paths, key=lambda path: (path.count("/"), path), default=None)


def _proposals(content: bytes, data: dict[str, Any], where: str) -> Iterator[Proposal]:
    tags, boxes = content.count(b"<tag "), content.count(b"<box ")
    areas = sum(content.count(b"<" + kind) for kind in (b"polygon ", b"mask ", b"ellipse "))
    several = any(image.count(b"<tag ") > 1 for image in content.split(b"<image "))
    reason = f"{where} is CVAT's, with {tags:,} tags, {boxes:,} boxes and {areas:,} polygons or masks"
    if areas:
        comments = {"labels.background": "the label of pixels outside all regions"}
        yield Proposal("cvat", ("segmentation",), reason, data, {"background": "background"}, comments)
    if tags and not several:
        yield Proposal("cvat", ("single_label", "multi_label"), reason, data)
    else:
        yield Proposal("cvat", ("multi_label",), reason, data)
