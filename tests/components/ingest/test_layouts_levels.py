"""Label folders as people have them: names of splits, splits below labels, folders around them, files beside images."""

from pathlib import Path

import pytest
from trees import SPLIT, documented, tree

from components.data.dataset import Dataset, LayoutError
from components.ingest.layouts import folders
from components.ingest.layouts.paths.split_names import split_of

CAT_AND_DOG = ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg")


def read(folder: Path, *files: str, names: list[str] | None = None) -> Dataset:
    """The data set of these files, each with its own path as content."""
    return folders.read(tree(folder, {name: name for name in files}), SPLIT, names)


def rows(dataset: Dataset) -> dict[str, tuple[str, str | None]]:
    return {record.path: (record.labels[0], record.split) for record in dataset.records}


def under(*parts: str) -> list[str]:
    return [f"{part}/{path}" for part in parts for path in CAT_AND_DOG]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[(name, "train") for name in ("Training", "training_set", "Train_Images", "train-set", "TRAIN", "train data")],
        *[(name, "train") for name in ("trainannot", "train2017", "TrainSet", "trainset", "01_train", "train (1)")],
        *[
            (name, "eval")
            for name in ("val", "Valid", "validation_set", "VALIDATION", "dev", "Development", "valannot")
        ],
        *[(name, "eval") for name in ("evaluation", "eval", "val2017", "Val Images")],
        *[(name, "test") for name in ("Testing", "test_set", "Test_Images", "test-set", "testB", "test.images")],
        *[(name, None) for name in ("bus", "trainer", "trainval", "train station", "test tube", "latest", "contest")],
        *[(name, None) for name in ("photo of a train 3.jpg", "trains", "devices", "valley", "", "2017", "images")],
    ],
)
def test_a_split_is_named_by_a_keyword_as_a_whole_word(name: str, split: str | None) -> None:
    assert split_of(name) == split


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("training_set", "test_set"),
        ("Train_Images", "Test_Images"),
        ("Training", "Test"),
        ("TRAIN", "TEST"),
        ("train-set", "test-set"),
        ("train images", "test images"),
    ],
)
def test_split_folders_in_every_usual_spelling_are_splits_and_no_labels(tmp_path: Path, train: str, test: str) -> None:
    dataset = read(tmp_path, *under(train, test))
    assert dataset.labels == ("cat", "dog")
    # eval is not named, so it is cut from train, whose images therefore have no fixed split
    assert {path.split("/")[0]: split for path, (_, split) in rows(dataset).items()} == {train: None, test: "test"}
    assert dataset.fractions == pytest.approx({"train": 0.8 / 0.9, "eval": 0.1 / 0.9})
    assert dataset.notes == ()


def test_two_folders_of_one_split_are_both_read_and_that_is_said(tmp_path: Path) -> None:
    dataset = read(tmp_path, *under("train", "Training", "val", "test"))
    assert [split for _, split in rows(dataset).values()].count("train") == 8
    assert dataset.notes == ("the folders Training, train are all the split train",)


def test_words_in_file_names_and_a_label_called_train_are_no_splits(tmp_path: Path) -> None:
    files = [f"{label}/photo of a train {i}.jpg" for label in ("bus", "car", "train") for i in range(3)]
    dataset = read(tmp_path, *files, "bus/test tube 7.jpg")
    assert dataset.labels == ("bus", "car", "train")
    assert set(rows(dataset).values()) == {("bus", None), ("car", None), ("train", None)}
    assert len(dataset.records) == 10
    assert dataset.notes == (
        "1 folder named like a split taken as labels, because not all folders at the top are named like splits: train",
    )


def test_a_single_folder_train_is_a_split(tmp_path: Path) -> None:
    dataset = read(tmp_path, *under("train"))
    assert dataset.labels == ("cat", "dog")
    assert dataset.fractions == pytest.approx(SPLIT)


def test_split_folders_beside_another_folder_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        LayoutError,
        match="has the split folders Testing, Training beside the label folder 'unknown'; put every label folder below "
        "a split folder, or none; a folder that is neither does not belong in data",
    ):
        read(tmp_path, *under("Training", "Testing"), "unknown/1.jpg")


def test_a_folder_of_notes_beside_split_folders_is_left_out(tmp_path: Path) -> None:
    dataset = read(tmp_path, *under("train", "test"), "docs/readme.md")
    assert dataset.labels == ("cat", "dog")
    assert dataset.ignored == ("docs/readme.md",)
    assert dataset.notes == ("1 file ignored, no images by their names (1 .md): docs/readme.md",)


def test_arrays_beside_photos_are_ignored_and_the_note_says_how_they_would_be_read(tmp_path: Path) -> None:
    dataset = read(tmp_path, *under("train", "test"), "train/cat/features.npy")
    assert dataset.ignored == ("train/cat/features.npy",)
    [note] = dataset.notes
    assert note.endswith("(1 .npy): train/cat/features.npy; arrays are read with data.bands")


