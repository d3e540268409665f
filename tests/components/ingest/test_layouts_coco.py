"""COCO's annotation files."""

import io
import time
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image
from trees import SPLIT, documented, encoded, tree

from components.base.errors import ConfigError
from components.data import masks
from components.data.dataset import Dataset, LayoutError
from components.data.mask_rules import rule
from components.ingest import shards
from components.ingest.layouts import coco
from components.ingest.layouts.annotated.shared.entries import Found
from components.ingest.layouts.instances import categories

CATEGORIES = [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}, {"id": 9, "name": "owl"}]
IMAGES = [
    {"id": 1, "file_name": "a.jpg", "width": 4, "height": 3},
    {"id": 2, "file_name": "b.jpg", "width": 4, "height": 3},
]


def square(size: float) -> list[list[float]]:
    return [[0, 0, size, 0, size, size, 0, size]]


def annotation(key: int, image: int, category: int, size: float = 1, **more: Any) -> dict[str, Any]:
    return {"id": key, "image_id": image, "category_id": category, "segmentation": square(size), "iscrowd": 0} | more


def content(*annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"images": IMAGES, "annotations": list(annotations), "categories": CATEGORIES} | more


def read(folder: Path, found: Any, task: str = "multi_label", **more: Any) -> Dataset:
    """The data set of the images a.jpg and b.jpg and this annotation file."""
    root = tree(folder, {"instances.json": found, "a.jpg": "a", "b.jpg": "b"})
    more = {"annotations": "instances.json"} | more
    return coco.read(root, SPLIT, more.pop("names", None), per_pixel=task == "segmentation", **more)  # type: ignore[arg-type]


def drawn(dataset: Dataset, **more: Any) -> Any:
    """The mask of the first image: (pixels of each label, ignored)."""
    mask = masks.draw(dataset.records[0].regions, 4, 3, rule(dataset.labels, **more))
    return dict(zip(dataset.labels, mask.pixels, strict=True)), mask.ignored


def test_categories_that_are_present_are_the_labels(tmp_path: Path) -> None:
    found = content(annotation(1, 1, 3), annotation(2, 1, 7), annotation(3, 1, 3, iscrowd=1))
    dataset = read(tmp_path, found)
    assert dataset.labels == ("cat", "dog", "owl")  # owl never occurs, but is named
    assert [(r.path, r.labels, r.unknown) for r in dataset.records] == [
        ("a.jpg", ("cat", "dog"), ()),
        ("b.jpg", (), ()),  # an image without annotations has none of them, which is known
    ]
    assert dataset.rejected == dataset.ignored == ()
    assert read(tmp_path, found, names=("dog", "cat")).labels == ("dog", "cat")  # owl is in no image
    with pytest.raises(
        LayoutError, match=r"data\.annotations: found the label 'cat', but labels\.names lists only 'dog'"
    ):
        read(tmp_path, found, names=("dog",))


def test_smaller_objects_lie_on_top(tmp_path: Path) -> None:
    # A dog of 3 x 3, a cat of 2 x 2 on it, an owl of 1 x 1 on top: 9 - 4, 4 - 1 and 1 pixels, 12 - 9 beside them.
    found = content(annotation(1, 1, 9, 1), annotation(2, 1, 3, 3), annotation(3, 1, 7, 2))
    dataset = read(tmp_path, found, "segmentation")
    assert drawn(dataset) == ({"cat": 3, "dog": 5, "owl": 1}, 3)
    assert dataset.records[0].labels == ()


def test_the_stated_area_counts_and_of_equal_ones_the_smaller_id_is_below(tmp_path: Path) -> None:
    first, second = annotation(1, 1, 3, 2), annotation(2, 1, 7, 2)
    assert drawn(read(tmp_path, content(second, first), "segmentation"))[0]["cat"] == 4
    assert drawn(read(tmp_path, content(second | {"area": 5}, first | {"area": 4}), "segmentation"))[0]["dog"] == 4
    # Without an area, or with 0, it is 2 x 2 of the polygon.
    assert drawn(read(tmp_path, content(second | {"area": 0}, first | {"area": 3.5}), "segmentation"))[0]["dog"] == 4


