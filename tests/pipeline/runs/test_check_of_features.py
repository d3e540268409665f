"""`imagegate check` with a pretrained backbone: a cropped copy is refused, and nothing is computed twice."""

from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from components.model.features.feature_store import COMPARED
from pipeline import cli

PER_LABEL = {"train": 6, "val": 2, "test": 2}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Pictures of shapes in named splits, and a backbone with random weights."""
    random = np.random.default_rng(0)
    for split, count in PER_LABEL.items():
        for label in ("cat", "dog"):
            folder = tmp_path / "images" / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                image = Image.new("RGB", (240, 180), tuple(random.integers(0, 256, 3).tolist()))
                draw = ImageDraw.Draw(image)
                for _ in range(100):
                    x, y, w, h = random.integers(0, 240), random.integers(0, 180), *random.integers(5, 50, 2)
                    draw.ellipse((x, y, x + w, y + h), fill=tuple(random.integers(0, 256, 3).tolist()))
                image.save(folder / f"{i}.png")
    inputs = keras.Input((None, None, 3))
    keras.utils.set_random_seed(3)
    network = keras.Model(inputs, keras.layers.Conv2D(32, 5, strides=4, activation="relu")(inputs / 255.0))
    network.save(tmp_path / "backbone.keras")
    settings = {
        "name": "pets",
        "task": "single_label",
        "data": {"root": "images"},
        "training": {"backbone": "backbone.keras", "image_size": [64, 64]},
        "balance": {"min_examples": None, "max_split_drift": None},
        "push": {"destination": "served"},
    }
    (tmp_path / "imagegate.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path


def stored(project: Path) -> list[np.ndarray]:
    """The digests of each part of the stored features; pairs that were compared lie beside them."""
    parts = [part for part in project.rglob("features/*/*.npz") if not part.parent.name.startswith(COMPARED)]
    return [np.load(part)["digests"] for part in parts]


def test_a_cropped_copy_in_another_split_is_refused_and_listed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [str(project / "imagegate.yaml"), "-o", str(project / "issues.csv")]
    assert cli.main(["check", *told]) == 0
    capsys.readouterr()
    assert [len(part) for part in stored(project)] == [20]
    with Image.open(project / "images/train/cat/3.png") as image:
        image.crop((6, 5, 234, 175)).save(project / "images/test/cat/copy.png")  # 5 % of the width and the height
    assert cli.main(["check", *told]) == 3
    out = capsys.readouterr().out
    assert (
        "number of changed copies in different predefined splits is 1, above the maximum 0: test/cat/copy.png ~ " in out
    )
    lines = (project / "issues.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["test/cat/copy.png", "train/cat/3.png"]
    # The features of the new image alone are computed, and stored in a part of their own.
    assert sorted(len(part) for part in stored(project)) == [1, 20]
