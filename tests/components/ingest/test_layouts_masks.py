"""Pairs of images and masks."""

import os
import tempfile
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import SPLIT, documented, encoded, grey, tree

from components.base.errors import ConfigError
from components.data import mask_rules
from components.data import masks as pixels
from components.data.dataset import Dataset, LayoutError
from components.ingest.layouts import masks

NAMES = ("sky", "road")


def read(folder: Path, *files: str, **more: Any) -> Dataset:
    """The data set of these files, each with its own name as content."""
    more = {"images": "images", "masks": "masks"} | more
    return masks.read(tree(folder, {name: name for name in files}), SPLIT, NAMES, **more)


def pairs(dataset: Dataset) -> dict[str, str]:
    return {r.path: r.mask for r in dataset.records}


def test_pairs_are_found_by_name_and_not_by_order(tmp_path: Path) -> None:
    # Sorted side by side, 2 and 10 of the masks (10.png, 2.png) would be swapped for 010 and 2.
    dataset = read(
        tmp_path, "images/b.jpg", "images/a.JPG", "images/s/a.png", "masks/s/a.png", "masks/b.png", "masks/a.png"
    )
    assert pairs(dataset) == {
        "images/a.JPG": "masks/a.png",
        "images/b.jpg": "masks/b.png",
        "images/s/a.png": "masks/s/a.png",
    }
    assert dataset.labels == NAMES
    assert dataset.rejected == dataset.ignored == ()
    assert {r.split for r in dataset.records} == {None}
    assert dataset.fractions == pytest.approx(SPLIT)


def test_images_and_masks_may_be_told_apart_by_suffix(tmp_path: Path) -> None:
    dataset = read(
        tmp_path,
        "left/aachen/a_left.png",
        "fine/aachen/a_ids.png",
        "fine/aachen/a_color.png",
        "fine/aachen/a_polygons.json",
        images="left",
        masks="fine",
        image_suffix="_left",
        mask_suffix="_ids",
    )
    assert pairs(dataset) == {"left/aachen/a_left.png": "fine/aachen/a_ids.png"}
    assert dataset.ignored == ("fine/aachen/a_color.png", "fine/aachen/a_polygons.json")


@pytest.mark.parametrize(
    ("files", "settings_"),
    [
        (("x/1.jpg", "x/1_mask.png"), {"images": "x", "masks": "x", "mask_suffix": "_mask"}),
        (("1.jpg", "masks/1.png"), {"images": "", "masks": "masks"}),
        (("x/1.png", "x/masks/1.png"), {"images": "x", "masks": "x/masks/"}),
    ],
)
def test_a_file_that_could_be_both_is_what_the_longer_folder_or_suffix_says(
    tmp_path: Path, files: tuple[str, str], settings_: dict[str, str]
) -> None:
    dataset = read(tmp_path, *files, **settings_)
    assert pairs(dataset) == {files[0]: files[1]}
    assert dataset.rejected == dataset.ignored == ()


def test_a_split_per_folder_and_the_missing_one_is_cut_from_train(tmp_path: Path) -> None:
    files = ("train/1.png", "trainannot/1.png", "val/1.png", "valannot/1.png")
    folders = {"images": {"train": "train", "val": "val"}, "masks": {"train": "trainannot", "eval": "valannot"}}
    dataset = read(tmp_path, *files, **folders)
    assert [(r.path, r.split, r.mask) for r in dataset.records] == [
        ("train/1.png", None, "trainannot/1.png"),
        ("val/1.png", "eval", "valannot/1.png"),
    ]
    assert dataset.fractions == pytest.approx({"train": 8 / 9, "test": 1 / 9})


def test_one_folder_of_masks_for_all_splits(tmp_path: Path) -> None:
    files = ("train/1.png", "val/2.png", "masks/1.png", "masks/2.png", "masks/3.png")
    dataset = read(tmp_path, *files, images={"train": "train", "val": "val"})
    assert pairs(dataset) == {"train/1.png": "masks/1.png", "val/2.png": "masks/2.png"}
    assert dataset.ignored == ("masks/3.png",)