def test_run_lengths_of_crowds_are_read(tmp_path: Path) -> None:
    # Down the columns of 4 x 3 pixels: 3 of 0, 6 of 1, 3 of 0, so columns 1 and 2.
    crowd = annotation(1, 1, 3, segmentation={"size": [3, 4], "counts": [3, 6, 3]}, iscrowd=1)
    assert drawn(read(tmp_path, content(crowd), "segmentation")) == ({"cat": 0, "dog": 6, "owl": 0}, 6)


def test_background_and_an_ignored_category_are_configurable(tmp_path: Path) -> None:
    found = content(annotation(1, 1, 3, 2), annotation(2, 1, 9, 1))
    dataset = read(tmp_path, found, "segmentation", background="ground", ignore="owl")
    assert dataset.labels == ("cat", "dog", "ground")
    mask = masks.draw(
        dataset.records[0].regions, 4, 3, rule([*dataset.labels, "owl"], ignore="owl", background="ground")
    )
    assert (mask.pixels, mask.ignored) == ((0, 3, 8), 1)  # 12 - 4 of ground, 4 - 1 of dog, 1 of owl
    named = read(tmp_path, found, "segmentation", names=("ground", "dog", "owl"), ignore="owl", background="ground")
    assert named.labels == ("ground", "dog")
    with pytest.raises(ConfigError, match=r"labels\.ignore: 'void' is not a category; there are 'cat', 'dog', 'owl'"):
        read(tmp_path, found, "segmentation", ignore="void")


def test_each_annotation_file_is_a_split(tmp_path: Path) -> None:
    one = {"images": IMAGES[:1], "annotations": [annotation(1, 1, 3)], "categories": CATEGORIES[:1]}
    # Another file may number images and categories in its own way.
    other = one | {"categories": [{"id": 3, "name": "cat"}]}
    root = tree(tmp_path, {"train.json": one, "val.json": other, "t/a.jpg": "1", "v/a.jpg": "2", "v/b.jpg": "3"})
    paths = {"train": "train.json", "val": "val.json"}
    dataset = coco.read(root, SPLIT, annotations=paths, images={"train": "t", "eval": "v"}, per_pixel=False)
    assert [(r.path, r.split, r.labels) for r in dataset.records] == [
        ("t/a.jpg", None, ("dog",)),
        ("v/a.jpg", "eval", ("cat",)),
    ]
    assert dataset.fractions == pytest.approx({"train": 8 / 9, "test": 1 / 9})
    assert dataset.ignored == ("v/b.jpg",)
    with pytest.raises(ConfigError, match=r"data\.images: has other splits than data\.annotations"):
        coco.read(root, SPLIT, annotations="train.json", images={"train": "t"}, per_pixel=False)


def test_files_that_cannot_be_used_are_rejected(tmp_path: Path) -> None:
    names = ["a.jpg", "no.jpg", "../x.jpg", "/else.jpg", "./a.jpg", "b.jpg"]
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    dataset = read(tmp_path, content(images=images))
    assert [r.path for r in dataset.records] == ["b.jpg"]
    reasons = [reason for _, reason in dataset.rejected]
    assert len(reasons) == 5
    assert [reason.split(" in ")[0] for reason in reasons if "no such file" in reason] == [
        f"image {i} of instances.json: there is no such file"
        for i in (2, 3, 1)  # sorted by path
    ]
    twice = "image 0 of instances.json: the same file is also named by image 4 of instances.json; remove all but one"
    assert twice in reasons


