"""`imagegate init --demo`: what it writes can be run as it stands."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from components.base.errors import ConfigError
from components.ingest.layouts import folders
from pipeline import cli, config
from pipeline.init import demo, shapes
from pipeline.runs import data

TASKS = ["single_label", "multi_label", "segmentation"]


@pytest.mark.parametrize("task", TASKS)
def test_comments_stand_in_line(tmp_path: Path, task: str) -> None:
    text = Path(demo.write(str(tmp_path / "pets"), task)).read_text()
    assert all(len(line) <= 120 and line == line.rstrip() for line in text.splitlines())
    behind = [line.index(" # ") for line in text.splitlines() if re.search(r"\S +# ", line)]
    assert set(behind) <= {31, 56, 62}
    assert behind.count(31) >= 5


@pytest.mark.parametrize("task", TASKS)
def test_every_task_of_the_configuration_has_a_demo(tmp_path: Path, task: str) -> None:
    assert cli.main(["init", str(tmp_path / "x"), "--task", task, "--demo"]) == 0
    assert config.load(str(tmp_path / "x" / "imagegate.yaml")).task == task
    assert set(get_args(config.Config.model_fields["task"].annotation)) == set(TASKS)


def test_an_existing_configuration_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "imagegate.yaml").write_text("mine")
    with pytest.raises(ConfigError, match=r"imagegate\.yaml exists already"):
        demo.write(str(tmp_path))
    assert (tmp_path / "imagegate.yaml").read_text() == "mine"
    assert os.listdir(tmp_path) == ["imagegate.yaml"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=f"{tmp_path}/file.*: (Not a directory|File exists)") as error:
        demo.write(str(tmp_path / "file" / "x"))
    assert error.value.exit_code == 2


def test_the_demo_is_the_digits_of_scikit_learn(tmp_path: Path) -> None:
    settings = config.load(demo.write(str(tmp_path)))
    dataset = folders.read(settings.data_root, dict(settings.data.split))
    digits = load_digits()

    assert dataset.labels == tuple("0123456789")
    assert [len([r for r in dataset.records if r.labels == (label,)]) for label in dataset.labels] == list(
        np.bincount(digits.target)
    )
    # Levels 0 to 16 become 0 to 255: 16 steps of 15.94.
    first = {digit: digits.images[digits.target == digit][0] for digit in range(10)}
    for digit, levels in first.items():
        pixels = np.asarray(Image.open(f"{settings.data_root}/{digit}/000.png")).astype(float)
        np.testing.assert_allclose(pixels, levels * 255 / 16, atol=0.5)


def test_the_demo_of_several_labels_is_a_table_with_some_unknown_cells(tmp_path: Path) -> None:
    settings = config.load(demo.write(str(tmp_path), "multi_label"))
    dataset, _ = data.read_dataset(settings)
    assert dataset.labels == shapes.SHAPES == ("circle", "square", "triangle")
    assert len(dataset.records) == 400
    assert dataset.rejected == dataset.ignored == ()
    assert {len(record.labels) for record in dataset.records} == {0, 1, 2, 3}
    unknown = sum(len(record.unknown) for record in dataset.records)
    assert 24 <= unknown <= 72  # 4% of 1,200 cells are 48; six standard deviations are 41
    assert all(Image.open(f"{settings.data_root}/{r.path}").size == (48, 48) for r in dataset.records[:3])


def test_the_demo_s_labels_are_what_is_drawn(tmp_path: Path) -> None:
    """Shapes are brighter than 144 in every channel, and the ground's colour is below 112."""
    settings = config.load(demo.write(str(tmp_path), "multi_label"))
    areas: dict[tuple[str, ...], list[float]] = {}
    for record in data.read_dataset(settings)[0].records:
        if not record.unknown:
            bright = (np.asarray(Image.open(f"{settings.data_root}/{record.path}")).min(axis=2) >= 144).sum()
            areas.setdefault(record.labels, []).append(float(bright))
    mean = {labels: np.mean(found) for labels, found in areas.items()}
    # Radius 0.2 * 48 = 9.6: a circle has pi * 9.6^2 = 290 pixels, a square 2 * 9.6^2 = 184, a triangle 1.3 * 9.6^2.
    alone = {"circle": 290, "square": 184, "triangle": 120}
    assert len(mean) == 8
    for labels, found in mean.items():
        assert found == pytest.approx(sum(alone[label] for label in labels), rel=0.2, abs=25)


def test_the_demo_of_masks_has_ids_in_a_palette_and_borders_between(tmp_path: Path) -> None:
    settings = config.load(demo.write(str(tmp_path), "segmentation"))
    dataset, rule = data.read_dataset(settings)
    assert rule is not None
    assert rule.labels == dataset.labels == ("ground", "circle", "square", "triangle")
    assert len(dataset.records) == 150
    assert dataset.rejected == dataset.ignored == ()
    seen: Counter[int] = Counter()
    for record in dataset.records:
        with (
            Image.open(f"{settings.data_root}/{record.mask}") as mask,
            Image.open(f"{settings.data_root}/{record.path}") as image,
        ):
            assert (mask.mode, mask.size) == ("P", (64, 64)) == ("P", image.size)
            ids = np.asarray(mask)
            bright = np.asarray(image).min(axis=2) >= 144
        seen.update(np.unique(ids).tolist())
        inside = (ids > 0) & (ids < 255)
        assert bright[inside].all()  # or the mask is another image's
        beside = inside[:-1] & (ids[1:] == 0) | inside[1:] & (ids[:-1] == 0)
        assert not beside.any()  # the border is between them
    assert seen.keys() == {0, 1, 2, 3, 255}
    assert all(count > 30 for count in seen.values())


@pytest.mark.parametrize("task", ["multi_label", "segmentation"])
def test_a_demo_is_the_same_files_every_time(tmp_path: Path, task: str) -> None:
    def content(name: str) -> dict[str, bytes]:
        demo.write(str(tmp_path / name), task)
        return {
            str(p.relative_to(tmp_path / name)): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()
        }

    assert content("a") == content("b")
