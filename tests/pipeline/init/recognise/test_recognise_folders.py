"""Label folders are recognised: with splits above or below, inside other folders, and on one of two levels."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.data.dataset import Dataset, LayoutError
from pipeline.init.recognise import folders, remarks
from pipeline.init.recognise.sight import Proposal, Sight

See = Callable[..., Sight]
Take = Callable[[Sight, Proposal], tuple[Dataset, object]]

CAT_AND_DOG = ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg")


@pytest.mark.parametrize(
    ("parts", "below", "splits"),
    [
        ([""], "", {None}),
        (["dataset/"], "dataset", {None}),
        (["a/b/"], "a/b", {None}),
        (["Training/", "Testing/"], "", {None, "test"}),
        (["archive/train/", "archive/val/", "archive/test/"], "archive", {"train", "eval", "test"}),
        (["train/"], "", {None}),
    ],
)
def test_label_folders_are_found_below_splits_and_other_folders(
    see: See, taken: Take, tmp_path: Path, parts: list[str], below: str, splits: set[str | None]
) -> None:
    sight = see(tmp_path, *(part + path for part in parts for path in CAT_AND_DOG), "README.md")
    (proposal,) = folders.recognise(sight)
    dataset = taken(sight, proposal)[0]
    assert proposal.below == below
    assert (dataset.labels, len(dataset.records)) == (("cat", "dog"), 3 * len(parts))
    assert {record.split for record in dataset.records} == splits
    assert "2 folders of images" in proposal.reason


def test_splits_below_the_labels_are_found(see: See, taken: Take, tmp_path: Path) -> None:
    sight = see(tmp_path, *(f"{label}/{part}/1.jpg" for label in ("cat", "dog") for part in ("train", "val", "test")))
    (proposal,) = folders.recognise(sight)
    dataset = taken(sight, proposal)[0]
    assert proposal.reason.endswith("the folders below them look like splits: test, train, val")
    assert (dataset.labels, {r.split for r in dataset.records}) == (("cat", "dog"), {"train", "eval", "test"})


def test_of_two_levels_that_may_be_labels_the_one_with_more_names_is_preferred(
    see: See, taken: Take, tmp_path: Path
) -> None:
    sight = see(tmp_path, *(f"{time}/{label}/1.jpg" for time in ("day", "night") for label in ("cat", "dog", "owl")))
    first, second = folders.recognise(sight)
    assert (first.labels["names"], second.labels["names"]) == (["cat", "dog", "owl"], ["day", "night"])
    assert [record.labels for record in taken(sight, first)[0].records] == [("cat",), ("dog",), ("owl",)] * 2
    assert taken(sight, second)[0].labels == ("day", "night")


def test_a_folder_inside_every_split_is_passed(see: See, taken: Take, tmp_path: Path) -> None:
    sight = see(tmp_path, *(f"{part}/images/{path}" for part in ("train", "test") for path in CAT_AND_DOG))
    first, *_ = folders.recognise(sight)
    dataset = taken(sight, first)[0]
    assert (dataset.labels, {r.split for r in dataset.records}) == (("cat", "dog"), {None, "test"})


def test_names_that_yaml_would_change_are_read_as_they_are_on_disk(see: See, taken: Take, tmp_path: Path) -> None:
    names = ("010", "1e3", "no", "null", "yes")
    sight = see(tmp_path, *(f"{name}/1.jpg" for name in names))
    (proposal,) = folders.recognise(sight)
    assert taken(sight, proposal)[0].labels == names


def test_images_without_folders_are_nothing(see: See, taken: Take, tmp_path: Path) -> None:
    assert list(folders.recognise(see(tmp_path, "1.jpg", "2.jpg"))) == []


@pytest.mark.real_images
@pytest.mark.parametrize(("name", "images", "labels"), [("clothing", 442, 10), ("cifar10", 2000, 10)])
def test_real_photos_are_recognised(
    see: See, taken: Take, real_images: Path, name: str, images: int, labels: int
) -> None:
    sight = see(real_images / name)
    (proposal,) = folders.recognise(sight)
    dataset = taken(sight, proposal)[0]
    assert (len(dataset.records), len(dataset.labels)) == (images, labels)


def test_images_directly_in_split_folders_have_no_labels(see: See, tmp_path: Path) -> None:
    assert list(folders.recognise(see(tmp_path, "train/1.jpg", "val/2.jpg"))) == []


def test_a_single_label_is_called_one(see: See, tmp_path: Path) -> None:
    (proposal,) = folders.recognise(see(tmp_path, "cat/1.jpg", "cat/2.jpg"))
    assert proposal.reason == (
        "one folder of images looks like a label: cat (a classifier needs at least two labels; a model of one label, "
        "which detects images unlike it, needs a pretrained backbone)"
    )
    assert proposal.last


@pytest.mark.parametrize("folder", ["images", "img", "pics", "photos", "img_align_celeba", "cat"])
@pytest.mark.parametrize("table", ["styles.csv", "meta/list_attr.txt", "a/b/boxes.xml"])
def test_one_folder_of_images_beside_a_table_is_no_label(see: See, tmp_path: Path, folder: str, table: str) -> None:
    sight = see(tmp_path, f"{folder}/1.jpg", f"{folder}/2.jpg", table)
    assert list(folders.recognise(sight)) == []
    (remark,) = remarks.remarks(sight)
    assert remark == (
        f"All images are in the folder {folder}, so it is no label, and beside it is {table}, from which no labels "
        "could be read"
    )


def test_folders_that_cut_the_images_into_parts_are_no_labels_beside_a_table(see: See, tmp_path: Path) -> None:
    assert list(folders.recognise(see(tmp_path, "images_001/1.png", "images_002/2.png", "labels.csv"))) == []


def test_a_table_beside_real_label_folders_changes_nothing(see: See, tmp_path: Path) -> None:
    (proposal,) = folders.recognise(see(tmp_path, *CAT_AND_DOG, "sizes.csv"))
    assert not proposal.last


def test_samples_with_folders_of_images_and_of_masks_are_no_labels(see: See, taken: Take, tmp_path: Path) -> None:
    ids = [f"stage1_train/id{i}" for i in range(3)]
    sight = see(tmp_path, *(f"{id}/images/a.png" for id in ids), *(f"{id}/masks/{i}.png" for id in ids for i in "12"))
    (proposal,) = folders.recognise(sight)
    assert not proposal.labels
    with pytest.raises(
        LayoutError,
        match=r"the folders id0, id1, id2 hold the sub-folders 'images', 'masks', which look like images and their "
        r"masks and not like parts of a label; to learn masks, .* expects one mask per image",
    ):
        taken(sight, proposal)


def test_a_folder_of_archives_is_said(see: See, tmp_path: Path) -> None:
    sight = see(tmp_path, "cats.zip", "dogs.zip", "README.md")
    assert list(folders.recognise(sight)) == []
    (remark,) = remarks.remarks(sight)
    assert "archives: cats.zip, dogs.zip" in remark
    assert f"imagegate init {tmp_path}/cats.zip" in remark
    assert "unpack each into a folder of its name" in remark