def test_one_annotation_file_cannot_be_two_splits(tmp_path: Path) -> None:
    dataset = read(tmp_path, content(), annotations={"train": "instances.json", "val": "instances.json"})
    assert dataset.records == ()
    assert len(dataset.rejected) == 4


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[0, 0, 1, 0, 1]], "expected polygons [x1, y1, x2, y2, …] of 3 points or more, got 5 numbers"),
        ([[0, 0, 1, 1]], "expected polygons [x1, y1, x2, y2, …] of 3 points or more, got 4 numbers"),
        ([], "expected a list of polygons, or run lengths {size, counts}"),
        (None, "expected a list of polygons, or run lengths {size, counts}"),
        ({"counts": [1]}, "expected run lengths {size: [height, width], counts: a list or text}"),
        ({"size": [3, 4], "counts": "\t"}, r"a malformed region: '\t' is not a character of compressed run lengths"),
    ],
)
def test_malformed_regions_reject_their_image(tmp_path: Path, segmentation: Any, reason: str) -> None:
    found = content(annotation(5, 1, 3, segmentation=segmentation), annotation(6, 2, 3))
    dataset = read(tmp_path, found, "segmentation")
    assert [r.path for r in dataset.records] == ["b.jpg"]
    assert dataset.rejected == (("a.jpg", f"image 1 of instances.json: annotation 5 (dog): {reason}"),)
    assert len(read(tmp_path, found).records) == 2  # for labels alone nobody needs the region


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("{", r"instances\.json: not valid JSON"),
        ([], r"expected COCO instances: an object with the lists images, annotations, categories"),
        ({"images": IMAGES, "categories": CATEGORIES}, r"expected COCO instances"),
        (content(images=[]), r"instances\.json: the list of images is empty"),
        (content(categories=[]), r"data\.annotations: there is no category to learn"),
        (content(annotation(5, 1, 8)), r"annotation 5 of instances\.json: there is no category with the id 8"),
        (content(annotation(5, 4, 3)), r"annotation 5 of instances\.json: there is no image with the id 4"),
        (content({"id": 5}), r"annotation 5 of instances\.json: there is no image with the id None"),
        (content(images=[*IMAGES, {"id": 1, "file_name": "c.jpg"}]), r"images\[2\]: the id 1 is twice"),
        (
            content(categories=[*CATEGORIES, {"id": 4, "name": "cat "}]),
            r"the name 'cat' as well \(written 'cat' and 'cat '\)",
        ),
        (content(categories=[*CATEGORIES, {"id": 4, "name": "Cat"}]), r"'Cat' and 'cat' differ only in case or blanks"),
        ({"info": {}, "images": IMAGES}, r"it lacks annotations, categories and has images, info"),
        (content(categories=[*CATEGORIES, {"id": 3, "name": "x"}]), r"categories\[3\]: the id 3 is twice"),
        (content(categories=[*CATEGORIES, {"id": 4, "name": "cat"}]), r"category 4 of .* the name 'cat' as well"),
        (content(categories=[{"id": 4}]), r"category 4 of instances\.json: expected a name, got None"),
        (content(categories=[{"id": 4, "name": " "}]), r"category 4 of instances\.json: ' ' cannot be a label name"),
        (content(images=[{"id": 1}]), r"image 1 of instances\.json: expected a file_name, got None"),
        (content(images=["a.jpg"]), r"images\[0\]: expected an object with an id"),
        (content(images=[{"id": 1.5, "file_name": "a.jpg"}]), r"images\[0\]: expected an object with an id, a whole"),
        (b'{"images": "\xff"}', r"data\.annotations: instances\.json is not UTF-8 text"),
    ],
)
def test_annotations_without_an_image_or_category_are_refused(tmp_path: Path, found: Any, message: str) -> None:
    with pytest.raises(LayoutError, match=message):
        read(tmp_path, found)


def test_a_missing_annotation_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.annotations: x\.json: there is no such file"):
        read(tmp_path, content(), annotations="x.json")


def test_a_data_set_behind_a_url_reads_like_a_folder() -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe("/coco-test/images/a.jpg", b"a")
    tables = '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": [{"id": 1, "name": "x"}]}'
    fs.pipe("/coco-test/instances.json", tables.encode())
    dataset = coco.read("memory://coco-test", SPLIT, annotations="instances.json", images="images", per_pixel=False)
    assert [r.path for r in dataset.records] == ["images/a.jpg"]


def test_the_documented_configuration_reads_its_data_set(tmp_path: Path) -> None:
    config = documented("coco", "coco")
    data, background = config["data"], config["labels"]["background"]
    files: dict[str, Any] = {path: content(annotation(1, 1, 3, 2)) for path in data["annotations"].values()}
    files |= {f"{folder}/{name}.jpg": name for folder in data["images"].values() for name in "ab"}
    dataset = coco.read(
        tree(tmp_path, files),
        SPLIT,
        annotations=data["annotations"],
        images=data["images"],
        per_pixel=config["task"] == "segmentation",
        background=background,
    )
    assert [(r.path, r.split) for r in dataset.records] == [
        ("train2017/a.jpg", None),
        ("train2017/b.jpg", None),
        ("val2017/a.jpg", "eval"),
        ("val2017/b.jpg", "eval"),
    ]
    assert drawn(dataset, background=background) == ({"background": 8, "cat": 0, "dog": 4, "owl": 0}, 0)


