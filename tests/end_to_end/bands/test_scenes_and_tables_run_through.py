"""Large scenes as tiles with a GeoTIFF as the answer, tables of moments, and a widened backbone, to a pushed model."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image
from projects import Project

from components.data import features
from pipeline import cli

pytestmark = pytest.mark.end_to_end
LIMITS = {"min_examples": 1, "max_split_drift": None, "near_duplicate_distance": None}
KEYS = (1, 1, 0, 1, 3072, 0, 1, 32633)  # UTM 33N
TIE = (0.0, 0.0, 0.0, 500000.0, 5100000.0, 0.0)
TAGS = [(33550, 12, 3, (10.0, 10.0, 0.0), True), (33922, 12, 6, TIE, True), (34735, 3, len(KEYS), KEYS, True)]


def write(folder: Path, name: str, **sections: object) -> Project:
    told = {"name": name, "balance": LIMITS, "push": {"destination": f"models/{name}"}, **sections}
    (folder / "imagegate.yaml").write_text(yaml.safe_dump(told))
    return Project(folder, name)


def scene(random: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A lake in a forest: bands and mask. Water is dark in the fourth band."""
    rows, columns = np.indices((height, width))
    centre, radius = random.uniform(0.3, 0.7, 2) * (height, width), random.uniform(0.2, 0.4) * height
    ids = (np.hypot(rows - centre[0], columns - centre[1]) < radius).astype(np.uint8)
    pixels = random.integers(1, 3000, (height, width, 4))
    pixels[..., 3] += 9000 * (1 - ids.astype(int))
    return pixels.astype(np.uint16), ids


def test_scenes_are_learnt_as_tiles_and_answered_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(5)
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for i in range(20):
        pixels, ids = scene(random, 40, 52 + i % 3)
        pixels[:, :20] = 0 if i == 3 else pixels[:, :20]  # tiles without any valid pixel
        tifffile.imwrite(
            tmp_path / "data" / "images" / f"{i:02}.tif",
            pixels,
            photometric="minisblack",
            planarconfig="contig",
            extratags=TAGS,
        )
        Image.fromarray(ids).save(tmp_path / "data" / "masks" / f"{i:02}.png")
    project = write(
        tmp_path,
        "lakes",
        task="segmentation",
        data={
            "root": "data",
            "layout": "masks",
            "images": "images",
            "masks": "masks",
            "invalid": "zero",
            "bands": ["blue", "green", "red", "nir"],
            "tile": [16, 16],
            "split": {"train": 0.6, "eval": 0.2, "test": 0.2},
        },
        labels={"names": ["land", "water"]},
        training={"epochs": 6, "learning_rate": 0.01},
        evaluation={"thresholds": [{"metric": "mean_iou", "min": 0.8}]},
    )
    found = project.run()
    assert (found["status"], found["error"]) == ("pushed", None)
    assert "3 images with no valid pixel, tiles of larger ones; they are left out" in " ".join(found["data"]["notes"])
    scenes = {
        split: {
            example.features.feature[features.PATH].bytes_list.value[0].split(b"@")[0]
            for example in project.records(split)
        }
        for split in ("train", "eval", "test")
    }
    assert not scenes["train"] & (scenes["eval"] | scenes["test"])
    assert not scenes["eval"] & scenes["test"]
    # A scene of another size is answered whole, where it lies.
    pixels, ids = scene(random, 71, 45)
    pixels[:, 28:] = 0
    tifffile.imwrite(tmp_path / "new.tif", pixels, photometric="minisblack", planarconfig="contig", extratags=TAGS)
    np.save(tmp_path / "plain.npy", pixels)
    capsys.readouterr()
    command = ["predict", str(project.destination), str(tmp_path / "new.tif"), str(tmp_path / "plain.npy"), "--json"]
    assert cli.main([*command, "--masks", str(tmp_path / "out"), "--overlay", str(tmp_path / "drawn")]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(answer["mask"]).name for answer in answers] == ["new.tif", "plain.png"]
    with tifffile.TiffFile(tmp_path / "out" / "new.tif") as file:
        mask, tags = file.asarray(), {tag.code: tag.value for tag in file.pages[0].tags}
    assert (tags[33922], tags[34735], tags[42113]) == (TIE, KEYS, "255")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "plain.png")), mask)
    assert mask.shape == (71, 45)
    assert (mask[:, :28] == ids[:, :28]).mean() > 0.97
    # Windows begin at 0, 12, 24 and 29. In the last, nothing is valid; the one at 24 answers up to the middle
    # of what both see, (24 + 16 + 29) // 2 = 34.
    assert (mask[:, 28:34] != 255).all()
    assert (mask[:, 34:] == 255).all()
    assert answers[0]["shares"]["water"] == pytest.approx((mask == 1).sum() / (mask != 255).sum())
    assert Image.open(answers[0]["overlay"]).size == (45, 71)
    assert sum(answers[0]["shares"].values()) == pytest.approx(1)
    # A scene without any valid pixel is refused alone, and no file takes the place of another.
    tifffile.imwrite(tmp_path / "none.tif", np.zeros_like(pixels), photometric="minisblack", planarconfig="contig")
    command[2:4] = [str(tmp_path / "none.tif"), str(tmp_path / "new.tif")]
    assert cli.main([*command, "--masks", str(tmp_path / "out"), "--overlay", str(tmp_path / "drawn")]) == 1
    refused, fine = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (refused["error"], Path(fine["mask"]).name) == ("the model refuses it: no pixel is valid", "new.tif")
    command[2] = str(tmp_path / "plain.npy")
    assert cli.main([*command, "--masks", str(tmp_path / "one"), "--overlay", str(tmp_path / "one")]) == 2
    assert "plain.png would also be written by --overlay; choose another folder" in capsys.readouterr().err


