"""LabelMe's JSON files."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated_sets import Stored, reader
from PIL import Image

from components.data.dataset import LayoutError

Read = Callable[..., Stored]
DATA = {"layout": "labelme"}


@pytest.fixture
def read(tmp_path: Path, png: Callable[..., bytes]) -> Read:
    return reader(tmp_path, png)


def shape(label: str, *points: list[float], kind: str = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": list(points), "shape_type": kind, "flags": {}, "group_id": None} | more


def content(
    *shapes: dict[str, Any], path: str = "", flags: dict[str, bool] | None = None, **more: Any
) -> dict[str, Any]:
    found = {"version": "5.5.0", "flags": flags or {}, "shapes": list(shapes), "imagePath": path, "imageData": "!"}
    return found | {"imageWidth": 4, "imageHeight": 3} | more


LEFT = ([0.0, 0.0], [2.0, 0.0], [2.0, 3.0], [0.0, 3.0])


def test_labels_of_shapes(read: Read) -> None:
    files = {
        "a.jpg": None,
        "a.json": content(shape("dog", *LEFT), shape("cat", [1, 1], kind="point"), shape("dog", *LEFT), path="a.jpg"),
        "b.jpg": None,
        "b.json": content(path="b.jpg", flags={"blurred": True}),
        "c.jpg": None,
        "notes.json": {"anything": 1},
    }
    found = read(files, "multi_label", DATA)
    assert found.labels == {"a.jpg": ("cat", "dog"), "b.jpg": ()}
    assert found.dataset.ignored == ("c.jpg", "notes.json")
    assert found.dataset.notes == (
        "1 JSON file is not LabelMe's and was left out: notes.json",
        "1 image has flags, which were left out: labels come from the shapes: b.jpg",
        "1 image has no JSON file, so that nobody annotated it, and was left out: c.jpg",
    )


def test_flags_are_labels_where_there_are_no_shapes(read: Read) -> None:
    files = {
        **{f"{name}.jpg": None for name in "abc"},
        "a.json": content(path="a.jpg", flags={"no": True, "yes": False}),
        "b.json": content(path="b.jpg", flags={"no": False, "yes": True}),
        "c.json": content(path="c.jpg", flags={"no": False, "yes": False}),
    }
    found = read(files, "single_label", DATA)
    assert found.labels == {"a.jpg": ("no",), "b.jpg": ("yes",), "c.jpg": ()}
    assert found.unknown == {"c.jpg"}
    assert found.dataset.notes == ("1 image is not annotated, so that its labels are unknown: c.jpg",)
    assert read(files, "multi_label", DATA).unknown == set()  # none of the labels applies
    files["c.json"] = content(path="c.jpg", flags={"no": True, "yes": True})
    assert "has the labels 'no', 'yes'; this task needs one" in read(files, "single_label", DATA).rejected["c.jpg"]


def test_regions_are_drawn_in_the_order_of_the_file(read: Read) -> None:
    out = io.BytesIO()
    Image.fromarray(np.array([[1, 0], [1, 1]], bool)).save(out, "PNG")
    mask = base64.b64encode(out.getvalue()).decode()
    files = {
        "a.png": None,
        "a.json": content(
            shape("cat", *LEFT),
            shape("dog", [3.0, 3.0], [1.0, 2.0], kind="rectangle"),  # the last row, columns 1 and 2
            shape("emu", [2, 0], [3, 1], kind="mask", mask=mask),
            shape("cat", [1, 1], [2, 2], kind="line"),
        ),
        "b.png": None,
        "b.json": content(shape("dog", [2.0, 1.5], [2.0, 0.5], kind="circle")),  # centres within 1 of (2, 1.5)
    }
    found = read(files, "segmentation", DATA, {"background": "ground"})
    assert found.dataset.labels == ("cat", "dog", "emu", "ground")
    assert found.masks == {
        "a.png": [[0, 0, 2, 3], [0, 0, 2, 2], [0, 1, 1, 3]],
        # From (1.5, 1.5) it is 0.5 to the centre, from (1.5, 0.5) the root of 1.25.
        "b.png": [[3, 3, 3, 3], [3, 1, 1, 3], [3, 3, 3, 3]],
    }
    assert found.dataset.notes == ("1 point or line covers no pixels and was left out: a.json",)


def test_folders_of_images_and_annotations_and_windows_paths(read: Read) -> None:
    files = {
        "img/s1/a.jpg": None,
        "ann/s1/a.json": content(shape("cat", *LEFT), path="..\\\\..\\\\elsewhere\\\\a.jpg"),
        "img/IMG_7.JPG": None,
        "ann/7.json": content(shape("dog", *LEFT), path="..\\img\\IMG_7.jpg"),
        "ann/8.json": content(shape("dog", *LEFT), path="../../../etc/passwd"),
        "img/9.jpg": None,
        "ann/9.json": content(shape("dog", *LEFT), path="old.jpg"),
    }
    found = read(files, "multi_label", DATA | {"annotations": "ann", "images": "img"})
    assert found.labels == {"img/IMG_7.JPG": ("dog",), "img/9.jpg": ("dog",), "img/s1/a.jpg": ("cat",)}
    assert "there is no such file" in found.rejected["../../../etc/passwd"]
    assert any(
        note.startswith("1 JSON file names another image than the one beside it") for note in found.dataset.notes
    )


def test_folders_of_splits(read: Read) -> None:
    files = {
        "train/a.jpg": None,
        "train/a.json": content(shape("cat", *LEFT)),
        "val/a.jpg": None,
        "val/a.json": content(shape("dog", *LEFT)),
    }
    found = read(files, "multi_label", DATA | {"images": {"train": "train", "val": "val"}})
    assert found.labels == {"train/a.jpg": ("cat",), "val/a.jpg": ("dog",)}
    assert found.splits == {"train/a.jpg": None, "val/a.jpg": "eval"}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (content(shape("", *LEFT)), "shape 1: expected an object with a label"),
        (content(shape("cat", [0, 0], [1, 1])), "expected a polygon of 3 points or more, got 2"),
        (content(shape("cat", [0, 0], [1, "x"], [2, 2])), "expected a finite number, got 'x'"),
        (content(shape("cat", [0, 0], [0, 0], kind="circle")), "a circle with a radius above 0"),
        (content(shape("cat", [0, 0], kind="blob")), "'blob' is no known shape_type"),
        (content(shape("cat", [0, 0], [1, 1], kind="mask")), "expected a mask in base64"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "a.json: "),
    ],
)
def test_a_file_that_cannot_be_read_rejects_its_image(read: Read, broken: Any, reason: str) -> None:
    files = {"a.jpg": None, "a.json": broken, "b.jpg": None, "b.json": content(shape("cat", *LEFT))}
    found = read(files, "segmentation", DATA, {"background": "ground"})
    assert list(found.labels) == ["b.jpg"]
    assert reason in found.rejected["a.jpg"]


def test_a_size_that_differs_from_the_image_rejects_it(read: Read) -> None:
    files = {"a.png": None, "a.json": content(shape("cat", *LEFT), imageWidth=9)}
    found = read(files, "segmentation", DATA, {"background": "ground"})
    assert "9 x 3 pixels" in found.masks["a.png"]
    with pytest.raises(LayoutError, match=r"there is no JSON file of LabelMe"):
        read({"a.json": {"x": 1}}, "multi_label", DATA)


def test_names_are_trimmed_and_lookalikes_are_refused(read: Read) -> None:
    files = {
        "a.jpg": None,
        "a.json": content(shape("cat ", *LEFT), shape("cafe\u0301", *LEFT)),
        "b.jpg": None,
        "b.json": content(shape("cat", *LEFT)),
    }
    found = read(files, "multi_label", DATA)
    assert found.labels == {"a.jpg": ("caf\u00e9", "cat"), "b.jpg": ("cat",)}
    assert read(files, "segmentation", DATA, {"background": "ground"}).masks["b.jpg"][0] == [1, 1, 2, 2]
    files["b.json"] = content(shape("Cat", *LEFT))
    with pytest.raises(LayoutError, match=r"differ only in case or blanks"):
        read(files, "multi_label", DATA)


def test_two_images_of_one_name_are_told_apart_by_the_name_in_the_file(read: Read) -> None:
    files = {"a.jpg": None, "a.png": None, "a.json": content(shape("cat", *LEFT), path="a.png")}
    found = read(files, "multi_label", DATA)
    assert found.labels == {"a.png": ("cat",)}
    assert "1 image has no JSON file, so that nobody annotated it, and was left out: a.jpg" in found.dataset.notes
    files |= {"a.json": content(shape("cat", *LEFT))}
    assert "could be the annotation of a.jpg and a.png" in read(files, "multi_label", DATA).rejected["a"]