# What real exports hold.


def test_a_category_that_only_groups_others_is_left_out_and_said(tmp_path: Path) -> None:
    """Roboflow writes such a category with the id 0."""
    kinds = [{"id": 0, "name": "animals", "supercategory": "none"}]
    kinds += [{"id": i, "name": name, "supercategory": "animals"} for i, name in enumerate(("cat", "dog"), 1)]
    found = content(annotation(1, 1, 1), annotation(2, 2, 2), categories=kinds)
    dataset = read(tmp_path, found)
    assert dataset.labels == ("cat", "dog")
    assert dataset.notes == ("1 category has no annotation and only groups others, and is no label: animals",)
    assert read(tmp_path, found | {"annotations": [annotation(1, 1, 0), annotation(2, 2, 1)]}).labels == (
        "animals",
        "cat",
        "dog",
    )


def test_a_group_of_the_name_of_its_only_category_is_left_out(tmp_path: Path) -> None:
    kinds = [{"id": 0, "name": "cat", "supercategory": "none"}, {"id": 1, "name": "cat", "supercategory": "cat"}]
    dataset = read(tmp_path, content(annotation(1, 1, 1), annotation(2, 2, 1), categories=kinds))
    assert dataset.labels == ("cat",)
    assert [record.labels for record in dataset.records] == [("cat",), ("cat",)]


def test_an_annotation_of_an_image_that_is_not_listed_is_counted_and_left_out(tmp_path: Path) -> None:
    dataset = read(
        tmp_path, content(*(annotation(i, 1, 3) for i in range(499)), annotation(499, 2, 3), annotation(7000, 9, 7))
    )
    assert [record.labels for record in dataset.records] == [("dog",), ("dog",)]
    (note,) = dataset.notes
    assert note == (
        "1 annotation belongs to no image in the list of images, and is left out: "
        "annotation 7000 of instances.json (image_id 9)"
    )


@pytest.mark.parametrize(
    "name",
    [
        "images/a.jpg",
        "images\\a.jpg",
        "C:\\data\\images\\a.jpg",
        "/home/me/images/a.jpg",
        "./a.jpg",
        "http://images.cocodataset.org/val2017/a.jpg?size=1",
        "A.JPG",
    ],
)
def test_file_names_with_folders_backslashes_and_urls_find_their_image(tmp_path: Path, name: str) -> None:
    images = [IMAGES[0] | {"file_name": name}, IMAGES[1]]
    dataset = read(tmp_path, content(annotation(1, 1, 3), annotation(2, 2, 3), images=images))
    assert [record.path for record in dataset.records] == ["a.jpg", "b.jpg"]
    assert dataset.rejected == ()


def test_an_image_without_a_file_name_is_found_by_its_url(tmp_path: Path) -> None:
    images = [{"id": 1, "coco_url": "http://images.cocodataset.org/val2017/a.jpg"}]
    dataset = read(tmp_path, content(annotation(1, 1, 3), images=images))
    assert [record.path for record in dataset.records] == ["a.jpg"]


def test_images_below_folders_are_found_without_them(tmp_path: Path) -> None:
    root = tree(
        tmp_path, {"i.json": content(annotation(1, 1, 3), annotation(2, 2, 3)), "x/y/a.jpg": "a", "x/z/b.jpg": "b"}
    )
    dataset = coco.read(root, SPLIT, annotations="i.json", per_pixel=False)
    assert [record.path for record in dataset.records] == ["x/y/a.jpg", "x/z/b.jpg"]
    assert dataset.notes[0].startswith("2 images were found by the end of their path")


def test_ids_may_be_text_or_floats(tmp_path: Path) -> None:
    found = {
        "images": [{"id": "1", "file_name": "a.jpg"}, {"id": 2.0, "file_name": "b.jpg"}],
        "annotations": [annotation(1, 1, 3) | {"category_id": "3"}, annotation(2, 2, 3) | {"image_id": "2"}],
        "categories": CATEGORIES,
    }
    assert [record.labels for record in read(tmp_path, found).records] == [("dog",), ("dog",)]
    named = {"images": [{"id": "a", "file_name": "a.jpg"}], "annotations": [annotation(1, 1, 3) | {"image_id": "a"}]}
    assert [record.labels for record in read(tmp_path, found | named).records] == [("dog",)]