def test_splits_without_labels_are_refused_by_what_they_hold(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="the split folders test, train hold 2 images but no folder; expected one"):
        read(tmp_path, "train/1.jpg", "test/2.jpg")


def test_splits_below_the_labels_are_splits(tmp_path: Path) -> None:
    files = [f"{label}/{split}/{i}.jpg" for label in ("cat", "dog") for split in ("Train", "val", "test") for i in "12"]
    dataset = read(tmp_path, *files)
    assert dataset.labels == ("cat", "dog")
    assert {(path.split("/")[1], split) for path, (_, split) in rows(dataset).items()} == {
        ("Train", "train"),
        ("val", "eval"),
        ("test", "test"),
    }
    assert dataset.notes == ()


def test_splits_below_the_labels_are_splits_where_each_label_has_one_alone(tmp_path: Path) -> None:
    dataset = read(tmp_path, "cat/train/1.jpg", "dog/eval/1.jpg", "fish/test/1.jpg")
    assert rows(dataset) == {
        "cat/train/1.jpg": ("cat", "train"),
        "dog/eval/1.jpg": ("dog", "eval"),
        "fish/test/1.jpg": ("fish", "test"),
    }


def test_splits_below_some_labels_only_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        LayoutError,
        match="the folder 'cat' holds the split folders test, train, but 1 of 2 folders do not hold split folders "
        "alone: dog; give every label folder split folders, or none",
    ):
        read(tmp_path, "cat/train/1.jpg", "cat/test/1.jpg", "dog/1.jpg")


def test_label_folders_that_hold_the_same_sub_folders_are_refused_with_both_readings(tmp_path: Path) -> None:
    files = under("part one", "part two")
    with pytest.raises(
        LayoutError,
        match=r"the folders 'part one', 'part two' hold the same sub-folders, 'cat', 'dog', so it is not clear which "
        r"are the labels; set labels\.names to the labels, cat, dog or part one, part two",
    ):
        read(tmp_path, *files)
    inner = read(tmp_path, *files, names=["cat", "dog"])
    assert rows(inner)["part two/dog/1.jpg"] == ("dog", None)
    assert len(inner.records) == 8
    outer = read(tmp_path, *files, names=["part one", "part two"])
    assert rows(outer)["part two/dog/1.jpg"] == ("part two", None)


def test_splits_without_train_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        LayoutError,
        match=r"'test' looks like the split test, 'val' looks like the split eval, but there is no folder for train",
    ):
        read(tmp_path, *under("test", "val"))


@pytest.mark.parametrize("wrapper", ["dataset", "a/b/c"])
def test_a_folder_around_the_label_folders_is_named_with_the_key_to_set(tmp_path: Path, wrapper: str) -> None:
    with pytest.raises(
        LayoutError,
        match=f"holds the one folder '{wrapper}', and the labels seem to be inside: cat, dog; "
        f"set data.root: {tmp_path}/{wrapper};",
    ):
        read(tmp_path, *under(wrapper))


def test_a_folder_around_the_split_folders_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=f"seem to be inside: test, train; set data.root: {tmp_path}/archive"):
        read(tmp_path, *under("archive/train", "archive/test"))


def test_a_folder_inside_every_split_is_passed_where_the_labels_are_named(tmp_path: Path) -> None:
    files = under("train/images", "test/images")
    with pytest.raises(LayoutError, match=r"every split folder holds the one folder 'images'.* or set labels\.names"):
        read(tmp_path, *files)
    dataset = read(tmp_path, *files, names=["dog", "cat"])
    assert dataset.labels == ("dog", "cat")
    assert rows(dataset)["test/images/dog/2.jpg"] == ("dog", "test")


def test_the_label_is_the_first_folder_and_deeper_ones_are_said(tmp_path: Path) -> None:
    dataset = read(tmp_path, "animals/cat/1.jpg", "animals/dog/1.jpg", "plants/rose/1.jpg", "plants/2.jpg")
    assert dataset.labels == ("animals", "plants")
    (note,) = dataset.notes
    assert note == (
        "3 images of 4 in sub-folders of the label folders, which are not labels of their own: animals/cat, "
        "animals/dog, plants/rose"
    )


