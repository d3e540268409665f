"""What annotation tools write: layouts `yolo`, `voc`, `labelme`, `cvat` and `label_studio`; and archives."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from any_layout import plain, tables
from any_layout.plain import Settings, runs
from any_layout.truth import BACKGROUND, Picture, Region, World, files

_WITH_BACKGROUND = {"labels": {"background": BACKGROUND}}


def _pictures(root: Path, world: World, folder: str = "images") -> None:
    files(root, {f"{folder}/{p.name}.png": p.png for p in world.pictures})


# YOLO


def _yolo(root: Path, world: World, line: Any) -> Settings:
    """`data.yaml`, `images/…` and `labels/…`, below a folder per split where the pictures name one."""
    for p in world.pictures:
        below = f"{p.split}/" if p.split else ""
        lines = "".join(f"{world.labels.index(label)} {rest}\n" for label, rest in line(p))
        files(root, {f"{below}images/{p.name}.png": p.png, f"{below}labels/{p.name}.txt": lines})
    places = {"train": "train", "eval": "val", "test": "test"}
    paths = [f"{places[split]}: {split}/images" for split in world.splits] or ["train: images"]
    files(root, {"data.yaml": "\n".join([*paths, f"names: {json.dumps(world.labels, ensure_ascii=False)}", ""])})
    return {"task": "multi_label", "data": {"layout": "yolo", "annotations": "data.yaml"}}


def yolo_boxes(root: Path, world: World) -> Settings:
    return _yolo(root, world, lambda p: [(label, "0.5 0.5 0.25 0.25") for label in p.labels])


def yolo_polygons(root: Path, world: World) -> Settings:
    def line(p: Picture) -> Any:
        for region in p.regions:
            scaled = [value / p.size[i % 2] for i, value in enumerate(region.polygon)]
            yield region.label, " ".join(map(repr, scaled))

    return _yolo(root, world, line) | {"task": "segmentation"} | _WITH_BACKGROUND


# Pascal VOC


def voc(root: Path, world: World) -> Settings:
    _pictures(root, world, "JPEGImages")
    for p in world.pictures:
        objects = "".join(f"<object><name>{escape(label)}</name></object>" for label in p.labels)
        name = escape(p.name.rpartition("/")[2])
        files(root, {f"Annotations/{p.name}.xml": f"<annotation><filename>{name}.png</filename>{objects}</annotation>"})
    data: Settings = {"layout": "voc", "annotations": "Annotations", "images": "JPEGImages"}
    if world.splits:
        lists = {split: f"ImageSets/Main/{split}.txt" for split in world.splits}
        files(root, {path: "".join(f"{p.name}\n" for p in world.of(split)) for split, path in lists.items()})
        data["lists"] = lists
    return {"task": "multi_label", "data": data}


# LabelMe


def _labelme(root: Path, world: World, shapes: Any) -> Settings:
    for p in world.pictures:
        width, height = p.size
        path = f"{p.name.rpartition('/')[2]}.png"
        found = {"version": "5.5.0", "flags": {}, "shapes": shapes(p), "imagePath": path, "imageData": None}
        found |= {"imageWidth": width, "imageHeight": height}
        files(root, {f"{p.name}.png": p.png, f"{p.name}.json": json.dumps(found)})
    return {"task": "multi_label", "data": {"layout": "labelme"}}


def labelme_tags(root: Path, world: World) -> Settings:
    def shapes(p: Picture) -> Any:
        return [{"label": label, "points": [[0, 0], [1, 1]], "shape_type": "rectangle"} for label in p.labels]

    return _labelme(root, world, shapes)


def labelme_polygons(root: Path, world: World) -> Settings:
    def shapes(p: Picture) -> Any:
        for region in p.regions:
            corners = np.reshape(region.polygon, (4, 2)).tolist()
            yield {"label": region.label, "points": corners, "shape_type": "polygon"}

    return _labelme(root, world, lambda p: list(shapes(p))) | {"task": "segmentation"} | _WITH_BACKGROUND


# CVAT


def _cvat(root: Path, world: World, shapes: Any) -> Settings:
    _pictures(root, world)
    images = []
    for number, p in enumerate(world.pictures):
        subset = f' subset="{p.split}"' if p.split else ""
        size = f'width="{p.size[0]}" height="{p.size[1]}"'
        inside = "".join(shapes(p))
        images.append(f'<image id="{number}" name={quoteattr(f"{p.name}.png")}{subset} {size}>{inside}</image>')
    names = "".join(f"<label><name>{escape(label)}</name></label>" for label in world.labels)
    meta = f"<meta><task><labels>{names}</labels></task></meta>"
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{meta}{"".join(images)}</annotations>'
    files(root, {"annotations.xml": text})
    return {
        "task": "multi_label",
        "data": {"layout": "cvat", "annotations": "annotations.xml", "images": "images"},
    }


def cvat_tags(root: Path, world: World) -> Settings:
    return _cvat(root, world, lambda p: [f"<tag label={quoteattr(label)}></tag>" for label in p.labels])


def cvat_polygons(root: Path, world: World) -> Settings:
    def shapes(p: Picture) -> Any:
        for region in p.regions:
            points = ";".join(f"{x},{y}" for x, y in np.reshape(region.polygon, (4, 2)).tolist())
            yield f'<polygon label={quoteattr(region.label)} points="{points}" z_order="0"></polygon>'

    return _cvat(root, world, shapes) | {"task": "segmentation"} | _WITH_BACKGROUND


def cvat_masks(root: Path, world: World) -> Settings:
    """Run lengths by rows, within the box of each mask."""

    def shapes(p: Picture) -> Any:
        for r in p.regions:
            # The box is one pixel wider than the mask, where the image is, so that the runs have zeros, too.
            wide = min(r.right + 1, p.size[0])
            box = np.zeros((r.bottom - r.top, wide - r.left), int)
            box[:, : r.right - r.left] = 1
            counts = ", ".join(map(str, runs(box.ravel())))
            size = f'left="{r.left}" top="{r.top}" width="{box.shape[1]}" height="{box.shape[0]}"'
            yield f'<mask label={quoteattr(r.label)} rle="{counts}" {size} z_order="0"></mask>'

    return _cvat(root, world, shapes) | {"task": "segmentation"} | _WITH_BACKGROUND


# Label Studio


def _label_studio(root: Path, world: World, result: Any) -> Settings:
    _pictures(root, world)
    tasks = []
    for number, p in enumerate(world.pictures, 1):
        annotation = {"id": number, "result": list(result(p)), "was_cancelled": False}
        data = {"image": f"images/{p.name}.png"}
        tasks.append({"id": number, "data": data, "annotations": [annotation], "predictions": []})
    files(root, {"export.json": json.dumps(tasks)})
    return {"task": "multi_label", "data": {"layout": "label_studio", "annotations": "export.json"}}


def _item(kind: str, value: Settings, p: Picture) -> Settings:
    size = {"original_width": p.size[0], "original_height": p.size[1], "image_rotation": 0}
    return {"id": f"r{len(value)}", "type": kind, "from_name": "label", "to_name": "image", "value": value, **size}


def label_studio_choice(root: Path, world: World) -> Settings:
    settings = _label_studio(root, world, lambda p: [_item("choices", {"choices": list(p.labels)}, p)])
    return settings | {"task": "single_label"}


def label_studio_choices(root: Path, world: World) -> Settings:
    return _label_studio(root, world, lambda p: [_item("choices", {"choices": list(p.labels)}, p)])


def label_studio_rectangles(root: Path, world: World) -> Settings:
    """Rectangles in percent of the image, which are masks as well."""

    def item(p: Picture, r: Region) -> Settings:
        width, height = p.size
        value = {"x": 100 * r.left / width, "width": 100 * (r.right - r.left) / width, "rotation": 0}
        value |= {"y": 100 * r.top / height, "height": 100 * (r.bottom - r.top) / height}
        return _item("rectanglelabels", value | {"rectanglelabels": [r.label]}, p)

    settings = _label_studio(root, world, lambda p: [item(p, r) for r in p.regions])
    return settings | {"task": "segmentation"} | _WITH_BACKGROUND


# Archives


def zipped(root: Path, world: World) -> Settings:
    settings = plain.split_folders(root / "inside", world)
    with zipfile.ZipFile(root / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((root / "inside").rglob("*.png")):
            archive.write(path, path.relative_to(root / "inside"))
        archive.writestr("__MACOSX/._x.png", b"\0")
    shutil.rmtree(root / "inside")
    return settings | {"root": "data.zip"}


def tarred(root: Path, world: World) -> Settings:
    """Compressed as a whole, in a folder of its own."""
    settings = tables.csv_single(root / "inside", world)
    with tarfile.open(root / "data.tar.gz", "w:gz") as archive:
        for path in sorted((root / "inside").rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                member = tarfile.TarInfo(str(path.relative_to(root / "inside")))
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    shutil.rmtree(root / "inside")
    return settings | {"root": "data.tar.gz"}
