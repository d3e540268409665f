"""COCO's files are recognised: one, one per split, beside their images as Roboflow has them, and panoptic ones."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.data.dataset import Dataset
from components.data.mask_rules import Rule
from pipeline.init.recognise import coco
from pipeline.init.recognise.sight import Proposal, Sight

See = Callable[..., Sight]
Take = Callable[[Sight, Proposal], tuple[Dataset, Rule | None]]

SQUARE = [[0, 0, 2, 0, 2, 2, 0, 2]]


def content(*names: str, regions: bool = True, **more: Any) -> dict[str, Any]:
    """One annotation of a cat or a dog in each image."""
    return {
        "images": [{"id": i, "file_name": name, "width": 4, "height": 3} for i, name in enumerate(names)],
        "annotations": [
            {
                "id": i,
                "image_id": i,
                "category_id": i % 2,
                "bbox": [0, 0, 2, 2],
                "segmentation": SQUARE if regions else [],
            }
            for i in range(len(names))
        ],
        "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
    } | more


def segments(*names: str) -> dict[str, Any]:
    """A segment of a cat in each image."""
    annotations = [
        {"image_id": i, "file_name": f"{name[:-4]}.png", "segments_info": [{"id": 1, "category_id": 0}]}
        for i, name in enumerate(names)
    ]
    return content(*names, annotations=annotations)


@pytest.mark.parametrize(
    ("files", "data", "splits"),
    [
        ({"coco.json": content("a.jpg", "b.jpg")}, {"annotations": "coco.json"}, {None}),
        (
            {"images/a.jpg": "", "images/b.jpg": "", "annotations/instances.json": content("a.jpg", "b.jpg")},
            {"annotations": "annotations/instances.json", "images": "images"},
            {None},
        ),
        (
            {"x.json": content("images\\a.jpg", "images\\b.jpg"), "images/a.jpg": "", "images/b.jpg": ""},
            {"annotations": "x.json"},
            {None},
        ),
        (
            {
                "annotations/instances_train2017.json": content("c.jpg", "d.jpg"),
                "annotations/instances_val2017.json": content("e.jpg"),
                "annotations/person_keypoints_train2017.json": content("c.jpg"),
                "annotations/captions_train2017.json": {"images": [], "annotations": []},
                "train2017/c.jpg": "",
                "train2017/d.jpg": "",
                "val2017/e.jpg": "",
            },
            {
                "annotations": {
                    "train": "annotations/instances_train2017.json",
                    "eval": "annotations/instances_val2017.json",
                },
                "images": {"train": "train2017", "eval": "val2017"},
            },
            {None, "eval"},
        ),
        (
            {
                f"{part}/{name}": value
                for part, image in (("train", "f.jpg"), ("valid", "g.jpg"), ("test", "h.jpg"))
                for name, value in (("_annotations.coco.json", content(image)), (image, ""))
            },
            {
                "annotations": {
                    "train": "train/_annotations.coco.json",
                    "eval": "valid/_annotations.coco.json",
                    "test": "test/_annotations.coco.json",
                },
                "images": {"train": "train", "eval": "valid", "test": "test"},
            },
            {"train", "eval", "test"},
        ),
        (
            {
                "train.json": content("a.jpg"),
                "test.json": content("a.jpg", regions=True),
                "train/a.jpg": "",
                "test/a.jpg": "",
            },
            {"annotations": {"train": "train.json", "test": "test.json"}, "images": {"train": "train", "test": "test"}},
            {None, "test"},
        ),
    ],
)
def test_annotation_files_and_the_folders_of_their_images_are_found(
    see: See, taken: Take, tmp_path: Path, files: dict[str, Any], data: dict[str, Any], splits: set[str | None]
) -> None:
    images = [] if any("/" in name for name in files) else ["a.jpg", "b.jpg"]
    sight = see(tmp_path, *images, files=files)
    masks, tags = coco.recognise(sight)
    assert (dict(masks.data), dict(tags.data)) == (data, data)
    assert (masks.tasks, tags.tasks) == (("segmentation",), ("multi_label",))
    dataset, rule = taken(sight, masks)
    assert rule is not None
    assert dataset.labels == ("background", "cat", "dog")
    assert {record.split for record in dataset.records} == splits
    assert dataset.rejected == ()
    assert len(dataset.records) == len(sight.images)
    tagged, _ = taken(sight, tags)
    assert tagged.labels == ("cat", "dog")
    assert tagged.records[0].labels == ("cat",)


def test_boxes_alone_are_labels_of_images(see: See, taken: Take, tmp_path: Path) -> None:
    sight = see(tmp_path, "a.jpg", "b.jpg", files={"coco.json": content("a.jpg", "b.jpg", regions=False)})
    (proposal,) = coco.recognise(sight)
    assert proposal.tasks == ("multi_label",)
    assert [record.labels for record in taken(sight, proposal)[0].records] == [("cat",), ("dog",)]


def test_the_file_that_the_user_names_is_taken(see: See, tmp_path: Path) -> None:
    files = {"one.json": content("a.jpg"), "other.json": content("a.jpg", "b.jpg")}
    sight = replace(see(tmp_path, "a.jpg", "b.jpg", files=files), start="one.json")
    assert [proposal.data["annotations"] for proposal in coco.recognise(sight)] == ["one.json", "one.json"]
    assert list(coco.recognise(replace(sight, start="labels.csv"))) == []


def test_panoptic_files_are_found_with_their_masks(see: See, taken: Take, tmp_path: Path) -> None:
    files: dict[str, Any] = {"annotations/panoptic_train2017.json": segments("a.jpg", "b.jpg")}
    files |= {f"train2017/{name}.jpg": "" for name in "ab"} | {f"masks_train/{name}.png": "" for name in "ab"}
    sight = see(tmp_path, files=files)
    masks, tags = coco.recognise(sight)
    assert dict(masks.data) == {
        "annotations": {"train": "annotations/panoptic_train2017.json"},
        "images": {"train": "train2017"},
        "masks": {"train": "masks_train"},
    }
    dataset, _ = taken(sight, masks)
    assert [(record.path, record.mask) for record in dataset.records] == [
        ("train2017/a.jpg", "masks_train/a.png"),
        ("train2017/b.jpg", "masks_train/b.png"),
    ]
    assert taken(sight, tags)[0].labels == ("cat", "dog")


def test_a_category_called_background_is_the_background(see: See, tmp_path: Path) -> None:
    found = content("a.jpg", categories=[{"id": 0, "name": "cat"}, {"id": 1, "name": "Background"}])
    first, _ = coco.recognise(see(tmp_path, "a.jpg", files={"coco.json": found}))
    assert dict(first.labels) == {"background": "Background"}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"images": 3, "annotations": [], "categories": []}',
        "[" * 100_000,
        b"\xff\xfe",
        "",
        '{"images": [1]}',
    ],
)
def test_other_files_are_nothing(see: See, tmp_path: Path, text: str | bytes) -> None:
    assert list(coco.recognise(see(tmp_path, "a.jpg", files={"annotations.json": text}))) == []