@pytest.mark.slow
def test_labels_of_sequences_in_a_table_of_moments(tmp_path: Path) -> None:
    """Two crops that differ only in when they are green; the table lists a file for each of five moments."""
    random, rows = np.random.default_rng(6), ["field,day,file_name,label"]
    (tmp_path / "data").mkdir()
    for field in range(60):
        late = field % 2
        for moment in random.permutation(5):
            green = 1.0 if moment in ((3, 4) if late else (0, 1)) else 0.0
            pixels = np.full((8, 8, 2), green) + random.normal(0, 0.2, (8, 8, 2))
            pixels[random.random((8, 8)) < 0.3] = np.nan
            np.save(tmp_path / "data" / f"{field}_{moment}.npy", pixels.astype(np.float32))
            rows.append(f"field {field},2020-0{moment + 3}-01,{field}_{moment}.npy,{'late' if late else 'early'}")
    (tmp_path / "data" / "moments.csv").write_text("\n".join(rows) + "\n")
    project = write(
        tmp_path,
        "crops",
        task="single_label",
        data={
            "root": "data",
            "layout": "manifest",
            "manifest": "moments.csv",
            "bands": 2,
            "frames": 5,
            "columns": {"sequence": "field", "time": "day", "labels": "label"},
        },
        training={"epochs": 15, "batch_size": 8, "learning_rate": 0.01},
        evaluation={"thresholds": [{"metric": "accuracy", "min": 0.9}]},
    )
    found = project.run()
    assert (found["status"], found["error"]) == ("pushed", None)
    assert "300 rows are the moments of 60 sequences" in " ".join(found["data"]["notes"])


@pytest.mark.slow
def test_a_widened_backbone_is_solved_and_trained(tmp_path: Path) -> None:
    """The labels differ in the band nir alone, which no photo has."""
    keras.utils.set_random_seed(4)
    images = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(images)
    for filters in (16, 32):
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(keras.layers.Conv2D(filters, 3, 2, "same")(x)))
    keras.Model(images, x).save(tmp_path / "backbone.keras")
    random = np.random.default_rng(7)
    for label in ("bare", "green"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for i in range(40):
            pixels = random.integers(0, 5000, (24, 24, 4)).astype(np.uint16)
            pixels[..., 3] += 1000 * (label == "green")
            pixels[:4] = 0
            np.save(tmp_path / "data" / label / f"{i}.npy", pixels)
    project = write(
        tmp_path,
        "leaves",
        task="single_label",
        data={"root": "data", "bands": ["blue", "green", "red", "nir"], "invalid": "zero"},
        training={"backbone": "backbone.keras", "epochs": 3, "batch_size": 8},
        evaluation={"thresholds": [{"metric": "accuracy", "min": 0.9}]},
    )
    found = project.run()
    assert (found["status"], found["error"]) == ("pushed", None)
    again = project.run("training.epochs=0")  # the head alone, on features that are stored
    assert again["metrics"]["accuracy"] >= 0.8
