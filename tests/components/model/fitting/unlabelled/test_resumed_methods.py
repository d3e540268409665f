"""A training that learns from images without labels goes on after a kill as if there had been none."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from prepared import SETTINGS, Prepared, prepare, prepare_pool

from components.ingest.layouts import folders
from components.model.fitting import training
from components.model.fitting.given import Given
from components.model.settings import TrainerSettings

COUNTS = {"train": 6, "eval": 4, "test": 2}  # images of each label


@dataclasses.dataclass(frozen=True)
class Images:
    """Labelled images, and the folder of the shards of others."""

    labelled: Prepared
    pool: str


def noise(path: Path, low: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(low, low + 100, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Dark and light noise: 12 images of train, and 12 without labels."""
    base = tmp_path_factory.mktemp("images")
    for place, (label, low) in enumerate((("dark", 0), ("light", 150))):
        for number, (split, count) in enumerate(COUNTS.items()):
            for i in range(count):
                noise(base / "images" / split / label / f"{i}.png", low, 100 * place + 10 * number + i)
        for i in range(6):
            noise(base / "others" / f"{label}-{i}.png", low, 1000 + 10 * place + i)
    dataset = folders.read(str(base / "images"), {"train": 0.8, "eval": 0.1, "test": 0.1})
    return Images(prepare(base, "single_label", dataset), prepare_pool(base / "others", base / "shards"))


def learnt(images: Images, folder: Path, method: str) -> list[np.ndarray]:
    """Trains three epochs with the method, whether it is better or not; returns the weights of the network."""
    own = {"task": images.labelled.task, "checkpoints": str(folder / "checkpoints"), "unlabelled": method}
    settings = TrainerSettings.model_validate(SETTINGS | own | {"augment": True, "learning_rate": 0.01})
    given = Given.of(images.labelled.arguments(folder), settings, str(folder / "logs"))
    given = dataclasses.replace(given, unlabelled=images.pool)
    with training.prepared(settings) as gpus:
        found = training.learn(given, settings, gpus, judged=False)
    assert len(found.history["all"]) == 3
    return found.parts.model.get_weights()


class _Stop(BaseException):
    """Stands in for a kill."""


# Each of three epochs replaces its weights and then its history; the hardest moment is between the two.
@pytest.mark.parametrize("moment", [3, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", ["consistency", "autoencoder"])
def test_whenever_it_is_killed_it_ends_with_the_same_weights(
    images: Images, tmp_path: Path, method: str, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thresholds, averages of answers, the decoder, the order of both kinds of images and all that chance decides."""
    whole = learnt(images, tmp_path / "whole", method)
    replaced, rename = list[str](), os.replace

    def replace(source: str, target: str) -> None:
        replaced.append(target)
        if len(replaced) == moment:
            raise _Stop
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(_Stop):
            learnt(images, tmp_path / "killed", method)
    for own, wanted in zip(learnt(images, tmp_path / "killed", method), whole, strict=True):
        np.testing.assert_array_equal(own, wanted)
