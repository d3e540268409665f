"""Small data sets of every layout, as files and settings, and how a run reads them down to the pixels of each mask."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import yaml
from mutants import saved
from PIL import Image

from components.ingest import shards
from components.ingest.layouts import reading
from components.ingest.settings import Source
from pipeline import config

_IMAGE = saved(Image.fromarray(np.arange(36, dtype=np.uint8).reshape(3, 4, 3)), "PNG")

_MASK = base64.b64encode(saved(Image.fromarray(np.eye(2, dtype=np.uint8)), "PNG")).decode()  # of LabelMe


@dataclass(frozen=True)
class Set:
    """A data set.

    Attributes:
        task: of the configuration.
        data: its section, without the root.
        files: path -> content, without the images a.png and b.png, which every set has.
        hostile: the file whose content somebody else wrote.
        labels: the section of the configuration.
    """

    task: str
    data: Mapping[str, Any]
    files: Mapping[str, bytes]
    hostile: str
    labels: Mapping[str, Any]


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1).encode()


def _studio(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    more = {"original_width": 4, "original_height": 3, "image_rotation": 0}
    return {"id": kind, "type": kind, "from_name": "l", "value": {**value, kind: ["cat"]}} | more


_COCO = _json(
    {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 4, "height": 3},
            {"id": "2", "file_name": "b.png", "width": 4, "height": 3},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "area": 6, "segmentation": [[0, 0, 4, 0, 4, 3]], "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 2, "segmentation": {"size": [3, 4], "counts": [1, 5, 6]}},
            {"id": 3, "image_id": 2, "category_id": 2, "segmentation": {"size": [3, 4], "counts": "0<"}},
        ],
        "categories": [{"id": 1, "name": "cat", "supercategory": "pet"}, {"id": 2, "name": "dog"}],
    }
)
_STUDIO = _json(
    [
        {
            "id": 1,
            "data": {"image": "/data/upload/1/0a1b2c3d-a.png"},
            "annotations": [
                {
                    "id": 1,
                    "parent_annotation": None,
                    "was_cancelled": False,
                    "result": [
                        _studio("polygonlabels", {"points": [[0, 0], [50, 0], [50, 50]]}),
                        _studio("rectanglelabels", {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 9}),
                        _studio("ellipselabels", {"x": 9, "y": 9, "radiusX": 5, "radiusY": 5, "rotation": 0}),
                        _studio("brushlabels", {"format": "rle", "rle": [0, 0, 0, 48, 57, 27, 127]}),
                    ],
                }
            ],
        },
        {"id": 2, "data": {"image": "b.png"}, "annotations": [{"id": 2, "result": [_studio("choices", {})]}]},
    ]
)
_LABELME = _json(
    {
        "flags": {"x": True},
        "shapes": [
            {"label": "cat", "points": [[0, 0], [2, 0], [2, 2]], "shape_type": "polygon"},
            {"label": "dog", "points": [[1, 1], [2, 2]], "shape_type": "circle"},
            {"label": "dog", "points": [[0, 0], [1, 1]], "shape_type": "mask", "mask": _MASK},
        ],
        "imagePath": "a.png",
        "imageWidth": 4,
        "imageHeight": 3,
    }
)
_CVAT = b"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
 <version>1.1</version>
 <meta><task><labels><label><name>cat</name></label><label><name>dog</name></label></labels></task></meta>
 <image id="0" name="a.png" width="4" height="3" subset="default">
  <tag label="cat"/>
  <polygon label="cat" points="0.0,0.0;4.0,0.0;4.0,3.0" z_order="0"/>
  <mask label="dog" rle="1, 2, 1" left="0" top="0" width="2" height="2" z_order="1"/>
  <box label="dog" xtl="0" ytl="0" xbr="2" ybr="2" rotation="30.0" z_order="2"/>
  <ellipse label="cat" cx="2" cy="1" rx="1" ry="1"/>
 </image>
 <image id="1" name="b.png" width="4" height="3"><tag label="dog"/></image>
</annotations>
"""
_VOC = b"""<annotation>
 <folder>x</folder>
 <filename>a.png</filename>
 <size><width>4</width><height>3</height><depth>3</depth></size>
 <object><name>cat</name><difficult>0</difficult><bndbox><xmin>1</xmin></bndbox></object>
 <object><name>dog</name></object>
</annotation>
"""
_VOC_B = _VOC.replace(b"a.png", b"b.png")
_YAML = b"path: .\ntrain: images\nval: images\nnc: 2\nnames:\n  0: cat\n  1: dog\n"
_YOLO = b"0 0.5 0.5 1 1\n1 0 0 1 0 1 1\n"
_YOLO_POLYGONS = b"0 0.1 0.1 0.9 0.1 0.9 0.9\n1 0 0 1 0 1 1\n"
_CSV = b"file_name,label,weight,split\na.png,cat,1.5,train\nb.png,dog,1,train\n"
_JSONL = b'{"file_name": "a.png", "labels": ["cat"]}\n{"file_name": "b.png", "labels": ["cat", "dog"]}\n'
_TABLE = _json([{"file_name": "a.png", "labels": ["cat"]}, {"file_name": "b.png", "labels": []}])


