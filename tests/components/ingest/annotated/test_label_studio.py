"""Label Studio's JSON export."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from annotated_sets import Stored, reader

from components.data.dataset import LayoutError

Read = Callable[..., Stored]
DATA = {"layout": "label_studio", "annotations": "export.json", "images": "images"}
_ids = iter(range(1, 10_000))


@pytest.fixture
def read(tmp_path: Path, png: Callable[..., bytes]) -> Read:
    return reader(tmp_path, png)


def chosen(*labels: str, question: str = "class") -> dict[str, Any]:
    value = {"choices": list(labels)}
    return {"id": f"r{next(_ids)}", "type": "choices", "from_name": question, "to_name": "image", "value": value}


def region(kind: str, label: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    item = {
        "id": f"r{next(_ids)}",
        "type": kind,
        "from_name": "label",
        "to_name": "image",
        "value": value | {kind: [label]},
    }
    return item | {"original_width": 4, "original_height": 3, "image_rotation": 0} | more


def annotation(*result: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": next(_ids), "result": list(result), "was_cancelled": False, "ground_truth": False} | more


def task(name: str, *annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": next(_ids), "data": {"image": name}, "annotations": list(annotations), "predictions": []} | more


def files(*tasks: dict[str, Any], names: str = "abcdefg") -> dict[str, Any]:
    return {"export.json": list(tasks), **{f"images/{name}.png": None for name in names}}


def test_which_annotation_counts(read: Read) -> None:
    first = annotation(chosen("cat"))
    guess = {"id": 1, "result": [chosen("cat")], "score": 0.9}
    twice = task("f.png", annotation(chosen("cat")))
    found = read(
        files(
            task("a.png", first, annotation(chosen("dog"), parent_annotation=first["id"])),  # the later one
            task("b.png", annotation(chosen("cat"), was_cancelled=True)),  # skipped
            task("c.png", predictions=[guess]),  # a model's guess
            task("d.png", annotation(chosen("cat")), annotation(chosen("dog"))),  # two people who disagree
            task("e.png", annotation(chosen("dog")), annotation(chosen("dog"))),  # two people who agree
            twice,
            twice,  # the same task twice
            task("g.png", annotation(chosen("cat"), ground_truth=True), annotation(chosen("dog"))),
        ),
        "single_label",
        DATA,
    )
    assert found.labels == {
        "images/a.png": ("dog",),
        "images/b.png": (),
        "images/c.png": (),
        "images/e.png": ("dog",),
        "images/f.png": ("cat",),
        "images/g.png": ("cat",),
    }
    assert found.unknown == {"images/b.png", "images/c.png"}
    assert found.dataset.ignored == ("images/d.png",)
    assert found.rejected == {}
    assert set(found.dataset.notes) == {
        "1 annotation was replaced by a later one that was made from it: images/a.png",
        "1 annotation was skipped by the annotator and left out: images/b.png",
        "1 image has only predictions of a model, which are no labels: images/c.png",
        "1 image was left out because its annotations disagree: images/d.png",
        "1 further annotation agrees with another of the same image: images/e.png",
        "1 task is of an image that has another task, and was merged with it: images/f.png",
        "1 annotation was left out because another one is marked as ground truth: images/g.png",
        "2 images are not annotated, so that their labels are unknown: images/b.png, images/c.png",
    }


def test_a_chain_of_corrections_and_one_that_was_skipped(read: Read) -> None:
    first = annotation(chosen("cat"))
    second = annotation(chosen("dog"), parent_annotation=first["id"])
    third = annotation(chosen("emu"), parent_annotation=second["id"])
    skipped = annotation(chosen("cat"), parent_annotation=third["id"], was_cancelled=True)
    found = read(files(task("a.png", third, first, skipped, second)), "single_label", DATA)
    assert found.labels == {"images/a.png": ("emu",)}


def test_several_choices_are_labels_and_an_empty_answer_is_none_of_them(read: Read) -> None:
    tasks = [
        task("a.png", annotation(chosen("no", "on"), {"id": "t", "type": "textarea", "value": {"text": ["hm"]}})),
        task("b.png", annotation(region("rectanglelabels", "010", {"x": 0, "y": 0, "width": 9, "height": 9}))),
        task("c.png", annotation()),
        task("d.png"),
    ]
    found = read(files(*tasks), "multi_label", DATA)
    assert found.dataset.labels == ("010", "no", "on")
    assert found.labels == {
        "images/a.png": ("no", "on"),
        "images/b.png": ("010",),
        "images/c.png": (),
        "images/d.png": (),
    }
    assert found.unknown == {"images/d.png"}


def test_regions_in_percent_are_drawn_in_order(read: Read) -> None:
    # An image of 4 x 3: 25 % is a column, 33.3… % a row.
    left = {"points": [[0, 0], [50, 0], [50, 100], [0, 100]]}
    last_row = {"x": 25, "y": 200 / 3, "width": 50, "height": 100 / 3, "rotation": 0}
    # Turned by 90 degrees around its first corner (4, 0), a box of 2 x 1 goes down 2 rows in the last column.
    turned = {"x": 100, "y": 0, "width": 50, "height": 100 / 3, "rotation": 90}
    circle = {"x": 12.5, "y": 50 / 3, "radiusX": 15, "radiusY": 20, "rotation": 0}  # around the first pixel
    shapes = [
        region("polygonlabels", "cat", left),
        region("rectanglelabels", "dog", last_row),
        region("rectanglelabels", "emu", turned),
        region("ellipselabels", "emu", circle),
        region("keypointlabels", "dog", {"x": 1, "y": 1, "width": 1}),
    ]
    found = read(files(task("a.png", annotation(*shapes))), "segmentation", DATA, {"background": "ground"})
    assert found.dataset.labels == ("cat", "dog", "emu", "ground")
    assert found.masks == {"images/a.png": [[2, 0, 3, 2], [0, 0, 3, 2], [0, 1, 1, 3]]}
    assert "1 key point covers no pixels and was left out: images/a.png" in found.dataset.notes


def test_brushes_are_masks(read: Read) -> None:
    # 3 rows of 4, of which the second is painted: runs of 16 values of 0, 16 of 255 and 16 of 0; see rle-pack:
    # 48 values, 8 bits each (7), run lengths of 3, 4, 8 or 16 bits (2, 3, 7, 15); each run repeats (1), its length has
    # 4 bits (01), is 16 (15), then the value.
    bits = f"{48:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    bits += "".join(f"101{15:04b}{value:08b}" for value in (0, 255, 0))
    bits += "0" * (-len(bits) % 8)
    rle = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    plain = region("brush", "", {"format": "rle", "rle": rle})
    plain["value"].pop("brush")
    label = {"id": plain["id"], "type": "labels", "from_name": "l", "value": {"labels": ["cat"]}}
    tasks = [
        task("a.png", annotation(region("brushlabels", "cat", {"format": "rle", "rle": rle}))),
        task("b.png", annotation(plain, label)),  # a shape and its label, as two results with one id
    ]
    found = read(files(*tasks), "segmentation", DATA, {"background": "ground"})
    assert found.masks == {f"images/{name}.png": [[1] * 4, [0] * 4, [1] * 4] for name in "ab"}


@pytest.mark.parametrize(
    "name",
    [
        "/data/upload/3/0a1b2c3d-my_photo_1.png",
        "/data/local-files/?d=images/my%20photo%20(1).png",
        "/data/local-files/?d=C%3A%5Cpictures%5Cmy%20photo%20(1).png",
        "s3://bucket/images/my photo (1).png",
        "https://example.org/x/my%20photo%20(1).png?token=a.jpg",
        "my photo (1).png",
        "images/my photo (1).png",
    ],
)
def test_names_of_images(read: Read, name: str) -> None:
    files = {"export.json": [task(name, annotation(chosen("cat")))], "images/my photo (1).png": None}
    assert read(files, "multi_label", DATA).labels == {"images/my photo (1).png": ("cat",)}


def test_uploads_that_kept_their_prefix_and_names_that_are_there_twice(read: Read) -> None:
    files = {
        "export.json": [
            task("/data/upload/1/0a1b2c3d-x.png", annotation(chosen("cat"))),
            task("/data/local-files/?d=p/y.png", annotation(chosen("cat"))),
            task("https://a.org/z.png", annotation(chosen("cat"))),
            task("gone.png", annotation(chosen("cat"))),
        ],
        "images/0a1b2c3d-x.png": None,
        "images/x.png": None,
        "images/p/y.png": None,
        "images/q/y.png": None,
        "images/1/z.png": None,
        "images/2/z.png": None,
    }
    found = read(files, "multi_label", DATA)
    assert list(found.labels) == ["images/0a1b2c3d-x.png", "images/p/y.png"]
    assert "could be any of images/1/z.png, images/2/z.png" in found.rejected["/z.png"]
    assert "there is no such file" in found.rejected["gone.png"]


def test_two_names_for_one_file_are_refused(read: Read) -> None:
    tasks = [task("p/a.png", annotation(chosen("cat"))), task("q/a.png", annotation(chosen("dog")))]
    found = read(files(*tasks), "multi_label", DATA, {"names": ["cat", "dog"]})
    assert found.labels == {}
    assert "the same file is also named by task" in found.rejected["images/a.png"]


def test_the_key_of_the_image_and_choices_about_regions(read: Read) -> None:
    box = region("rectanglelabels", "cat", {"x": 0, "y": 0, "width": 50, "height": 50})
    about = chosen("occluded") | {"id": box["id"]}
    one = {"id": 1, "data": {"picture": "a.png", "caption": "a cat"}, "annotations": [annotation(box, about)]}
    found = read(files(one), "multi_label", DATA)
    assert found.labels == {"images/a.png": ("cat",)}


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ([region("polygonlabels", "cat", {"points": [[0, 0], [1, 1]]})], "expected a polygon of 3 points"),
        (
            [region("polygonlabels", "cat", {"points": [[0, 0], [1, 1], [2, None]]})],
            "expected a finite number, got 'None'",
        ),
        ([region("brushlabels", "cat", {"format": "rle", "rle": [256]})], "numbers from 0 to 255"),
        ([region("rectanglelabels", "cat", {}, original_width=None)], "has no original_width"),
        ([region("rectanglelabels", "cat", {}, image_rotation=90)], "was turned in Label Studio, by 90 degrees"),
        ([region("bitmasklabels", "cat", {})], "a region of type 'bitmask' cannot be drawn"),
        ([7], "expected a list of results"),
    ],
)
def test_a_broken_annotation_rejects_its_image(read: Read, result: list[Any], reason: str) -> None:
    box = region("rectanglelabels", "cat", {"x": 0, "y": 0, "width": 50, "height": 50})
    found = read(
        files(task("a.png", annotation(*result)), task("b.png", annotation(box)), task("c.png")),
        "segmentation",
        DATA,
        {"background": "ground"},
    )
    assert list(found.labels) == ["images/b.png"]
    assert reason in found.rejected["images/a.png"]
    assert "images/c.png" in found.dataset.ignored
    assert "1 image is not annotated and was left out: images/c.png" in found.dataset.notes


def test_several_questions_are_refused_for_single_labels(read: Read) -> None:
    tasks = [task("a.png", annotation(chosen("cat"), chosen("sharp", question="quality")))]
    with pytest.raises(
        LayoutError, match=r"answer several questions, 'class', 'quality'; export the annotations of one"
    ):
        read(files(*tasks), "single_label", DATA)
    assert read(files(*tasks), "multi_label", DATA).labels == {"images/a.png": ("cat", "sharp")}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ([{"id": 1, "image": "a.png", "choice": "cat"}], "has no data; expected a task with data"),
        ({"images": []}, "expected a list of tasks"),
        ("{", "not valid JSON"),
        ([], "names no image"),
    ],
)
def test_another_file_is_refused(read: Read, text: Any, reason: str) -> None:
    with pytest.raises(LayoutError, match=reason):
        read({"export.json": text, "images/a.png": None}, "multi_label", DATA)


def test_json_min(read: Read) -> None:
    own = {"annotator": 1, "created_at": "2026-01-01T00:00:00Z", "lead_time": 1.5}
    box = {"x": 0, "y": 0, "width": 50, "height": 100, "rectanglelabels": ["emu"]}
    box |= {"rotation": 0, "original_width": 4, "original_height": 3}
    export = [
        {"id": 1, "image": "/data/upload/1/0a1b2c3d-a.png", "annotation_id": 1, "choice": "cat"} | own,
        {"id": 2, "image": "/data/upload/1/0a1b2c3d-b.png", "annotation_id": 2, "choice": {"choices": ["no", "on"]}}
        | own,
        {"id": 3, "image": "/data/upload/1/0a1b2c3d-c.png", "annotation_id": 3, "label": [box]} | own,
        {"id": 4, "image": "/data/upload/1/0a1b2c3d-d.png", "annotation_id": 4, "choice": "cat"} | own,
        {"id": 4, "image": "/data/upload/1/0a1b2c3d-d.png", "annotation_id": 5, "choice": "no"} | own,  # they disagree
    ]
    found = read(files() | {"export.json": export}, "multi_label", DATA)
    assert found.labels == {"images/a.png": ("cat",), "images/b.png": ("no", "on"), "images/c.png": ("emu",)}
    assert "images/d.png" in found.dataset.ignored
    masks = read(files() | {"export.json": export[2:3]}, "segmentation", DATA, {"background": "ground"}).masks
    assert masks == {"images/c.png": [[0, 0, 1, 1]] * 3}
    with pytest.raises(LayoutError, match=r"the keys 'caption', 'choice' hold text, so it is not clear which are"):
        read(files() | {"export.json": [export[0] | {"caption": "x"}]}, "multi_label", DATA)
