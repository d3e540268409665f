"""From a data set on disk to a pushed model with `init` and `run` alone, no key edited."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from any_layout.photos import BROUGHT, LABELS, photos
from projects import Run

pytestmark = pytest.mark.end_to_end

Imagegate = Callable[..., Run]


def bring(imagegate: Imagegate, folder: Path, name: str) -> None:
    found = BROUGHT[name]
    world = photos(found.kind, found.split)
    found.write(folder / "pets", world)
    made = imagegate("init", folder / "pets" / found.path, "-o", folder / "pets.yaml")
    assert made.code == 0, made
    run = imagegate("run", folder / "pets.yaml", "--json")
    assert run.code == 0, run
    summary = json.loads(run.out)
    assert (summary["status"], summary["task"]) == ("pushed", found.task)
    assert sum(summary["data"]["counts"].values()) == len(world.pictures)
    assert set(world.labels) <= set(summary["label_weights"]) | {"0", "1", "2", "3"} <= LABELS | {"0", "1", "2", "3"}


@pytest.mark.slow
def test_a_zip_of_split_folders_is_pushed(imagegate: Imagegate, tmp_path: Path) -> None:
    bring(imagegate, tmp_path, "split folders with odd names in a zip")


@pytest.mark.slow  # the same for other layouts
@pytest.mark.parametrize("name", list(BROUGHT)[1:])
def test_what_people_bring_is_pushed(imagegate: Imagegate, tmp_path: Path, name: str) -> None:
    bring(imagegate, tmp_path, name)


@pytest.mark.slow
@pytest.mark.real_images
@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("clothing", "single_label"),
        ("cifar10", "single_label"),
        ("miml", "multi_label"),
        ("camvid", "segmentation"),
    ],
)
def test_real_data_sets_are_pushed(
    imagegate: Imagegate, tmp_path: Path, real_images: Path, name: str, task: str
) -> None:
    assert imagegate("init", real_images / name, "-o", tmp_path / "x.yaml").code == 0
    run = imagegate("run", tmp_path / "x.yaml", "--json")
    assert run.code == 0, run
    assert json.loads(run.out)["task"] == task
