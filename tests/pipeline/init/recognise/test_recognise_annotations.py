"""What annotation tools write is recognised, and the proposal reads it with the right labels and splits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.data import storage
from components.data.dataset import Dataset
from components.ingest.layouts import reading
from pipeline import config
from pipeline.init.recognise import annotation_files, cvat, label_studio, labelme, voc, yolo
from pipeline.init.recognise.sight import Proposal, Recogniser, Sight

BOX = "0.5 0.5 0.5 0.5"
POLYGON = "0 0 0.5 0 0.5 1 0 1"


class Seen:
    """A data set on disk, which `propose` shows to a recogniser."""

    def __init__(self, root: Path, png: Callable[..., bytes]) -> None:
        self.root, self._png = root, png

    def write(self, files: dict[str, Any]) -> None:
        for seed, (name, content) in enumerate(files.items()):
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_bytes(self._png(seed, 4, 3) if content is None else text.encode())

    def propose(self, recogniser: Recogniser, files: dict[str, Any], start: str = "") -> list[Proposal]:
        self.write(files)
        found = {file.path: file for file in storage.files(str(self.root))}
        return list(recogniser(Sight(str(self.root), {path: found[path] for path in sorted(found)}, start)))

    def read(self, proposal: Proposal, task: str | None = None) -> Dataset:
        """Reads the data set as the proposal says."""
        told = {"name": "x", "task": task or proposal.tasks[0], "push": {"destination": "models"}}
        told |= {"data": {"root": str(self.root), "layout": proposal.layout} | dict(proposal.data)}
        told |= {"labels": dict(proposal.labels)}
        (self.root.parent / "x.yaml").write_text(yaml.safe_dump(told))
        return reading.read(config.load(str(self.root.parent / "x.yaml")).source)[0]


@pytest.fixture
def seen(tmp_path: Path, png: Callable[..., bytes]) -> Seen:
    return Seen(tmp_path / "data", png)


def labels(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {record.path: record.labels for record in dataset.records}


def test_yolo_with_boxes(seen: Seen) -> None:
    files = {
        "data.yaml": "train: ../train/images\nval: ../valid/images\nnames: ['no', 'on']\n",
        "README.roboflow.txt": "Hello",
        "train/images/a.jpg": None,
        "train/labels/a.txt": f"0 {BOX}\n",
        "valid/images/b.jpg": None,
        "valid/labels/b.txt": f"1 {BOX}\n0 {BOX}\n",
    }
    (proposal,) = seen.propose(yolo.recognise, files)
    assert (proposal.tasks, proposal.data) == (("multi_label",), {"annotations": "data.yaml"})
    dataset = seen.read(proposal)
    assert labels(dataset) == {"train/images/a.jpg": ("no",), "valid/images/b.jpg": ("no", "on")}
    assert [record.split for record in dataset.records] == [None, "eval"]


@pytest.mark.parametrize("box", [".5 .5 .2 .2", "1. 0.5 5e-01 +.25"])
def test_yolo_with_numbers_in_other_spellings(seen: Seen, box: str) -> None:
    files = {"data.yaml": "train: images\nnames: [no, on]\n", "images/a.jpg": None, "labels/a.txt": f"1 {box}\n"}
    (proposal,) = seen.propose(yolo.recognise, files)
    assert labels(seen.read(proposal)) == {"images/a.jpg": ("on",)}


def test_yolo_with_polygons(seen: Seen) -> None:
    files = {
        "dataset.yaml": "path: /content\ntrain: images\nnames: {0: cat}\n",
        "images/a.jpg": None,
        "labels/a.txt": f"0 {POLYGON}\n",
    }
    regions, tags = seen.propose(yolo.recognise, files)
    assert (regions.tasks, tags.tasks) == (("segmentation",), ("multi_label",))
    assert seen.read(regions).labels == ("background", "cat")
    assert labels(seen.read(tags)) == {"images/a.jpg": ("cat",)}


@pytest.mark.parametrize(
    ("names", "images", "texts", "value"),
    [
        ("classes.txt", "images/a.jpg", "labels/a.txt", {"images": "images"}),
        ("obj.names", "obj_train_data/a.jpg", "obj_train_data/a.txt", {"images": "obj_train_data"}),
        ("classes.txt", "a.jpg", "a.txt", {}),
    ],
)
def test_yolo_with_a_list_of_names(seen: Seen, names: str, images: str, texts: str, value: dict[str, str]) -> None:
    (proposal,) = seen.propose(yolo.recognise, {names: "cat\ndog\n", images: None, texts: f"1 {BOX}"})
    assert proposal.data == {"annotations": names} | value
    assert labels(seen.read(proposal)) == {images: ("dog",)}


def test_yolo_with_a_list_of_names_and_folders_of_splits(seen: Seen) -> None:
    files = {
        "classes.txt": "cat\n",
        **{f"images/{split}/{i}.jpg": None for i, split in enumerate(("train", "val"))},
        **{f"labels/{split}/{i}.txt": f"0 {BOX}" for i, split in enumerate(("train", "val"))},
    }
    (proposal,) = seen.propose(yolo.recognise, files)
    assert proposal.data["images"] == {"train": "images/train", "eval": "images/val"}
    assert [record.split for record in seen.read(proposal).records] == [None, "eval"]


def test_classification_folders_and_notes_are_not_yolo(seen: Seen) -> None:
    files = {"data.yaml": "names: [cat]\n", "train/cat/a.jpg": None, "train/cat/a.txt": "a nice cat"}
    assert seen.propose(yolo.recognise, files) == []


def xml(*names: str) -> str:
    return f"<annotation>{''.join(f'<object><name>{name}</name></object>' for name in names)}</annotation>"


def test_voc(seen: Seen) -> None:
    files = {
        "VOC2012/Annotations/a.xml": xml("dog", "cat"),
        "VOC2012/Annotations/b.xml": xml("cat"),
        "VOC2012/JPEGImages/a.jpg": None,
        "VOC2012/JPEGImages/b.jpg": None,
        "VOC2012/SegmentationClass/a.png": None,
        "VOC2012/ImageSets/Main/train.txt": "a\n",
        "VOC2012/ImageSets/Main/val.txt": "b\n",
        "VOC2012/ImageSets/Main/trainval.txt": "a\nb\n",
        "VOC2012/ImageSets/Main/cat_train.txt": "a  1\n",
    }
    (proposal,) = seen.propose(voc.recognise, files)
    assert proposal.tasks == ("multi_label",)
    dataset = seen.read(proposal)
    assert labels(dataset) == {"VOC2012/JPEGImages/a.jpg": ("cat", "dog"), "VOC2012/JPEGImages/b.jpg": ("cat",)}
    assert [record.split for record in dataset.records] == [None, "eval"]


def test_voc_beside_the_images(seen: Seen) -> None:
    files = {"train/a.xml": xml("dog"), "train/a.jpg": None, "valid/b.xml": xml("cat"), "valid/b.jpg": None}
    (proposal,) = seen.propose(voc.recognise, files)
    dataset = seen.read(proposal)
    assert labels(dataset) == {"train/a.jpg": ("dog",), "valid/b.jpg": ("cat",)}
    assert [record.split for record in dataset.records] == [None, "eval"]


def shapes(kind: str, *names: str, flags: dict[str, bool] | None = None, path: str = "") -> dict[str, Any]:
    points = [[0, 0], [2, 0], [2, 2]] if kind == "polygon" else [[0, 0], [2, 2]]
    items = [{"label": name, "points": points, "shape_type": kind} for name in names]
    return {"shapes": items, "flags": flags or {}, "imagePath": path, "imageData": None}


def test_labelme_with_polygons(seen: Seen) -> None:
    files = {"a.jpg": None, "a.json": shapes("polygon", "cat"), "b.jpg": None, "b.json": shapes("polygon")}
    regions, tags = seen.propose(labelme.recognise, files)
    assert seen.read(regions).labels == ("background", "cat")
    assert labels(seen.read(tags)) == {"a.jpg": ("cat",), "b.jpg": ()}


def test_labelme_with_rectangles_in_a_folder_of_their_own(seen: Seen) -> None:
    files = {"img/a.jpg": None, "json/a.json": shapes("rectangle", "cat", path="../img/a.jpg")}
    (tags,) = seen.propose(labelme.recognise, files)
    assert tags.data == {"annotations": "json", "images": "img"}
    assert labels(seen.read(tags)) == {"img/a.jpg": ("cat",)}


def test_labelme_with_flags(seen: Seen) -> None:
    files = {
        "a.jpg": None,
        "a.json": shapes("", flags={"yes": True, "no": False}),
        "b.jpg": None,
        "b.json": shapes("", flags={"yes": False, "no": True}),
    }
    (proposal,) = seen.propose(labelme.recognise, files)
    assert proposal.tasks == ("single_label", "multi_label")
    assert labels(seen.read(proposal)) == {"a.jpg": ("yes",), "b.jpg": ("no",)}


@pytest.mark.parametrize(
    ("shape", "tasks"),
    [
        ('<tag label="cat"/>', [("single_label", "multi_label")]),
        ('<tag label="cat"/><tag label="dog"/>', [("multi_label",)]),
        ('<box label="cat" xtl="0" ytl="0" xbr="1" ybr="1"/>', [("multi_label",)]),
        ('<polygon label="cat" points="0,0;1,0;1,1"/>', [("segmentation",), ("multi_label",)]),
    ],
)
def test_cvat(seen: Seen, shape: str, tasks: list[tuple[str, ...]]) -> None:
    text = f'<?xml version="1.0"?>\n<annotations><image name="a.jpg" width="4" height="3">{shape}</image></annotations>'
    proposals = seen.propose(cvat.recognise, {"annotations.xml": text, "images/a.jpg": None})
    assert [proposal.tasks for proposal in proposals] == tasks
    for proposal in proposals:
        assert proposal.data == {"annotations": "annotations.xml", "images": "images"}
        assert [record.path for record in seen.read(proposal).records] == ["images/a.jpg"]
    assert labels(seen.read(proposals[-1]))["images/a.jpg"][0] == "cat"
    assert seen.propose(cvat.recognise, {}, start="annotations.xml") == proposals
    assert seen.propose(cvat.recognise, {"b.csv": "x"}, start="b.csv") == []


@pytest.mark.parametrize(
    ("result", "tasks"),
    [
        ([{"type": "choices", "from_name": "c", "value": {"choices": ["cat"]}}], [("single_label", "multi_label")]),
        ([{"type": "choices", "from_name": "c", "value": {"choices": ["cat", "dog"]}}], [("multi_label",)]),
        (
            [
                {
                    "type": "polygonlabels",
                    "original_width": 4,
                    "original_height": 3,
                    "value": {"points": [[0, 0], [9, 0], [9, 9]], "polygonlabels": ["cat"]},
                }
            ],
            [("segmentation",), ("multi_label",)],
        ),
    ],
)
def test_label_studio(seen: Seen, result: list[Any], tasks: list[tuple[str, ...]]) -> None:
    export = [
        {
            "id": 1,
            "data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"},
            "annotations": [{"id": 1, "result": result}],
            "predictions": [],
        }
    ]
    proposals = seen.propose(label_studio.recognise, {"project-1.json": export, "pictures/a.jpg": None})
    assert [proposal.tasks for proposal in proposals] == tasks
    for proposal in proposals:
        assert proposal.data == {"annotations": "project-1.json", "images": "pictures"}
        assert [record.path for record in seen.read(proposal).records] == ["pictures/a.jpg"]
    assert labels(seen.read(proposals[-1]))["pictures/a.jpg"][0] == "cat"


@pytest.mark.parametrize("recogniser", [yolo, voc, labelme, cvat, label_studio])
def test_other_files_are_left_to_others(seen: Seen, recogniser: Any) -> None:
    files = {
        "cat/a.jpg": None,
        "cat/a.json": {"note": 1},
        "cat/a.txt": "0 1",
        "cat/a.xml": "<note/>",
        "bad.xml": "<annotation",
        "bad.json": "[" * 9999,
        "data.yaml": "names: [",
        "list.json": [1, {"data": 1}],
        "empty.json": [],
        "coco.json": {"images": [], "annotations": [], "categories": []},
    }
    assert seen.propose(recogniser.recognise, files) == []
    assert seen.propose(recogniser.recognise, {"list.json": [{"data": {}, "annotations": [7]}]}) == []


def test_split_folders_need_train_and_one_folder_each() -> None:
    assert annotation_files.split_folders(["train/1.jpg", "Training/2.jpg", "val/3.jpg"]) == {}
    assert annotation_files.split_folders(["val/1.jpg", "test/2.jpg"]) == {}
    assert annotation_files.split_folders(["train/1.jpg", "2.jpg"]) == {}