def test_entries_that_are_there_twice_are_used_once_and_said(tmp_path: Path) -> None:
    found = content(
        annotation(5, 1, 3),
        annotation(5, 1, 3),
        annotation(5, 2, 7),
        images=[*IMAGES, IMAGES[0]],
        categories=[*CATEGORIES, CATEGORIES[0]],
    )
    dataset = read(tmp_path, found)
    assert [record.labels for record in dataset.records] == [("dog",), ("cat",)]
    twice, same_id = dataset.notes
    assert twice == (
        "3 entries are twice in a list, with the same content, and used once: images[2] of instances.json, "
        "annotation 5 of instances.json, categories[3] of instances.json"
    )
    assert same_id.startswith("1 annotation has the id of another one; ids of annotations only order equal areas: ")


def test_images_without_annotations_are_counted(tmp_path: Path) -> None:
    assert read(tmp_path, content(annotation(1, 1, 3))).notes == ("1 image has no annotation: b.jpg",)


def test_boxes_alone_are_no_regions(tmp_path: Path) -> None:
    boxes = [annotation(i, i, 3, segmentation=[], bbox=[0, 0, 1, 1]) for i in (1, 2)]
    with pytest.raises(
        LayoutError, match=r"2 of 2 annotations have a box \(bbox\) but no region .*; set task: multi_label"
    ):
        read(tmp_path, content(*boxes), "segmentation")
    assert len(read(tmp_path, content(*boxes)).records) == 2


# Panoptic annotations.

# Segment 1 (dog), segment 300 = 44 + 256 (cat), and 0, which is no segment.
SEGMENTS = encoded(Image.fromarray(np.array([[[1, 0, 0], [44, 1, 0], [44, 1, 0], [0, 0, 0]]], np.uint8)))
PANOPTIC = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 4, "height": 1}],
    "annotations": [
        {
            "image_id": 1,
            "file_name": "a.png",
            "segments_info": [{"id": 1, "category_id": 3, "area": 1}, {"id": 300, "category_id": 7, "area": 2}],
        }
    ],
    "categories": CATEGORIES[:2],
}


def panoptic(
    folder: Path, found: Any = PANOPTIC, mask: bytes = SEGMENTS, **more: Any
) -> tuple[Dataset, shards.Examined]:
    photo = encoded(Image.new("RGB", (4, 1), (9, 99, 199)))
    root = tree(folder, {"panoptic_val.json": found, "panoptic_val/a.png": mask, "images/a.jpg": photo})
    given = {"annotations": "panoptic_val.json", "images": "images", "per_pixel": True} | more
    dataset = coco.read(root, SPLIT, **given)
    meaning = rule(dataset.labels, background=more.get("background"))
    (examined,) = shards.examine(dataset.records, shards.Job(root, SPLIT, {}, 1000, 1, meaning))
    return dataset, examined


@pytest.mark.parametrize("masks_folder", [None, "panoptic_val", {"train": "panoptic_val"}])
def test_panoptic_masks_give_each_pixel_the_category_of_its_segment(tmp_path: Path, masks_folder: Any) -> None:
    annotations = {"train": "panoptic_val.json"} if isinstance(masks_folder, dict) else "panoptic_val.json"
    dataset, examined = panoptic(tmp_path, masks=masks_folder, annotations=annotations)
    assert dataset.labels == ("cat", "dog")
    assert [(record.path, record.mask) for record in dataset.records] == [("images/a.jpg", "panoptic_val/a.png")]
    assert examined.mask is not None
    assert np.asarray(Image.open(io.BytesIO(examined.mask.encoded))).tolist() == [[1, 0, 0, 255]]
    assert (examined.mask.pixels, examined.mask.ignored) == ((2, 1), 1)
    assert (dataset.ignored, dataset.notes) == ((), ())


def test_pixels_in_no_segment_are_the_background_where_there_is_one(tmp_path: Path) -> None:
    dataset, examined = panoptic(tmp_path, background="ground")
    assert dataset.labels == ("cat", "dog", "ground")
    assert examined.mask is not None
    assert (examined.mask.pixels, examined.mask.ignored) == ((2, 1, 1), 0)


