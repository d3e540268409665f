"""Data sets that a network can learn in a minute, in the layouts that people bring: from disk to a pushed model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from any_layout import plain, tools
from any_layout.plain import Settings
from any_layout.truth import BACKGROUND, Picture, Region, World, files

SIDE = 48
COLORS = {"cat": (220, 40, 40), "dog": (40, 200, 60), "no": (60, 80, 230)}  # "no" is a label that YAML makes False of
PARTS = ("train", "train", "train", "train", "eval", "test")


def photos(kind: str, split: bool, count: int = 150) -> World:
    """Photos of coloured squares, whose colours are the labels, on a ground of smooth noise.

    Args:
        kind: "single": one square; "multi" and "mask": one to three squares of different colours.
        split: whether they name their splits.
        count: of photos.
    """
    noise = np.random.default_rng(7)
    pictures = []
    for i in range(count):
        coarse = noise.integers(60, 200, (6, 6), dtype=np.uint8)
        grey = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        pixels = np.repeat(grey[..., None], 3, axis=2) + noise.integers(-20, 20, (SIDE, SIDE, 3))
        several = 1 if kind == "single" else int(noise.integers(1, 4))
        labels = [list(COLORS)[(i + k) % 3] for k in range(several)]
        regions = []
        for label, corner in zip(labels, noise.permutation(4)[:several], strict=True):
            left, top = (int(v) for v in noise.integers(0, 8, 2) + SIDE // 2 * np.array([corner % 2, corner // 2]))
            regions.append(Region(label, left, top, left + 16, top + 16))
            pixels[top : top + 16, left : left + 16] = COLORS[label] + noise.integers(-30, 30, (16, 16, 3))
        part = PARTS[i // 3 % len(PARTS)] if split else None
        picture = np.clip(pixels, 0, 255).astype(np.uint8)
        pictures.append(Picture(f"p{i:03d}", picture, tuple(sorted(labels)), part, tuple(regions)))
    return World(tuple(COLORS), tuple(pictures))


# Layouts of other people's data sets, beside those of `plain` and `tools`


def semicolons(root: Path, world: World) -> None:
    """A table with semicolons, whose names have no ending, as Kaggle's often are."""
    rows = "".join(f"{p.name};{p.labels[0]}\n" for p in world.pictures)
    files(
        root,
        {"train.csv": f"id_code;diagnosis\n{rows}", **{f"train_images/{p.name}.png": p.png for p in world.pictures}},
    )


def hugging_face(root: Path, world: World) -> None:
    """Parquet files with the images inside and the names of the labels in the metadata."""
    import pyarrow as pa
    from pyarrow import parquet

    features = {"image": {"_type": "Image"}, "label": {"names": list(world.labels), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    for split, name in (("train", "train"), ("eval", "validation"), ("test", "test")):
        part = world.of(split)
        images = [{"bytes": p.png, "path": f"{p.name}.png"} for p in part]
        ids = [world.labels.index(p.labels[0]) for p in part]
        table = pa.table({"image": images, "label": pa.array(ids, pa.int64())}).replace_schema_metadata(metadata)
        (root / "data").mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, root / f"data/{name}-00000-of-00001.parquet")


def roboflow(root: Path, world: World) -> None:
    """COCO as Roboflow exports it: a file beside the images of each split, and a supercategory without annotations."""
    categories = [{"id": 0, "name": "pets", "supercategory": "none"}]
    categories += [{"id": i, "name": label, "supercategory": "pets"} for i, label in enumerate(world.labels, 1)]
    for split, name in (("train", "train"), ("eval", "valid"), ("test", "test")):
        images: list[Settings] = []
        annotations: list[Settings] = []
        for number, p in enumerate(world.of(split)):
            images.append({"id": number, "file_name": f"{p.name}.png", "width": SIDE, "height": SIDE})
            files(root, {f"{name}/{p.name}.png": p.png})
            for region in p.regions:
                one = {"id": len(annotations), "image_id": number, "segmentation": [region.polygon], "iscrowd": 0}
                annotations.append(one | {"category_id": world.labels.index(region.label) + 1, "area": 256})
        found = {"info": {}, "categories": categories, "images": images, "annotations": annotations}
        files(root, {f"{name}/_annotations.coco.json": json.dumps(found), "README.roboflow.txt": "pets"})


@dataclass(frozen=True)
class Brought:
    """A data set as somebody brings it.

    Attributes:
        kind, split: see `photos`.
        write: writes it into a folder; returns anything.
        path: what is named to init, below the folder.
        task: that init must find.
    """

    kind: str
    split: bool
    write: Callable[[Path, World], Any]
    path: str
    task: str


BROUGHT = {
    "split folders with odd names in a zip": Brought("single", True, tools.zipped, "data.zip", "single_label"),
    "CSV with semicolons, names without ending": Brought("single", False, semicolons, "", "single_label"),
    "Hugging Face Parquet with the images inside": Brought("single", True, hugging_face, "", "single_label"),
    "COCO polygons as Roboflow exports them": Brought("mask", True, roboflow, "", "segmentation"),
    "YOLO boxes": Brought("multi", True, tools.yolo_boxes, "", "multi_label"),
    "Label Studio choices": Brought("multi", False, tools.label_studio_choices, "", "multi_label"),
    "Pascal VOC objects": Brought("multi", True, tools.voc, "", "multi_label"),
    "CVAT masks": Brought("mask", False, tools.cvat_masks, "", "segmentation"),
    "masks of ids": Brought("mask", False, plain.id_masks, "", "segmentation"),
}
LABELS = {*COLORS, BACKGROUND}
