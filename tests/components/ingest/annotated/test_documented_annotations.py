"""The configurations in docs/layouts.md read data sets that lie as the page shows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from annotated_sets import reader
from trees import documented

XML = "<annotation><object><name>cat</name></object></annotation>"
POLYGON = '<polygon label="cat" points="0,0;4,0;4,3;0,3" z_order="0"/>'
SHAPE = {"label": "cat", "points": [[0, 0], [4, 0], [4, 3], [0, 3]], "shape_type": "polygon"}
CHOICE = {"type": "choices", "from_name": "c", "value": {"choices": ["cat"]}}

FILES: dict[str, dict[str, Any]] = {
    "yolo": {
        "data.yaml": "train: images/train\nval: images/val\nnames: [cat, no, 010]\n",
        "images/train/0001.jpg": None,
        "labels/train/0001.txt": "0 0.5 0.5 1 1",
        "images/val/0001.jpg": None,
        "labels/val/0001.txt": "0 0.5 0.5 1 1",
    },
    "voc": {
        "Annotations/1.xml": XML,
        "JPEGImages/1.jpg": None,
        "Annotations/2.xml": XML,
        "JPEGImages/2.jpg": None,
        "ImageSets/Main/train.txt": "1\n",
        "ImageSets/Main/val.txt": "2\n",
    },
    "labelme": {"1.jpg": None, "1.json": {"shapes": [SHAPE], "imagePath": "1.jpg"}},
    "cvat": {
        "annotations.xml": f'<annotations><image name="1.jpg" width="4" height="3">{POLYGON}</image></annotations>',
        "images/1.jpg": None,
    },
    "label_studio": {
        "export.json": [
            {
                "data": {"image": "/data/upload/1/0a1b2c3d-1.jpg"},
                "annotations": [{"id": 1, "result": [CHOICE]}],
            }
        ],
        "images/1.jpg": None,
    },
}


@pytest.mark.parametrize("layout", FILES)
def test_the_documented_configuration_reads_such_a_data_set(
    layout: str, tmp_path: Path, png: Callable[..., bytes]
) -> None:
    shown = documented(layout)
    read = reader(tmp_path, png)
    found = read(FILES[layout], shown["task"], shown["data"] | {"root": "root"}, shown.get("labels"))
    images = sorted(path for path, content in FILES[layout].items() if content is None)
    assert [record.path for record in found.dataset.records] == images
    assert found.dataset.rejected == ()
    if shown["task"] == "segmentation":  # the polygon covers the whole image
        assert found.dataset.labels == ("background", "cat")
        assert list(found.masks.values()) == [[[1] * 4] * 3]
    else:
        assert set(found.labels.values()) == {("cat",)}
    splits = {record.split for record in found.dataset.records}
    assert splits == ({None, "eval"} if layout in ("yolo", "voc") else {None})
