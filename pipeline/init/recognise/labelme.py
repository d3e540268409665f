"""Recognises LabelMe's JSON files."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any

from components.base.values import parsed_json
from pipeline.init.recognise import annotation_files
from pipeline.init.recognise.sight import Proposal, Sight

_AREAS = ("polygon", "circle", "mask", "rotation")


def recognise(sight: Sight) -> Iterator[Proposal]:
    """Proposes regions where shapes have an area, and the shapes' or flags' names as labels."""
    if sight.start:
        return
    read = annotation_files.sample(sight, sight.ending(".json"))
    contents = [content for path, data in read if (content := _content(data)) is not None]
    if not contents or len(contents) * 2 < len(read):
        return
    data = _data(sight)
    kinds = {str(shape.get("shape_type") or "polygon") for content in contents for shape in content["shapes"]}
    count = len(sight.ending(".json"))
    reason = f"{count:,} JSON files hold shapes of LabelMe"
    if kinds & {*_AREAS} and not kinds & {"rectangle"}:
        comments = {"labels.background": "the label of pixels outside all shapes"}
        yield Proposal("labelme", ("segmentation",), reason, data, {"background": "background"}, comments)
    if kinds:
        yield Proposal("labelme", ("multi_label",), reason, data)
        return
    flags = [sum(on is True for on in (content.get("flags") or {}).values()) for content in contents]
    if any(flags):
        tasks = ("single_label", "multi_label") if max(flags) == 1 else ("multi_label",)
        yield Proposal("labelme", tasks, f"{count:,} JSON files of LabelMe hold flags", data)


def _content(data: bytes) -> dict[str, Any] | None:
    """The content of a file of LabelMe, or None."""
    try:
        content = parsed_json(data)
    except ValueError:
        return None
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list) or "imagePath" not in content:
        return None
    shapes = all(isinstance(shape, dict) for shape in content["shapes"])
    return content if shapes and isinstance(content.get("flags") or {}, dict) else None


def _data(sight: Sight) -> dict[str, Any]:
    """Where the images and the JSON files are, unless they lie together in the root."""
    stems = {posixpath.splitext(path)[0] for path in sight.ending(".json")}
    beside = [path for path in sight.images if posixpath.splitext(path)[0] in stems]
    if beside:
        splits = annotation_files.split_folders(beside)
        return {"images": splits} if splits else {}
    folder, images = annotation_files.common_folder(sight.ending(".json")), annotation_files.images_value(sight.images)
    return {"annotations": folder or "."} | ({} if images is None else {"images": images})
