"""Recognises YOLO data sets: `data.yaml` or a list of names, and a text file with numbers per image."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from components.data.dataset import LayoutError
from components.ingest.layouts.annotated import yolo, yolo_data, yolo_lines
from components.ingest.layouts.annotated.shared.entries import Malformed
from components.ingest.layouts.annotated.yolo_data import Described
from pipeline.init.recognise import annotation_files
from pipeline.init.recognise.sight import Proposal, Sight

_NAMES = ("classes.txt", "obj.names", "predefined_classes.txt", "labels.txt", "classes.names", "names.txt")
_LINE = re.compile(r"\d+(\.0)?( [+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?){4,}")
_MOST_DESCRIPTIONS = 20


def recognise(sight: Sight) -> Iterator[Proposal]:
    """Proposes polygons as regions and objects as labels. Classification folders with `data.yaml` are label folders."""
    labelled = [path for path in sight.images if yolo.label_path(sight.files, path)]
    if not labelled:
        return
    texts = [path for image in labelled if (path := yolo.label_path(sight.files, image))]
    lines = list(_lines(sight, texts))
    if not lines or not all(_LINE.fullmatch(line) for line in lines):
        return
    for described in _descriptions(sight):
        yield from _proposals(described, labelled, lines)
        return


def _lines(sight: Sight, texts: list[str]) -> Iterator[str]:
    for _, data in annotation_files.sample(sight, texts):
        for line in data.decode("utf-8", "replace").splitlines():
            if line.strip():
                yield " ".join(line.split())


def _descriptions(sight: Sight) -> Iterator[Described]:
    """The files that name the classes, those nearest to the root first."""
    paths = [sight.start] if sight.start else list(sight.ending(".yaml", ".yml"))
    paths += [path for path in sight.files if posixpath.basename(path).lower() in _NAMES and not sight.start]
    for path in sorted(paths, key=lambda path: (not path.endswith((".yaml", ".yml")), path.count("/"), path))[
        :_MOST_DESCRIPTIONS
    ]:
        for _, data in annotation_files.sample(sight, [path]):
            try:
                yield yolo_data.parse(data.decode("utf-8-sig", "replace"), path)
            except LayoutError:
                continue


def _proposals(described: Described, labelled: list[str], lines: list[str]) -> Iterator[Proposal]:
    data: dict[str, Any] = {"annotations": described.path}
    comments = {"data.annotations": f"names {len(described.names)} classes"}
    if not described.places:
        images = annotation_files.images_value(labelled)
        data |= {} if images is None else {"images": images}
    try:
        objects = yolo_lines.parse("\n".join(lines), described.path, described.names, described.keypoints)
    except Malformed:
        objects = []
    polygons = sum(bool(item.polygon) for item in objects)
    what = "polygons" if polygons else "boxes"
    reason = f"{described.path} names classes, and {len(labelled):,} images have a text file of {what}"
    if polygons and polygons == len(objects):
        background = {"labels.background": "the label of pixels outside all polygons"}
        yield Proposal("yolo", ("segmentation",), reason, data, {"background": "background"}, comments | background)
    yield Proposal("yolo", ("multi_label",), reason, data, comments=comments)