def test_files_beside_the_images_are_ignored_and_counted(tmp_path: Path) -> None:
    beside = [f"{path[:-4]}.json" for path in CAT_AND_DOG]
    dataset = read(tmp_path, *CAT_AND_DOG, *beside, "cat/notes.txt", "README.md", "0.jpg", "dog/no ending")
    assert len(dataset.records) == 5  # a name without ending may be that of an image
    assert dataset.rejected == ()
    assert dataset.ignored == (
        "0.jpg",
        "README.md",
        "cat/1.json",
        "cat/2.json",
        "cat/notes.txt",
        "dog/1.json",
        "dog/2.json",
    )
    outside, beside_them = dataset.notes
    assert outside == "1 image outside the label folders left out: 0.jpg"
    assert beside_them == (
        "6 files ignored, no images by their names (4 .json, 1 .md, 1 .txt): "
        "README.md, cat/1.json, cat/2.json, cat/notes.txt, dog/1.json, and 1 more"
    )


def test_images_of_an_unknown_ending_are_taken_where_they_begin_like_images(tmp_path: Path) -> None:
    tree(tmp_path, {f"cat/{i}.jpg_large": b"\xff\xd8\xff\xe0" for i in range(3)})
    assert len(read(tmp_path, "dog/1.jpg").records) == 4


def test_a_folder_of_files_that_nobody_knows_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        LayoutError, match=r"the folder 'cat' holds 40 files, but none is an image by its name \(40 \.dat\)"
    ):
        read(tmp_path, *(f"cat/{i}.dat" for i in range(40)), "dog/1.jpg")


def test_a_folder_of_annotations_is_no_label(tmp_path: Path) -> None:
    dataset = read(tmp_path, *CAT_AND_DOG, "annotations/1.xml", "annotations/2.xml")
    assert dataset.labels == ("cat", "dog")
    assert dataset.ignored == ("annotations/1.xml", "annotations/2.xml")


def test_empty_label_folders_are_said_by_name(tmp_path: Path) -> None:
    (tmp_path / "eel").mkdir()
    dataset = read(tmp_path, *CAT_AND_DOG)
    assert dataset.labels == ("cat", "dog", "eel")
    assert dataset.notes == ("1 label folder without images: eel",)


def test_images_of_the_split_folders_outside_label_folders_are_said(tmp_path: Path) -> None:
    dataset = read(tmp_path, *under("train", "test"), "train/7.jpg")
    assert dataset.notes == ("1 image outside the label folders left out: train/7.jpg",)


def test_folders_whose_names_differ_only_in_case_or_blanks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"the labels 'cat' .* and 'cat ' .* differ only in case or blanks"):
        read(tmp_path, "cat/1.jpg", "cat /2.jpg", "dog/1.jpg")


def test_folders_of_two_splits_whose_names_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        LayoutError, match=r"the labels 'Cat' \(test/Cat\) and 'cat' \(train/cat\) differ only in case or blanks"
    ):
        read(tmp_path, "test/Cat/1.jpg", "train/cat/2.jpg", "train/dog/1.jpg")


def test_the_documented_configuration_reads_its_data_set(tmp_path: Path) -> None:
    assert documented("folders")["data"]["layout"] == "folders"
    dataset = read(
        tmp_path, *(f"{part}/{label}/0001.jpg" for part in ("Training", "Testing") for label in ("cat", "dog"))
    )
    assert rows(dataset) == {
        "Testing/cat/0001.jpg": ("cat", "test"),
        "Testing/dog/0001.jpg": ("dog", "test"),
        "Training/cat/0001.jpg": ("cat", None),
        "Training/dog/0001.jpg": ("dog", None),
    }


def test_public_and_private_tests_are_eval_and_test(tmp_path: Path) -> None:
    dataset = read(tmp_path, *under("Training", "PublicTest", "PrivateTest"))
    assert dataset.labels == ("cat", "dog")
    assert {record.path.partition("/")[0]: record.split for record in dataset.records} == {
        "Training": "train",
        "PublicTest": "eval",
        "PrivateTest": "test",
    }


def test_a_license_without_ending_is_no_image(tmp_path: Path) -> None:
    dataset = read(tmp_path, *CAT_AND_DOG, "LICENSE", "cat/README")
    assert len(dataset.records) == 4
    assert dataset.notes == ("2 files ignored, no images by their names (2 without ending): LICENSE, cat/README",)


@pytest.mark.parametrize("names", [None, ["covid", "normal"]])
def test_masks_inside_label_folders_are_not_taken_for_images(tmp_path: Path, names: list[str] | None) -> None:
    paths = [f"{label}/{kind}/{i}.png" for label in ("covid", "normal") for kind in ("images", "masks") for i in "12"]
    with pytest.raises(LayoutError, match=r"to learn the folders as labels, move the masks out of data\.root"):
        read(tmp_path, *paths, names=names)


def test_two_labels_called_images_and_masks_are_noted(tmp_path: Path) -> None:
    (note,) = read(tmp_path / "both", "img/1.png", "msk/1.png").notes
    advice = "if these are images and their masks, set task: segmentation and data.layout: masks"
    assert note == f"the labels are called 'img', 'msk'; {advice}"
    assert read(tmp_path / "pets", *CAT_AND_DOG).notes == ()