def test_a_file_without_a_partner_is_rejected(tmp_path: Path) -> None:
    dataset = read(tmp_path, "images/1.jpg", "images/2.jpg", "masks/2.png", "masks/3.png", mask_suffix="")
    assert pairs(dataset) == {"images/2.jpg": "masks/2.png"}
    assert dataset.rejected == (("images/1.jpg", "has no mask; expected a file of the same name in masks/*.*"),)
    assert dataset.ignored == ("masks/3.png",)  # a mask alone is nothing to quarantine


def test_a_file_with_two_partners_is_rejected(tmp_path: Path) -> None:
    dataset = read(
        tmp_path, "images/1.jpg", "masks/1.png", "masks/1.bmp", "images/2.jpg", "images/2.png", "masks/2.png"
    )
    assert dataset.records == ()
    assert dataset.rejected == (
        ("images/1.jpg", "has 2 masks, masks/1.bmp, masks/1.png; remove all but one"),
        (
            "images/2.jpg",
            "has the same name as images/2.png, so it is not clear which image the mask belongs to; rename one",
        ),
        (
            "images/2.png",
            "has the same name as images/2.jpg, so it is not clear which image the mask belongs to; rename one",
        ),
    )
    assert dataset.ignored == ()


def test_links_that_lead_out_of_the_root_are_rejected(tmp_path: Path) -> None:
    root = tmp_path / "root"
    tree(tmp_path, {"outside.png": "o", "root/images/1.png": "1", "root/masks/2.png": "2"})
    os.symlink(tmp_path / "outside.png", root / "masks" / "1.png")
    os.symlink(tmp_path / "outside.png", root / "images" / "2.png")
    dataset = masks.read(str(root), SPLIT, NAMES, images="images", masks="masks")
    assert dataset.rejected == (
        ("images/1.png", "its mask masks/1.png: a link that leads out of data.root; copy the file instead"),
        ("images/2.png", "a link that leads out of data.root; copy the file instead"),
    )


def test_the_version_changes_with_image_and_mask(tmp_path: Path) -> None:
    def version() -> str:
        return read(tmp_path).records[0].version

    read(tmp_path, "images/1.png", "masks/1.png")
    versions = {version()}
    for name in ("images/1.png", "masks/1.png"):
        os.utime(tmp_path / name, ns=(7, 7))
        versions.add(version())
    assert len(versions) == 3


LISTED = {"lists": {"train": "train.txt", "val": "val.txt"}}


def test_lists_name_the_images_to_use(tmp_path: Path) -> None:
    tree(tmp_path, {"train.txt": "1\n\ns/2\r\n9\n", "val.txt": "\ufeff3"})
    names = ("1", "s/2", "3", "4")
    files = [f"images/{n}.jpg" for n in (*names, "5")] + [f"masks/{n}.png" for n in names]
    dataset = read(tmp_path, *files, **LISTED)
    assert [(r.path, r.split) for r in dataset.records] == [
        ("images/1.jpg", None),
        ("images/3.jpg", "eval"),
        ("images/s/2.jpg", None),
    ]
    assert dataset.rejected == (("images/9", "is listed in train.txt, but there is no such file images/*.*"),)
    assert dataset.ignored == ("images/4.jpg", "images/5.jpg", "masks/4.png")


def test_lists_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    tree(tmp_path, {"train.txt": "1\n", "val.txt": "1\n"})
    with pytest.raises(LayoutError, match=r"val\.txt: '1' is also in the list of train"):
        read(tmp_path, "images/1.jpg", "masks/1.png", **LISTED)
    with pytest.raises(ConfigError, match=r"data\.lists: data\.images already has one folder per split"):
        read(tmp_path, images={"train": "images"}, **LISTED)


