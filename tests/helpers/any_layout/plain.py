"""Layouts `folders`, `masks` and `coco`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import assume
from PIL import Image

from any_layout.tables import pictures
from any_layout.truth import BACKGROUND, Picture, World, encoded, files

Settings = dict[str, Any]
_SPELT = {"train": "Training", "eval": "Validation_Set", "test": "test-images"}


# Folders


def _flat(picture: Picture) -> str:
    """Without folders: where all labels hold equal ones, nobody knows which level the labels are."""
    return picture.name.replace("/", "_").lstrip("_.#-")


def folders(root: Path, world: World) -> Settings:
    files(root, {f"{p.labels[0]}/{_flat(p)}.png": p.png for p in world.pictures})
    return {"task": "single_label", "data": {"layout": "folders"}}


def deeper_folders(root: Path, world: World) -> Settings:
    files(root, {f"{p.labels[0]}/{p.name}.png": p.png for p in world.pictures})
    return {"task": "single_label", "data": {"layout": "folders"}, "labels": {"names": list(world.labels)}}


def split_folders(root: Path, world: World) -> Settings:
    files(root, {f"{_SPELT[p.split or '']}/{p.labels[0]}/{_flat(p)}.png": p.png for p in world.pictures})
    return {"task": "single_label", "data": {"layout": "folders"}}


def splits_below_labels(root: Path, world: World) -> Settings:
    # One name alone, such as train below every label, may be any folder.
    assume({"train"} < {p.split for p in world.pictures})
    files(root, {f"{p.labels[0]}/{p.split}/{_flat(p)}.png": p.png for p in world.pictures})
    return {"task": "single_label", "data": {"layout": "folders"}}


def beside_other_files(root: Path, world: World) -> Settings:
    found: dict[str, bytes | str] = {f"{p.labels[0]}/{_flat(p)}.json": '{"a": 1}' for p in world.pictures}
    files(root, {"README.md": "photos", f"{world.labels[0]}/Thumbs.db": b"\0", "__MACOSX/._a": b"\0", **found})
    return folders(root, world)


# Masks


def _ids(world: World) -> dict[str, int]:
    return {BACKGROUND: 0} | {label: i for i, label in enumerate(world.labels, 1)}


def _masks(root: Path, world: World, mask: Any) -> Settings:
    """Images and masks, in a folder per split where the pictures name one."""
    for p in world.pictures:
        below = f"{p.split}/{p.name}" if p.split else p.name
        files(root, {f"photos/{below}.png": p.png, f"truth/{below}_L.png": mask(p)})
    split = {split: split for split in world.splits}
    images: Any = {name: f"photos/{name}" for name in split} or "photos"
    found: Any = {name: f"truth/{name}" for name in split} or "truth"
    return {
        "task": "segmentation",
        "data": {"layout": "masks", "images": images, "masks": found, "mask_suffix": "_L"},
    }


def id_masks(root: Path, world: World) -> Settings:
    names = [BACKGROUND, *world.labels]
    return _masks(root, world, lambda p: encoded(p.mask(_ids(world)))) | {"labels": {"names": names}}


def id_masks_16_bit(root: Path, world: World) -> Settings:
    colors = {label: 1000 * i for label, i in _ids(world).items()}
    return _masks(root, world, lambda p: encoded(p.mask(colors, np.uint16))) | {"labels": {"colors": colors}}


def palette_masks(root: Path, world: World) -> Settings:
    def mask(picture: Picture) -> bytes:
        image = Image.fromarray(picture.mask(_ids(world)))
        image.putpalette([0, 0, 0, *range(255, 0, -1)])
        out = io.BytesIO()
        image.save(out, "PNG")
        return out.getvalue()

    return _masks(root, world, mask) | {"labels": {"names": [BACKGROUND, *world.labels]}}


def color_masks(root: Path, world: World) -> Settings:
    colors = {label: (40 * i, 7, 250 - 40 * i) for label, i in _ids(world).items()}
    return _masks(root, world, lambda p: encoded(p.mask(colors))) | {"labels": {"colors": colors}}


# COCO


def _coco(root: Path, world: World, shape: Any, task: str) -> Settings:
    """Annotation files, one per split where the pictures name one; categories with ids that start anywhere."""
    pictures(root, world)
    ids = {label: 3 + 2 * i for i, label in enumerate(world.labels)}
    for split in world.splits or [None]:
        images, annotations = [], []
        for number, p in enumerate((p for p in world.pictures if p.split == split), 10):
            width, height = p.size
            images.append({"id": number, "file_name": f"{p.name}.png", "width": width, "height": height})
            for label, more in shape(p):
                one = {"id": len(annotations), "image_id": number, "category_id": ids[label], "iscrowd": 0}
                annotations.append(one | more)
        categories = [{"id": number, "name": label} for label, number in ids.items()]
        found = {"images": images, "annotations": annotations, "categories": categories}
        files(root, {f"{split or 'all'}.json": json.dumps(found)})
    named = {split: f"{split}.json" for split in world.splits}
    return {"task": task, "data": {"layout": "coco", "annotations": named or "all.json", "images": "images"}}


def coco_tags(root: Path, world: World) -> Settings:
    return _coco(root, world, lambda p: [(label, {"bbox": [0, 0, 1, 1]}) for label in p.labels], "multi_label")


def coco_polygons(root: Path, world: World) -> Settings:
    settings = _coco(
        root, world, lambda p: [(r.label, {"segmentation": [r.polygon]}) for r in p.regions], "segmentation"
    )
    return settings | {"labels": {"background": BACKGROUND}}


def coco_counts(root: Path, world: World) -> Settings:
    """Uncompressed run lengths, column by column, of the whole picture."""

    def shape(p: Picture) -> Any:
        for region in p.regions:
            flat = np.zeros(p.pixels.shape[:2], bool)
            flat[region.top : region.bottom, region.left : region.right] = True
            yield region.label, {"segmentation": {"size": list(flat.shape), "counts": runs(flat.T.ravel())}}

    return _coco(root, world, shape, "segmentation") | {"labels": {"background": BACKGROUND}}


def coco_panoptic(root: Path, world: World) -> Settings:
    """A picture of segment ids (R + 256 G + 65536 B) for each image; background is a segment, too."""
    pictures(root, world)
    ids = {label: 3 + 2 * i for i, label in enumerate([BACKGROUND, *world.labels])}
    for split in world.splits or [None]:
        images, annotations = [], []
        for number, p in enumerate((p for p in world.pictures if p.split == split), 10):
            segments = np.full(p.pixels.shape[:2], 7, np.uint32)
            info = [{"id": 7, "category_id": ids[BACKGROUND], "iscrowd": 0}]
            for i, r in enumerate(p.regions, 1):
                segments[r.top : r.bottom, r.left : r.right] = 70_000 * i
                info.append({"id": 70_000 * i, "category_id": ids[r.label], "iscrowd": 0})
            colors = np.stack([segments & 255, segments >> 8 & 255, segments >> 16], -1).astype(np.uint8)
            name = f"{split or 'all'}-{number}.png"
            files(root, {f"panoptic/{name}": encoded(colors)})
            width, height = p.size
            images.append({"id": number, "file_name": f"{p.name}.png", "width": width, "height": height})
            annotations.append({"image_id": number, "file_name": name, "segments_info": info})
        categories = [{"id": number, "name": label, "isthing": 1} for label, number in ids.items()]
        found = {"images": images, "annotations": annotations, "categories": categories}
        files(root, {f"{split or 'all'}.json": json.dumps(found)})
    named = {split: f"{split}.json" for split in world.splits}
    data = {"layout": "coco", "annotations": named or "all.json", "images": "images", "masks": "panoptic"}
    return {"task": "segmentation", "data": data, "labels": {"names": list(ids)}}


def runs(flat: Any) -> list[int]:
    """Lengths of runs, the first of zeros.

    >>> runs(np.array([1, 1, 0]))
    [0, 2, 1]
    """
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat.astype(int), [2]])))
    return np.diff(np.concatenate([[0], changes])).tolist()
