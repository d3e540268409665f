"""Logits that are shifted after training: those of a training without a method, minus the log shares, exactly once."""

import functools
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from prepared import Prepared, prepare

from components.data import schema
from components.data.dataset import Dataset, Record
from components.data.mask_rules import rule
from components.labels import kinds
from components.model.fitting import recipe, training
from components.model.fitting.given import Given
from components.model.networks import network
from components.model.settings import TrainerSettings

PIXELS = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), np.uint8)
SPLITS = (("train", 4), ("eval", 2), ("test", 1))


def single(base: Path) -> Prepared:
    """Of four images of train, 3 are a cat and 1 is a dog."""
    return of_images(base, "single_label", ("cat", "dog"), [("cat",), ("cat",), ("dog",), ("cat",)])


def several(base: Path) -> Prepared:
    """Of four images of train, 3 are red, 1 is green and all are blue."""
    applies = [("red", "blue"), ("red", "blue"), ("red", "green", "blue"), ("blue",)]
    return of_images(base, "multi_label", ("red", "green", "blue"), applies)


def of_images(base: Path, task: str, names: tuple[str, ...], applies: list[tuple[str, ...]]) -> Prepared:
    records = []
    for split, count in SPLITS:
        for i in range(count):
            Image.fromarray(PIXELS[i]).save(base / f"{split}-{i}.png")
            records.append(Record(f"{split}-{i}.png", applies[i], split, 1, ""))
    return prepare(base, task, Dataset(str(base), names, tuple(records), {}))


def masks(base: Path) -> Prepared:
    """Of eight rows of pixels, 6 are ground, 1 is a thing, and 1 is ignored."""
    meaning, records = rule(["ground", "thing"], ignore=7), []
    ids = np.zeros((8, 8), np.uint8)
    ids[0], ids[1] = 1, 7
    Image.fromarray(ids).save(base / "mask.png")
    for split, count in SPLITS:
        for i in range(count):
            Image.fromarray(PIXELS[i]).save(base / f"{split}-{i}.png")
            records.append(Record(f"{split}-{i}.png", (), split, 1, "", mask="mask.png"))
    return prepare(base, "segmentation", Dataset(str(base), meaning.labels, tuple(records), {}), meaning)


Make = Callable[[Path], Prepared]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Make], Prepared]:
    """Makes each of them once."""
    return functools.cache(lambda make: make(tmp_path_factory.mktemp(make.__name__)))


def learnt(prepared: Prepared, folder: Path, imbalance: str, **told: object) -> training.Learnt:
    config = {"label_weights": None, "imbalance": imbalance, "epochs": 1, "batch_size": 2, "learning_rate": 0.01} | told
    settings = TrainerSettings.model_validate(prepared.arguments(folder, **config).custom_config)
    names = schema.labels(str(prepared.schema))
    positive = None if settings.positive is None else names.index(settings.positive)
    kind = kinds.kind(prepared.task)
    given = Given(str(prepared.examples), str(prepared.transform), str(folder / "logs"), kind, names, positive)
    with training.prepared(settings) as gpus:
        return training.learn(given, settings, gpus)


@pytest.mark.parametrize(
    ("make", "positive", "shift"),
    [
        (single, None, np.log([3 / 4, 1 / 4])),
        # One unit z stands for the logits (0, z): the difference of the two shifts.
        (single, "dog", [0, np.log(1 / 4) - np.log(3 / 4)]),
        # Odds; a label that is in every image has none.
        (several, None, np.log([3 / 1, 1 / 3, 1])),
        (masks, None, np.log([6 / 7, 1 / 7])),
    ],
)
def test_logits_are_those_of_a_training_without_a_method_minus_the_log_shares(
    tmp_path: Path, made: Callable[[Make], Prepared], make: Make, positive: str | None, shift: list[float]
) -> None:
    prepared = made(make)
    plain = learnt(prepared, tmp_path / "none", "none", positive=positive)
    before = plain.parts.model(PIXELS, training=False).numpy()
    other = learnt(prepared, tmp_path / "other", "post_hoc_adjustment", positive=positive)
    after = other.parts.model(PIXELS, training=False).numpy()
    np.testing.assert_allclose(before - after, np.broadcast_to(shift, before.shape), atol=1e-5)
    assert other.history == plain.history
    assert set(other.weights) == {1.0}


def test_the_unit_of_the_first_of_two_labels_takes_the_difference_the_other_way_round() -> None:
    told = {"weights": None, "image_size": (8, 8), "classes": 2, "augment": False, "seed": 1, "positive": 0}
    parts = network.build("small", kind=kinds.kind("single_label"), **told)
    before = parts.model(PIXELS, training=False).numpy()
    recipe.shift(parts.head, 0, [-0.5, -2.0])
    np.testing.assert_allclose(before - parts.model(PIXELS, training=False).numpy(), [[1.5, 0.0]] * 4, atol=1e-5)


def test_a_training_that_goes_on_after_a_kill_is_shifted_once(tmp_path: Path, made: Callable[[Make], Prepared]) -> None:
    """The second begins with what the first left in its checkpoints, after its shift."""
    prepared = made(single)
    first, again = (
        learnt(prepared, tmp_path / "same", "post_hoc_adjustment").parts.model(PIXELS, training=False).numpy()
        for _ in range(2)
    )
    assert list((tmp_path / "same" / "checkpoints").glob("*/all/history.json"))
    np.testing.assert_array_equal(again, first)


def test_a_solved_head_on_stored_features_is_shifted_too(tmp_path: Path, made: Callable[[Make], Prepared]) -> None:
    pixels = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(2, 3, padding="same")(keras.layers.Rescaling(1 / 255)(pixels))
    keras.Model(pixels, maps).save(tmp_path / "backbone.keras")
    told = {"backbone": str(tmp_path / "backbone.keras"), "freeze_epochs": None, "epochs": 0}
    prepared, logits = made(single), {}
    for method in ("none", "post_hoc_adjustment"):
        found = learnt(prepared, tmp_path / method, method, **told)
        assert found.features is not None
        logits[method] = found.parts.head(found.features("train").features).numpy()
    shift = np.broadcast_to(np.log([3 / 4, 1 / 4]), (4, 2))
    np.testing.assert_allclose(logits["none"] - logits["post_hoc_adjustment"], shift, atol=1e-5)