def test_a_segment_that_is_not_listed_quarantines_the_image(tmp_path: Path) -> None:
    known = PANOPTIC["annotations"][0]  # type: ignore[index]
    found = PANOPTIC | {
        "annotations": [known | {"segments_info": known["segments_info"][:1]}],
        "categories": CATEGORIES,
    }
    _, examined = panoptic(tmp_path, found)
    assert examined.problem == (
        "mask panoptic_val/a.png: the colour (44, 1, 0) at x=1, y=0 (and 1 more pixels) is the number of no segment in "
        "the annotation file"
    )


def test_segments_are_labels_of_the_image_for_multi_label(tmp_path: Path) -> None:
    root = tree(tmp_path, {"p.json": PANOPTIC, "a.jpg": "a"})
    dataset = coco.read(root, SPLIT, annotations="p.json", per_pixel=False)
    assert [record.labels for record in dataset.records] == [("cat", "dog")]


def test_panoptic_annotations_without_masks_name_the_key(tmp_path: Path) -> None:
    root = tree(tmp_path, {"p.json": PANOPTIC, "a.jpg": "a"})
    with pytest.raises(ConfigError, match=r"data\.masks: p\.json holds panoptic annotations .*; set data\.masks"):
        coco.read(root, SPLIT, annotations="p.json", per_pixel=True)


def test_the_documented_panoptic_configuration_reads_its_data_set(tmp_path: Path) -> None:
    data = documented("coco", "panoptic")["data"]
    files: dict[str, Any] = dict.fromkeys(data["annotations"].values(), PANOPTIC)
    files |= {f"{folder}/a.jpg": folder for folder in data["images"].values()}
    files |= {f"{folder}/a.png": SEGMENTS for folder in data["masks"].values()}
    more = {key: data[key] for key in ("annotations", "images", "masks")}
    dataset = coco.read(tree(tmp_path, files), SPLIT, per_pixel=True, **more)
    assert [(record.path, record.mask, record.split) for record in dataset.records] == [
        ("train2017/a.jpg", "panoptic_train2017/a.png", None),
        ("val2017/a.jpg", "panoptic_val2017/a.png", "eval"),
    ]


def test_many_categories_of_one_name_take_time_in_proportion() -> None:
    """Of 20,000, each would be held against all others: 400,000,000 comparisons, more than a minute."""
    entries = {i: {"name": "cat", "supercategory": f"group {i}"} for i in range(20_000)}
    problems, begun = list[str](), time.process_time()
    assert len(categories.parse_categories(entries, set(), "a.json", problems, Found())) == 20_000
    assert time.process_time() - begun < 3
    assert len(problems) == 19_999  # all but the first


def test_of_categories_of_one_name_those_are_left_out_that_are_the_group_of_another() -> None:
    """The name "a" is the group of the second alone, so the first goes; the second is the group of no other."""

    def left(used: set[int | str | None], *groups: str) -> list[int | str]:
        entries = {i: {"name": "a", "supercategory": group} for i, group in enumerate(groups)}
        return list(categories.parse_categories(entries, used, "a.json", [], Found()))

    assert left(set(), "", "a") == [1]
    # Of two that are in the group of their own name, each is the group of the other, and one of them stays.
    assert left(set(), "", "a", "a") == [2]
    assert left({0, 1, 2}, "", "a", "a") == [0, 1, 2]
    assert left({0}, "", "a") == [0, 1]
    assert left(set(), "", "b") == [0, 1]


def test_a_name_that_is_none_is_quoted_in_part(tmp_path: Path) -> None:
    for kind, key in (("categories", "name"), ("images", "file_name")):
        wrong = content() | {kind: [{"id": 1, key: ["x" * 100_000]}]}
        with pytest.raises(LayoutError, match=r"got \['x+") as error:
            read(tmp_path, wrong)
        assert len(str(error.value)) < 1000


def test_polygons_of_more_pixels_than_any_image_has_reject_their_image(tmp_path: Path) -> None:
    """1e200 * 1e200 is no number of 64 bits."""
    huge = annotation(1, 1, 3, 1e200)
    found = read(tmp_path, content(huge), "segmentation")
    assert "it covers more pixels than any image has" in found.rejected[0][1]
