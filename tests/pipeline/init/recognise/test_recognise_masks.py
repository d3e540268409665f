"""Images with masks are recognised: their folders and suffixes, lists, the values in masks and their names."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from trees import encoded, grey

from components.data import masks as pixels
from components.data.dataset import Dataset
from components.data.mask_rules import Rule
from pipeline.init.recognise import masks
from pipeline.init.recognise.sight import Proposal, Sight

See = Callable[..., Sight]
Take = Callable[[Sight, Proposal], tuple[Dataset, Rule | None]]

IDS = encoded(grey([[0, 1, 2], [2, 2, 255]]))
TWO = encoded(grey([[0, 0, 255], [0, 255, 255]]))


def recognised(sight: Sight) -> Proposal:
    return next(iter(masks.recognise(sight)))


def paired(dataset: Dataset) -> dict[str, str]:
    return {record.path: record.mask for record in dataset.records}


def files(*places: tuple[str, str], mask: bytes = IDS, names: Sequence[str] = ("1", "2", "10")) -> dict[str, bytes]:
    """For each (image, mask) with a star for the name, an image file and a mask file of each name."""
    return {
        path.replace("*", name): content
        for image, label in places
        for name in names
        for path, content in ((image, b"image"), (label, mask))
    }


@pytest.mark.parametrize(
    ("places", "data", "splits"),
    [
        ([("images/*.jpg", "masks/*.png")], {"images": "images", "masks": "masks"}, {None}),
        ([("image/*.png", "label/*.png")], {"images": "image", "masks": "label"}, {None}),
        (
            [("JPEGImages/*.jpg", "SegmentationClass/*.png")],
            {"images": "JPEGImages", "masks": "SegmentationClass"},
            {None},
        ),
        ([("img/*.jpg", "ann/*.png")], {"images": "img", "masks": "ann"}, {None}),
        (
            [("images/*.jpg", "masks/*_mask.png")],
            {"images": "images", "masks": "masks", "mask_suffix": "_mask"},
            {None},
        ),
        ([("*.jpg", "*_mask.png")], {"images": ".", "masks": ".", "mask_suffix": "_mask"}, {None}),
        ([("images/*.jpg", "annotations/trimaps/*.png")], {"images": "images", "masks": "annotations/trimaps"}, {None}),
        (
            [
                ("train/*.png", "trainannot/*.png"),
                ("val/v*.png", "valannot/v*.png"),
                ("test/t*.png", "testannot/t*.png"),
            ],
            {
                "images": {"train": "train", "eval": "val", "test": "test"},
                "masks": {"train": "trainannot", "eval": "valannot", "test": "testannot"},
            },
            {"train", "eval", "test"},
        ),
        (
            [("train/images/*.jpg", "train/masks/*.png"), ("test/images/*.jpg", "test/masks/*.png")],
            {
                "images": {"train": "train/images", "test": "test/images"},
                "masks": {"train": "train/masks", "test": "test/masks"},
            },
            {None, "test"},
        ),
        (
            [
                ("images/training/ADE_train_*.jpg", "annotations/training/ADE_train_*.png"),
                ("images/validation/ADE_val_*.jpg", "annotations/validation/ADE_val_*.png"),
            ],
            {
                "images": {"train": "images/training", "eval": "images/validation"},
                "masks": {"train": "annotations/training", "eval": "annotations/validation"},
            },
            {None, "eval"},
        ),
        (
            [("train/*.jpg", "train_masks/*_mask.gif")],
            {"images": {"train": "train"}, "masks": {"train": "train_masks"}, "mask_suffix": "_mask"},
            {None},
        ),
    ],
)
def test_folders_of_images_and_masks_are_found(
    see: See,
    taken: Take,
    tmp_path: Path,
    places: list[tuple[str, str]],
    data: Mapping[str, Any],
    splits: set[str | None],
) -> None:
    written = files(*places)
    sight = see(tmp_path, files=written | {"readme.txt": "x"})
    proposal = recognised(sight)
    assert dict(proposal.data) == data
    dataset, rule = taken(sight, proposal)
    assert rule is not None
    assert len(dataset.records) * 2 == len(written)
    assert dataset.rejected == ()
    assert {record.split for record in dataset.records} == splits
    assert rule.labels == ("0", "1", "2")
    assert proposal.labels["ignore"] == 255


def test_the_folders_of_cityscapes_are_read_with_their_names(see: See, taken: Take, tmp_path: Path) -> None:
    written: dict[str, Any] = {}
    for part, city in (("train", "aachen"), ("train", "bochum"), ("val", "frankfurt")):
        for i in range(2):
            name = f"{part}/{city}/{city}_00000{i}_000019"
            written |= {
                f"leftImg8bit/{name}_leftImg8bit.png": b"image",
                f"gtFine/{name}_gtFine_labelTrainIds.png": encoded(grey([[0, 1, 13, 18, 255]])),
                f"gtFine/{name}_gtFine_labelIds.png": encoded(grey([[7, 8, 26, 33, 0]])),
                f"gtFine/{name}_gtFine_color.png": encoded(Image.new("RGB", (5, 1))),
                f"gtFine/{name}_gtFine_polygons.json": "{}",
            }
    sight = see(tmp_path, files=written)
    first, second, *_ = masks.recognise(sight)
    assert dict(first.data) == {
        "images": {"train": "leftImg8bit/train", "eval": "leftImg8bit/val"},
        "masks": {"train": "gtFine/train", "eval": "gtFine/val"},
        "image_suffix": "_leftImg8bit",
        "mask_suffix": "_gtFine_labelTrainIds",
    }
    dataset, rule = taken(sight, first)
    assert rule is not None
    assert (rule.labels[0], rule.labels[13], rule.labels[18], len(rule.labels)) == ("road", "car", "bicycle", 19)
    assert first.labels["ignore"] == 255
    assert len(dataset.records) == 6
    assert second.data["mask_suffix"] == "_gtFine_labelIds"
    assert second.labels["names"][26] == "car"
    assert second.labels["ignore"] == "unlabeled"


def test_two_values_0_and_255_are_background_and_foreground(see: See, taken: Take, tmp_path: Path) -> None:
    sight = see(tmp_path, files=files(("image/*.jpg", "label/*.png"), mask=TWO))
    proposal = recognised(sight)
    assert dict(proposal.labels) == {"colors": {"background": 0, "foreground": 255}}
    dataset, rule = taken(sight, proposal)
    assert rule is not None
    assert dataset.labels == ("background", "foreground")
    assert pixels.check(TWO, 3, 2, rule, 100).pixels == (3, 3)


def colours(*rows: list[tuple[int, int, int]]) -> bytes:
    return encoded(Image.fromarray(np.array(rows, np.uint8)))


@pytest.mark.parametrize(
    ("mask", "labels"),
    [
        (encoded(grey([[0, 1]])), {"names": ["background", "foreground"]}),
        (encoded(grey([[0, 1, 255]])), {"names": ["background", "foreground"], "ignore": 255}),
        (encoded(grey([[0, 7]])), {"colors": {"background": 0, "foreground": 7}}),
        (encoded(grey([[1, 2, 3]])), {"colors": {"1": 1, "2": 2, "3": 3}}),
        (encoded(grey([[0, 1, 2, 4]])), {"colors": {"0": 0, "1": 1, "2": 2, "4": 4}}),
        (encoded(grey([[0, 1, 1000]], np.uint16)), {"colors": {"0": 0, "1": 1, "1000": 1000}}),
        (colours([(0, 0, 0), (255, 255, 255)]), {"colors": {"background": [0, 0, 0], "foreground": [255, 255, 255]}}),
        (
            colours([(0, 0, 0), (128, 64, 32), (9, 9, 9)]),
            {"colors": {"0": [0, 0, 0], "9": [9, 9, 9], "color_804020": [128, 64, 32]}},
        ),
        (encoded(grey([[0, 1, 2, 3]]).convert("P")), {"names": ["0", "1", "2", "3"]}),
    ],
)
def test_values_without_names_are_named_by_themselves(
    see: See, taken: Take, tmp_path: Path, mask: bytes, labels: dict[str, Any]
) -> None:
    sight = see(tmp_path, files=files(("images/*.jpg", "masks/*.png"), mask=mask))
    proposal = recognised(sight)
    assert dict(proposal.labels) == labels
    _, rule = taken(sight, proposal)
    assert rule is not None
    width = Image.open(tmp_path / "masks" / "1.png").width
    assert sum(pixels.check(mask, width, 1, rule, 100).pixels) == width - (labels.get("ignore") is not None)


PALETTE = grey([[0, 1, 2, 255]]).convert("P")
PALETTE.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [7] * 756 + [224, 224, 192])


@pytest.mark.parametrize(
    ("name", "text", "mask", "labels"),
    [
        ("classes.txt", "sky\nroad\ncar\n", IDS, {"names": ["sky", "road", "car"], "ignore": 255}),
        ("classes.txt", "road\ncar\n", IDS, {"names": ["background", "road", "car"], "ignore": 255}),
        ("labels.txt", "0 sky\n1 road\n2 car\n", IDS, {"names": ["sky", "road", "car"], "ignore": 255}),
        ("labels.txt", "1: road\n2: car\n", encoded(grey([[0, 1, 2]])), {"colors": {"road": 1, "car": 2}, "ignore": 0}),
        (
            "train/_classes.csv",
            "Pixel Value, Class\n0, sky\n1, road\n2, car\n",
            IDS,
            {"names": ["sky", "road", "car"], "ignore": 255},
        ),
        (
            "objectInfo150.txt",
            "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.15\t11664\t1172\t1\twall, side\n2\t0.1\t6046\t612\t0\tcar\n",
            encoded(grey([[0, 1, 2]])),
            {"colors": {"wall": 1, "car": 2}, "ignore": 0},
        ),
        (
            "label_colors.txt",
            "64 128 64\tAnimal\n0 0 0\tVoid\n",
            colours([(64, 128, 64), (0, 0, 0)]),
            {"colors": {"Animal": [64, 128, 64], "Void": [0, 0, 0]}, "ignore": "Void"},
        ),
        (
            "class_dict.csv",
            "name,r,g,b\nsky,128,128,128\nroad,128,64,128\n",
            colours([(128, 128, 128), (128, 64, 128)]),
            {"colors": {"sky": [128, 128, 128], "road": [128, 64, 128]}},
        ),
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\ndog:0,128,0::\n",
            encoded(PALETTE),
            {"names": ["background", "cat", "dog"], "ignore": 255},
        ),
    ],
)
def test_files_that_name_the_values_are_read(
    see: See, taken: Take, tmp_path: Path, name: str, text: str, mask: bytes, labels: dict[str, Any]
) -> None:
    sight = see(tmp_path, files=files(("images/*.jpg", "masks/*.png"), mask=mask) | {name: text.encode()})
    proposal = recognised(sight)
    key = "names" if "names" in labels else "colors"
    if len(labels[key]) - (labels.get("ignore") in labels[key]) < 2:
        assert dict(proposal.labels) == labels  # too few labels to learn, which reading says
        return
    assert dict(proposal.labels) == labels
    assert name in proposal.comments[f"labels.{key}"]
    _, rule = taken(sight, proposal)
    assert rule is not None
    pixels.check(mask, Image.open(tmp_path / "masks" / "1.png").width, mask[23], rule, 100)


def test_lists_of_pascal_voc_are_used(see: See, taken: Take, tmp_path: Path) -> None:
    written = files(("JPEGImages/*.jpg", "SegmentationClass/*.png"), ("JPEGImages/*.jpg", "SegmentationObject/*.png"))
    written |= {f"JPEGImages/other{i}.jpg": b"image" for i in range(40)}
    lists = {
        "Segmentation/train.txt": "1\n2\n",
        "Segmentation/val.txt": "10\n",
        "Main/cat_train.txt": "other1 -1\n1 1\n",
    }
    lists |= {"Segmentation/trainval.txt": "1\n2\n10\n", "Main/train.txt": "other1\nother2\n"}
    sight = see(tmp_path, files=written | {f"ImageSets/{path}": text.encode() for path, text in lists.items()})
    proposal = recognised(sight)
    assert dict(proposal.data) == {
        "images": "JPEGImages",
        "masks": "SegmentationClass",
        "lists": {"train": "ImageSets/Segmentation/train.txt", "eval": "ImageSets/Segmentation/val.txt"},
    }
    dataset, _ = taken(sight, proposal)
    assert paired(dataset) == {f"JPEGImages/{n}.jpg": f"SegmentationClass/{n}.png" for n in ("1", "2", "10")}
    assert "SegmentationObject" in proposal.notes[0]


def test_photos_in_folders_named_like_masks_are_no_masks(see: See, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    photos = [encoded(Image.fromarray(random.integers(0, 256, (24, 24, 3), np.uint8))) for _ in range(4)]
    written = {f"{folder}/{i}.png": photos[i] for folder in ("with_mask", "without_mask") for i in range(4)}
    assert list(masks.recognise(see(tmp_path, files=written))) == []


def test_masks_saved_as_jpeg_are_named_as_such(see: See, tmp_path: Path) -> None:
    blurred = encoded(Image.fromarray(np.kron([[0, 255]], np.ones((8, 8))).astype(np.uint8)), "JPEG")
    proposal = recognised(see(tmp_path, files=files(("images/*.jpg", "masks/*.jpg"), mask=blurred)))
    assert proposal.notes == ["the masks are JPEG or WebP, which changes their values; save them as PNG"]


def test_label_folders_are_no_masks(see: See, tmp_path: Path) -> None:
    assert list(masks.recognise(see(tmp_path, "cat/1.jpg", "dog/1.jpg"))) == []


@pytest.mark.real_images
def test_the_street_scenes_are_recognised(see: See, taken: Take, real_images: Path) -> None:
    sight = see(real_images / "camvid")
    proposal = recognised(sight)
    dataset, rule = taken(sight, proposal)
    assert rule is not None
    assert rule.labels == tuple(map(str, range(12)))
    assert len(dataset.records) == 48
    assert dataset.notes == (next(note for note in dataset.notes if note.startswith("420 masks without an image")),)
    assert proposal.notes == ["folders named like masks that are not used: trainannot_2015_11_10"]


def picture(seed: int) -> bytes:
    """A photograph of 100 different colours."""
    return encoded(Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 10, 3), dtype=np.uint8)))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
@pytest.mark.parametrize(
    ("images", "labels"),
    [("img", "msk"), ("pics", "gt"), ("input", "target"), ("x", "y"), ("raw", "binary"), ("data", "labelIds")],
)
def test_two_folders_of_equal_names_are_images_and_masks_of_two_values(
    see: See, taken: Take, tmp_path: Path, images: str, labels: str, mode: str
) -> None:
    two = encoded(grey([[0, 0, 255], [0, 255, 255]]).convert(mode))
    names = ("1", "2", "10")
    content = {f"{images}/{n}.png": picture(int(n)) for n in names} | {f"{labels}/{n}.png": two for n in names}
    sight = see(tmp_path, files=content)
    proposal = recognised(sight)
    dataset, rule = taken(sight, proposal)
    assert proposal.data == {"images": images, "masks": labels}
    assert dataset.labels == ("background", "foreground")
    assert paired(dataset) == {f"{images}/{n}.png": f"{labels}/{n}.png" for n in names}
    assert rule is not None


def test_images_and_masks_of_any_names_are_found_below_splits(see: See, taken: Take, tmp_path: Path) -> None:
    places = [f"{split}/{{}}/{n}.png" for split in ("train", "test") for n in (1, 2)]
    content = {p.format("raw"): picture(i) for i, p in enumerate(places)} | {p.format("binary"): TWO for p in places}
    sight = see(tmp_path, files=content)
    dataset = taken(sight, recognised(sight))[0]
    assert {record.path: record.mask for record in dataset.records} == {
        p.format("raw"): p.format("binary") for p in places
    }
    assert {record.split for record in dataset.records} == {None, "test"}


@pytest.mark.parametrize("content", [[picture(1), picture(2)], [TWO, TWO]])
def test_labels_whose_files_have_equal_names_are_no_masks(see: See, tmp_path: Path, content: list[bytes]) -> None:
    cat, dog = content
    sight = see(tmp_path, files={f"cat/{n}.png": cat for n in "123"} | {f"dog/{n}.png": dog for n in "123"})
    assert list(masks.recognise(sight)) == []


def test_label_folders_of_photos_with_equal_names_are_no_masks(see: See, tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (9, 9, 9)).save(out, "JPEG")
    sight = see(tmp_path, files={f"{label}/{n}.jpg": out.getvalue() for label in ("cat", "dog") for n in "123"})
    assert list(masks.recognise(sight)) == []


def test_masks_in_a_folder_of_each_sample_are_not_read_for_one_sample_alone(see: See, tmp_path: Path) -> None:
    content = {f"id{i}/images/a{i}.png": picture(i) for i in range(5)}
    content |= {f"id{i}/masks/a{i}.png": TWO for i in range(5)}
    assert list(masks.recognise(see(tmp_path, files=content))) == []