@pytest.mark.parametrize(
    ("folders", "error", "message"),
    [
        ({"masks": "images"}, ConfigError, r"data\.images, data\.masks: images/ with the suffix '' is there twice"),
        ({"images": {"train": "images", "val": "images"}}, ConfigError, r"is there twice"),
        (
            {"masks": {"train": "masks"}},
            ConfigError,
            r"data\.masks: has train, but data\.images has one folder for all",
        ),
        ({"images": {"val": "images"}}, ConfigError, r"data\.images: has 'val' but not 'train'"),
        ({"images": "../x"}, ConfigError, r"data\.images: \.\./x is not below data\.root"),
        ({"masks": "nothing"}, LayoutError, r"data\.masks: there is no file below nothing"),
        ({"image_suffix": "_x"}, LayoutError, r"data\.images: there is no image images/\*_x\.\* in"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    tmp_path: Path, folders: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read(tmp_path, "images/1.jpg", "masks/1.png", **folders)


def test_a_data_set_behind_a_url_reads_like_a_folder() -> None:
    fs = fsspec.filesystem("memory")
    for name in ("images/1.jpg", "masks/1.png"):
        fs.pipe(f"/masks-test/{name}", b"x")
    dataset = masks.read("memory://masks-test", SPLIT, NAMES, images="images", masks="masks")
    assert pairs(dataset) == {"images/1.jpg": "masks/1.png"}


paths = st.sets(st.sampled_from([f"{d}/{n}" for d in "im" for n in ("1.png", "1.jpg", "s/1.png", "2.bmp", "1.txt")]))


@given(paths)
@settings(deadline=None, max_examples=60)
def test_every_file_is_a_record_or_a_rejection(files: set[str]) -> None:
    files |= {"i/0.png", "m/0.png"}  # neither folder is ever empty
    with tempfile.TemporaryDirectory() as folder:
        dataset = read(Path(folder), *files, images="i", masks="m")
    images = {path for path in files if path.startswith("i") and not path.endswith("txt")}
    assert {r.path for r in dataset.records} | {path for path, _ in dataset.rejected} == images
    assert len(dataset.records) + len(dataset.rejected) == len(images)
    unused = files - images - {r.mask for r in dataset.records} - set(dataset.ignored)
    assert all(
        any(mask in reason for _, reason in dataset.rejected) or _stem(mask) in _twice(images) for mask in unused
    )


def _stem(path: str) -> str:
    return path[2:].rpartition(".")[0]


def _twice(images: set[str]) -> set[str]:
    stems = [_stem(path) for path in images]
    return {stem for stem in stems if stems.count(stem) > 1}


def test_the_documented_configuration_reads_its_data_set(tmp_path: Path) -> None:
    config = documented("masks", "voc")
    data, labels = config["data"], config["labels"]
    rule = mask_rules.rule(labels["names"], ignore=labels["ignore"])
    mask = grey([[0, 255, 20], [0, 255, 15]]).convert("P")  # tvmonitor and person beside a border of nothing
    mask.putpalette([0, 0, 0, 128, 0, 0] + [77] * 762)
    files = {f"JPEGImages/{n}.jpg": b"" for n in "123"} | {f"SegmentationClass/{n}.png": encoded(mask) for n in "12"}
    lists = {"ImageSets/Segmentation/train.txt": "1\n", "ImageSets/Segmentation/val.txt": "2\n"}
    root = tree(tmp_path, files | lists)
    dataset = masks.read(root, SPLIT, rule.labels, images=data["images"], masks=data["masks"], lists=data["lists"])
    assert [(r.path, r.split) for r in dataset.records] == [("JPEGImages/1.jpg", None), ("JPEGImages/2.jpg", "eval")]
    assert dataset.ignored == ("JPEGImages/3.jpg",)
    found = pixels.check((tmp_path / dataset.records[0].mask).read_bytes(), 3, 2, rule, 100)
    assert found.ignored == 2
    assert {rule.labels[i]: n for i, n in enumerate(found.pixels) if n} == {
        "background": 2,
        "person": 1,
        "tvmonitor": 1,
    }


@pytest.mark.real_images
def test_the_street_scenes_are_read_whole(real_images: Path) -> None:
    dataset = masks.read(
        str(real_images / "camvid"),
        SPLIT,
        NAMES,
        images={"train": "train", "eval": "val"},
        masks={"train": "trainannot", "eval": "valannot"},
    )
    splits = [r.split for r in dataset.records]
    assert (splits.count(None), splits.count("eval")) == (37, 11)
    assert dataset.rejected == ()
    assert len(dataset.ignored) == (367 - 37) + (101 - 11)  # masks whose images are not there


# Lists as people write them.

PHOTOS = [f"images/{n}.jpg" for n in ("2007_1", "2007_2", "s/3", "4 b")]
THEIR_MASKS = [f"masks/{n}.png" for n in ("2007_1", "2007_2", "s/3", "4 b")]


@pytest.mark.parametrize(
    ("lines", "notes"),
    [
        ("2007_1\n2007_2\ns/3\n4 b\n", ()),
        (
            "2007_1.jpg\n2007_2.JPG\ns/3.png\n4 b.jpg\n",
            ("all.txt: 4 lines have a path or an extension; images are found by name",),
        ),
        (
            "2007_1 -1\n2007_2  1\ns/3 0\n4 b\n",
            ("all.txt: 3 lines have 1, 0 or -1 behind the name, which is not used",),
        ),
        (
            "/images/2007_1.jpg /masks/2007_1.png\nimages/2007_2.jpg\tmasks/2007_2.png\ns/3.jpg s/3.png\n4 b",
            ("all.txt: 3 lines have a path or an extension; images are found by name",),
        ),
        (
            "/home/me/voc/images/2007_1.jpg\nC:\\voc\\images\\2007_2.jpg\n./images/s/3.jpg\n4 b",
            ("all.txt: 3 lines have a path or an extension; images are found by name",),
        ),
    ],
    ids=["names", "files", "flags", "pairs", "paths"],
)
def test_lines_of_lists_may_be_names_files_paths_pairs_and_names_with_flags(
    tmp_path: Path, lines: str, notes: tuple[str, ...]
) -> None:
    tree(tmp_path, {"all.txt": lines})
    dataset = read(tmp_path, *PHOTOS, *THEIR_MASKS, "images/other.jpg", lists="all.txt")
    assert pairs(dataset) == dict(zip(PHOTOS, THEIR_MASKS, strict=True))
    assert (dataset.rejected, dataset.ignored) == ((), ("images/other.jpg",))
    assert dataset.notes == notes


def test_a_list_that_names_hardly_any_image_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    tree(tmp_path, {"all.txt": "2007-1\n2007-2\n2007-9\n"})
    with pytest.raises(
        LayoutError,
        match=r"all\.txt: 3 of 3 lines name no image images/\*\.\*: '2007-1', '2007-2', '2007-9'; expected one name "
        r"per line, such as '2007_1'; did you mean '2007_1'\?",
    ):
        read(tmp_path, *PHOTOS, *THEIR_MASKS, lists="all.txt")


def test_a_list_that_pairs_an_image_with_another_mask_is_refused(tmp_path: Path) -> None:
    tree(tmp_path, {"all.txt": "/images/2007_1.jpg /masks/2007_2.png\n"})
    with pytest.raises(LayoutError, match="pairs an image with a file of another name, but a mask is found by"):
        read(tmp_path, *PHOTOS, *THEIR_MASKS, lists="all.txt")


def test_two_paths_in_a_list_that_mean_one_image_are_refused(tmp_path: Path) -> None:
    tree(tmp_path, {"all.txt": "a/2007_1.jpg\nb/2007_1.jpg\n"})
    with pytest.raises(LayoutError, match=r"'a/2007_1\.jpg' and 'b/2007_1\.jpg' mean the same image '2007_1'"):
        read(tmp_path, *PHOTOS, *THEIR_MASKS, lists="all.txt")


# Names that nearly pair.


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        (["images/1.jpg", "images/2.jpg", "masks/1_mask.png", "masks/2_mask.png"], "set data.mask_suffix: '_mask'"),
        (
            ["images/1_leftImg8bit.png", "masks/1_gtFine_labelIds.png"],
            "set data.mask_suffix: '_gtFine_labelIds' and data.image_suffix: '_leftImg8bit'",
        ),
        (["images/1.jpg", "masks/mask_1.png"], "the masks have names such as masks/mask_1.png"),
    ],
)
def test_masks_that_would_pair_with_a_suffix_are_refused_with_the_key_to_set(
    tmp_path: Path, files: list[str], hint: str
) -> None:
    images = [file for file in files if file.startswith("images")]
    with pytest.raises(LayoutError) as error:
        read(tmp_path, *files)
    assert str(error.value) == (
        f"data.masks: {len(images)} of {len(images)} images have no mask: there is no file of the same name in "
        f"masks/*.*: {', '.join(images)}; {hint}"
    )


def test_images_and_masks_without_a_partner_are_counted_in_one_sentence_each(tmp_path: Path) -> None:
    paired = [f"{folder}/{i}.png" for folder in ("images", "masks") for i in range(8)]
    alone = [f"images/a{i}.png" for i in range(6)] + [f"masks/b{i}.png" for i in range(7)]
    dataset = read(tmp_path, *paired, *alone)
    assert len(dataset.records) == 8
    assert len(dataset.rejected) == 6
    without_mask, without_image = dataset.notes
    assert without_mask == (
        "6 images without a mask go to quarantine: images/a0.png, images/a1.png, images/a2.png, images/a3.png, "
        "images/a4.png, and 1 more"
    )
    assert without_image.startswith("7 masks without an image are left out: masks/b0.png, masks/b1.png")


def test_the_folders_of_ade20k_are_read(tmp_path: Path) -> None:
    files = [
        f"{folder}/{part}/ADE_{name}_0000000{i}.{ending}"
        for folder, ending in (("images", "jpg"), ("annotations", "png"))
        for part, name in (("training", "train"), ("validation", "val"))
        for i in (1, 2)
    ]
    parts = {"training": "training", "validation": "validation"}
    dataset = read(
        tmp_path,
        *files,
        images={split: f"images/{part}" for split, part in parts.items()},
        masks={split: f"annotations/{part}" for split, part in parts.items()},
    )
    assert pairs(dataset)["images/validation/ADE_val_00000002.jpg"] == "annotations/validation/ADE_val_00000002.png"
    assert [r.split for r in dataset.records] == [None, None, "eval", "eval"]


def read_documented(name: str, root: str, pixels_of_mask: list[int]) -> tuple[Dataset, pixels.Mask]:
    """The data set as the documented configuration reads it, and a mask of one row as it reads it."""
    config = documented("masks", name)
    data, labels = config["data"], config["labels"]
    rule = mask_rules.rule(labels.get("names") or (), ignore=labels["ignore"], colors=labels.get("colors"))
    more = {key: value for key, value in data.items() if key not in ("root", "layout")}
    dataset = masks.read(root, SPLIT, rule.labels, **more)
    return dataset, pixels.check(encoded(grey([pixels_of_mask])), len(pixels_of_mask), 1, rule, 1000)


def test_the_documented_configuration_of_ade20k_reads_its_data_set(tmp_path: Path) -> None:
    files = {
        f"{folder}/{part}/ADE_{name}_00000001.{ending}": ""
        for folder, ending in (("images", "jpg"), ("annotations", "png"))
        for part, name in (("training", "train"), ("validation", "val"))
    }
    dataset, mask = read_documented("ade20k", tree(tmp_path, files), [0, 1, 1, 2, 3])
    assert [(r.path, r.split) for r in dataset.records] == [
        ("images/training/ADE_train_00000001.jpg", None),
        ("images/validation/ADE_val_00000001.jpg", "eval"),
    ]
    assert (dataset.labels, mask.pixels, mask.ignored) == (("wall", "building", "sky"), (2, 1, 1), 1)


def test_the_documented_configuration_of_cityscapes_reads_its_data_set(tmp_path: Path) -> None:
    files = {}
    for part, city in (("train", "aachen"), ("val", "munster")):
        name = f"{part}/{city}/{city}_000000_000019"
        ends = ("gtFine_labelTrainIds.png", "gtFine_labelIds.png", "gtFine_color.png", "gtFine_polygons.json")
        files |= {f"leftImg8bit/{name}_leftImg8bit.png": ""} | {f"gtFine/{name}_{end}": "" for end in ends}
    dataset, mask = read_documented("cityscapes", tree(tmp_path, files), [0, 18, 18, 255])
    assert pairs(dataset) == {
        f"leftImg8bit/{name}_leftImg8bit.png": f"gtFine/{name}_gtFine_labelTrainIds.png"
        for name in ("train/aachen/aachen_000000_000019", "val/munster/munster_000000_000019")
    }
    assert (mask.pixels[0], mask.pixels[18], mask.ignored) == (1, 2, 1)
    assert (dataset.labels[0], dataset.labels[18]) == ("road", "bicycle")
