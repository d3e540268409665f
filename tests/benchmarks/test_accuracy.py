"""That every side of the comparison of accuracy gets the same images and is judged alike."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.accuracy import few_labels, rare_labels
from benchmarks.accuracy.labelled import Labelled
from benchmarks.accuracy.masked import Masked

ROOT = Path(__file__).parents[2]
NAMES = ["sky", "road", "car"]
HALVES = np.repeat([[0] * 8 + [1] * 8], 16, axis=0)  # sky on the left, road on the right
VOID = np.where(np.arange(16)[:, None] < 4, 3, HALVES)  # … and a quarter that does not count


def folders(at: Path, masks: list[NDArray[np.int64]]) -> tuple[Path, Path]:
    """Writes images, which show their masks, and the masks; one more mask has no image."""
    images, truths = at / "images", at / "masks"
    images.mkdir(parents=True)
    truths.mkdir()
    for index, mask in enumerate(masks):
        grey = Image.fromarray((mask * 80).astype(np.uint8))
        grey.convert("RGB").save(images / f"{index}.png")
        Image.fromarray(mask.astype(np.uint8)).save(truths / f"{index}.png")
    Image.fromarray(HALVES.astype(np.uint8)).save(truths / "other.png")
    return images, truths


def test_masks_are_split_told_and_judged_alike(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("sky\nroad\ncar\n")
    data = Masked.read(
        folders(tmp_path / "a", [HALVES] * 8), folders(tmp_path / "b", [HALVES, VOID]), [str(tmp_path / "names.txt")], 3
    )
    splits = data.split((0.25, 0.25), seed=1)
    assert {split: len(indices) for split, indices in splits.items()} == {"eval": 2, "test": 2, "train": 6}
    assert sorted([*splits["eval"], *splits["train"]]) == list(range(8))
    assert splits["test"] == [8, 9]
    told = data.told(splits, tmp_path)
    assert data.labels == NAMES
    assert told["passes"] * 6 >= 25 * 8
    ids = [np.unique(np.asarray(Image.open(mask))).tolist() for mask in told["masks"]["test"]]
    assert ids == [[0, 1], [0, 1, 255]]

    # Half of the size. Of 64 and 48 known pixels, 4 of the sky are called car.
    answers = np.repeat([HALVES[::2, ::2]], 2, axis=0)
    answers[:, 7, :2] = 2
    found = data.judged(answers, splits["test"], (8, 8))
    assert found["pixel accuracy"] == pytest.approx(108 / 112)
    assert found["mean IoU"] == pytest.approx((52 / 56 + 1) / 2)  # there is no car in the truth


def test_without_images_for_test_a_share_of_all_is(tmp_path: Path) -> None:
    data = Masked.read(folders(tmp_path, [HALVES] * 8), None, NAMES, None)
    splits = data.split((0.25, 0.25), seed=1)
    assert {split: len(indices) for split, indices in splits.items()} == {"eval": 2, "test": 2, "train": 4}
    assert sorted(index for indices in splits.values() for index in indices) == list(range(8))


def test_of_each_label_so_many_images_keep_it_whatever_else_they_show() -> None:
    """The rarest label comes first: both emus, of which one is a dog as well; then one more dog; then two cats."""
    targets = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1]])
    data = Labelled([Path(f"{i}.png") for i in range(8)], targets, ("cat", "dog", "emu"), exclusive=False)
    for seed in range(5):
        chosen = few_labels.kept(data, range(8), 2, seed)
        assert len(set(chosen)) == len(chosen) == 5
        assert targets[chosen].sum(axis=0).tolist() == [2, 2, 2]
    assert few_labels.kept(data, [0, 4, 5], 2, 1) == [0, 4, 5]


def test_labels_are_cut_by_the_same_factor_from_one_to_the_next() -> None:
    """Of 16 images each, with a ratio of 16: 16, 16 / 4 and 16 / 16; of a label with few images, one is left."""
    targets = np.eye(3, dtype=np.int64)[[0] * 16 + [1] * 16 + [2] * 16]
    data = Labelled([Path(f"{i}.png") for i in range(48)], targets, ("cat", "dog", "emu"), exclusive=True)
    for seed in range(5):
        chosen = rare_labels.cut(data, range(48), 16, seed)
        assert len(set(chosen)) == len(chosen)
        assert targets[chosen].sum(axis=0).tolist() == [16, 4, 1]
    assert targets[rare_labels.cut(data, [0, 16, 32], 16, 1)].sum(axis=0).tolist() == [1, 1, 1]
    assert rare_labels.cut(data, range(48), 1, 1) == list(range(48))


def test_labelled_images_are_split_told_and_judged_alike(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        folder = tmp_path / "images" / label
        folder.mkdir(parents=True)
        for index in range(10):
            Image.new("RGB", (4, 4), (index, 0, 0)).save(folder / f"{index}.png")
    data = Labelled.read(tmp_path / "images", None, None)
    splits = data.split((0.2, 0.2), seed=1)
    assert {split: data.targets[indices].sum(0).tolist() for split, indices in splits.items()} == {
        "eval": [2, 2],
        "test": [2, 2],
        "train": [6, 6],
    }
    told = data.told(splits, tmp_path)
    assert told["targets"]["test"] == [[1, 0], [1, 0], [0, 1], [0, 1]]
    assert all(Path(file).exists() for file in told["files"]["test"])
    found = data.judged(np.array([[0.5, 0.5], [0.75, 0.25], [0.75, 0.25], [0.5, 0.5]]), splits["test"], (4, 4))
    assert found["accuracy"] == found["balanced accuracy"] == 0.5  # both cats are right, and no dog
    assert found["macro F1"] == pytest.approx((2 * 2 / (2 + 4) + 0) / 2)
    assert found["loss"] == pytest.approx(-np.log(0.5 * 0.75 * 0.25 * 0.5) / 4)


@pytest.mark.slow  # runs a pipeline
def test_masks_are_compared_with_keras(tmp_path: Path) -> None:
    import keras

    backbone = tmp_path / "backbone.keras"
    pixels = keras.Input((None, None, 3))
    keras.Model(pixels, keras.layers.Conv2D(4, 3, strides=4, padding="same")(pixels)).save(backbone)
    images, masks = folders(tmp_path / "a", [np.kron(np.roll(HALVES, i, 1), np.ones((2, 2), int)) for i in range(16)])
    options = ["--masks", masks, "--names", *NAMES[:2], "--backbone", backbone, "--size", "32", "32"]
    command = [sys.executable, "-m", "benchmarks.accuracy", images, *options, "--epochs", "1", "--seeds", "1"]
    sides = ["--sides", "good", "keras"]
    lines = subprocess.run([*command, *sides], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    found = {line.split()[0]: json.loads(line.split(maxsplit=2)[2]) for line in lines[:2]}
    assert found.keys() == {"good", "keras"}
    assert all(0 <= one["mean IoU"] <= one["pixel accuracy"] <= 1 for one in found.values())