def _parquet() -> bytes:
    images = [{"bytes": _IMAGE, "path": "a.png"}, {"bytes": _IMAGE[:-1], "path": "b.png"}] * 20
    table = pyarrow.table({"image": images, "label": [0, 1] * 20})
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    out = io.BytesIO()
    pyarrow.parquet.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), out)
    return out.getvalue()


def _manifest(name: str, content: bytes, **more: Any) -> Set:
    task = more.pop("task", "multi_label")
    return Set(task, {"layout": "manifest", "manifest": name, **more}, {name: content}, name, {})


_GROUND = {"background": "ground"}
SETS: Mapping[str, Set] = {
    "COCO, labels": Set("multi_label", {"layout": "coco", "annotations": "c.json"}, {"c.json": _COCO}, "c.json", {}),
    "COCO, masks": Set(
        "segmentation", {"layout": "coco", "annotations": "c.json"}, {"c.json": _COCO}, "c.json", _GROUND
    ),
    "Label Studio, labels": Set(
        "multi_label", {"layout": "label_studio", "annotations": "s.json"}, {"s.json": _STUDIO}, "s.json", {}
    ),
    "Label Studio, masks": Set(
        "segmentation", {"layout": "label_studio", "annotations": "s.json"}, {"s.json": _STUDIO}, "s.json", _GROUND
    ),
    "LabelMe, labels": Set("multi_label", {"layout": "labelme"}, {"a.json": _LABELME}, "a.json", {}),
    "LabelMe, masks": Set("segmentation", {"layout": "labelme"}, {"a.json": _LABELME}, "a.json", _GROUND),
    "CVAT, labels": Set("multi_label", {"layout": "cvat", "annotations": "v.xml"}, {"v.xml": _CVAT}, "v.xml", {}),
    "CVAT, masks": Set("segmentation", {"layout": "cvat", "annotations": "v.xml"}, {"v.xml": _CVAT}, "v.xml", _GROUND),
    "Pascal VOC": Set(
        "multi_label",
        {"layout": "voc", "annotations": "x"},
        {"x/a.xml": _VOC, "x/b.xml": _VOC_B},
        "x/a.xml",
        {},
    ),
    "Pascal VOC, lists": Set(
        "multi_label",
        {"layout": "voc", "annotations": "x", "lists": {"train": "l.txt"}},
        {"x/a.xml": _VOC, "x/b.xml": _VOC_B, "l.txt": b"a\nx/b.xml -1\n"},
        "l.txt",
        {},
    ),
    "YOLO, data.yaml": Set(
        "multi_label",
        {"layout": "yolo", "annotations": "data.yaml"},
        {"data.yaml": _YAML.replace(b"images", b"."), "a.txt": _YOLO, "b.txt": _YOLO},
        "data.yaml",
        {},
    ),
    "YOLO, boxes": Set(
        "multi_label",
        {"layout": "yolo", "annotations": "n.names"},
        {"n.names": b"cat\ndog\n", "a.txt": _YOLO},
        "a.txt",
        {},
    ),
    "YOLO, polygons": Set(
        "segmentation",
        {"layout": "yolo", "annotations": "n.names"},
        {"n.names": b"cat\ndog\n", "a.txt": _YOLO_POLYGONS},
        "a.txt",
        _GROUND,
    ),
    "CSV": _manifest(
        "t.csv", _CSV, task="single_label", columns={"labels": "label", "weight": "weight", "split": "split"}
    ),
    "CSV, several labels": _manifest("t.csv", b"file_name;labels\na.png;cat|dog\nb.png;['cat', 'dog']\n"),
    "table of blanks": _manifest(
        "t.txt",
        b"2\ncat dog\na.png  1 -1\nb.png -1  1\n",
        columns={"labels": ["cat", "dog"], "values": {-1: 0}},
    ),
    "JSON lines": _manifest("t.jsonl", _JSONL),
    "JSON": _manifest("t.json", _TABLE),
    "Parquet": _manifest("t.parquet", _parquet(), task="single_label"),
}


def read(root: Path, one: Set, content: bytes) -> int:
    """Reads a data set whose hostile file has other content; returns the number of images that can be used.

    Raises:
        ImagegateError: see `reading.read`.
    """
    place = root / "root"
    for name, told in {"a.png": _IMAGE, "b.png": _IMAGE, **one.files, one.hostile: content}.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(told)
    settings = {"name": "x", "task": one.task, "push": {"destination": "models"}, "labels": dict(one.labels)}
    settings["data"] = {"root": "root", **one.data}
    (root / "imagegate.yaml").write_text(yaml.safe_dump(settings))
    source = config.load(str(root / "imagegate.yaml")).source
    dataset, rule = reading.read(Source.from_json(source.to_json()))
    json.dumps(dataset.notes)
    job = shards.job(dataset, 10_000, rule)
    examined = list(shards.examine(dataset.records, job))
    assert all(item.image is not None or item.problem for item in examined)
    return sum(item.image is not None for item in examined)


def packed(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()
