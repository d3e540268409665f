"""Features for the data gate: those of the Trainer, from shards and from files, each computed once."""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from prepared import Prepared, prepare

from components.base import progress
from components.base.errors import ImagegateError
from components.data.dataset import Dataset
from components.ingest import settling, shards
from components.ingest.counts.census import Images, Kept, Report
from components.ingest.layouts import folders
from components.model.features.described import Files, of_shards
from components.model.features.settings import FeatureSettings
from components.model.fitting import training
from components.model.settings import TrainerSettings

COUNTS = {"train": 9, "eval": 4, "test": 3}  # images of each of two labels


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image is a palette, which ingest stores as another file than it read."""
    base, random = tmp_path_factory.mktemp("described"), np.random.default_rng(0)
    for split, count in COUNTS.items():
        for label, low in (("dark", 0), ("light", 150)):
            (base / "images" / split / label).mkdir(parents=True)
            for i in range(count):
                image = Image.fromarray(random.integers(low, low + 100, (8, 8, 3), np.uint8))
                image = image.convert("P") if (split, i) == ("train", 0) else image
                image.save(base / "images" / split / label / f"{i}.png")
    inputs = keras.Input((None, None, 3))
    keras.utils.set_random_seed(3)
    network = keras.Model(inputs, keras.layers.Conv2D(6, 3, strides=2, activation="relu")(inputs / 255.0))
    network.save(base / "backbone.keras")
    return base


@pytest.fixture(scope="module")
def dataset(base: Path) -> Dataset:
    return folders.read(str(base / "images"), {"train": 0.8, "eval": 0.1, "test": 0.1})


@pytest.fixture(scope="module")
def prepared(base: Path, dataset: Dataset) -> Prepared:
    return prepare(base, "single_label", dataset)


def settings(base: Path, folder: Path) -> FeatureSettings:
    return FeatureSettings(
        backbone=str(base / "backbone.keras"),
        weights="imagenet",
        image_size=(8, 8),
        mixed_precision="auto",
        folder=str(folder),
    )


def examined(dataset: Dataset) -> tuple[Files, Images]:
    """What `check` does."""
    report, reports, job = Report(), Kept(), shards.job(dataset, 10_000)
    files = Files(dataset.root, 10_000, None)
    for item in shards.examine(dataset.records, job):
        shards.enter(item, report)
        files.note(item)
    reports.append(report)
    return files, settling.merge(dataset, reports, job, None)[1]


def test_features_of_shards_and_of_files_are_those_of_the_pixels(
    base: Path, dataset: Dataset, prepared: Prepared, tmp_path: Path
) -> None:
    images = Images.read(str(prepared.examples))
    stored = of_shards(str(prepared.examples), images, settings(base, tmp_path / "a"))
    files, found = examined(dataset)
    read = files.features(found, settings(base, tmp_path / "b"))
    paths = images.paths(range(len(images.rows)))
    assert paths == found.paths(range(len(found.rows)))
    assert len(paths) == 2 * sum(COUNTS.values())
    network = keras.saving.load_model(base / "backbone.keras")
    for rows, path in zip(np.stack([stored.rows, read.rows], axis=1), paths, strict=True):
        with Image.open(base / "images" / path) as image:
            pixels = np.asarray(image.convert("RGB"), np.float32)[None]
        expected = network(pixels).numpy().mean(axis=(0, 1, 2))
        np.testing.assert_allclose(rows, [expected, expected], rtol=1e-4, atol=1e-5)
    wanted = [len(paths) - 1, 0, paths.index("train/light/0.png")]
    assert list(stored.encoded(wanted)) == list(read.encoded(wanted))


def test_the_trainer_computes_nothing_that_the_data_gate_computed(
    base: Path, prepared: Prepared, tmp_path: Path
) -> None:
    """The Trainer tells of every batch that it computes, under the name of the split."""
    of_shards(str(prepared.examples), Images.read(str(prepared.examples)), settings(base, tmp_path / "features"))
    told = {"backbone": str(base / "backbone.keras"), "weights": "imagenet", "freeze_epochs": None, "epochs": 0}
    computed: list[str] = []
    progress.listen(lambda task, *_: computed.append(task))
    try:
        for name, folder in (("cold", "nothing"), ("warm", "features")):
            computed.clear()
            training.run_fn(prepared.arguments(tmp_path / name, features=str(tmp_path / folder), **told))
            assert {"features of train", "features of eval"} & set(computed) == (
                {"features of train", "features of eval"} if name == "cold" else set()
            )
    finally:
        progress.listen(None)


def test_a_second_look_computes_nothing(base: Path, prepared: Prepared, tmp_path: Path) -> None:
    images = Images.read(str(prepared.examples))
    counted: list[tuple[float, float | None]] = []
    progress.listen(lambda task, done, total, note: counted.append((done, total)) if task == "features" else None)
    try:
        first = of_shards(str(prepared.examples), images, settings(base, tmp_path))
        assert counted[-1] == (32, 32)  # 2 * (9 + 4 + 3) images
        counted.clear()
        second = of_shards(str(prepared.examples), images, settings(base, tmp_path))
    finally:
        progress.listen(None)
    assert counted == []
    np.testing.assert_array_equal(first.rows, second.rows)


def test_features_that_are_not_finite_are_refused(base: Path, dataset: Dataset, tmp_path: Path) -> None:
    colours = keras.Input((None, None, 3))
    keras.Model(colours, keras.layers.Rescaling(float("inf"))(colours)).save(tmp_path / "broken.keras")
    files, found = examined(dataset)
    told = settings(base, tmp_path / "store").model_copy(update={"backbone": str(tmp_path / "broken.keras")})
    with pytest.raises(ImagegateError, match=r"broken.keras gives features that are no finite numbers for \d+ of \d+"):
        files.features(found, told)
    assert not list(tmp_path.glob("store/*/*"))  # nothing of it is kept


def test_a_file_that_changes_while_it_is_read_is_named(base: Path, dataset: Dataset, tmp_path: Path) -> None:
    files, found = examined(dataset)
    path = base / "images" / "test" / "dark" / "1.png"
    before = path.read_bytes()
    path.write_bytes((base / "images" / "test" / "dark" / "2.png").read_bytes())
    try:
        with pytest.raises(ImagegateError, match=re.escape("test/dark/1.png changed while the data set was read")):
            files.features(found, settings(base, tmp_path))
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize(
    ("changed", "has"),
    [
        ({}, True),
        ({"backbone": "small"}, False),
        ({"backbone": "MobileNetV3Small", "weights": None}, False),
        ({"backbone": "MobileNetV3Small", "weights": "imagenet"}, True),
        ({"module": "/own.py", "weights": "module"}, False),
        ({"task": "segmentation"}, False),
        ({"task": "multi_label"}, True),
    ],
)
def test_only_a_pretrained_backbone_of_images_has_features(changed: dict[str, object], has: bool) -> None:
    decisions = {"calibrate": True, "threshold": "f1", "abstain_below": None}
    told = {"task": "single_label", "positive": None, "bits": None, "decisions": decisions, "checkpoints": ""}
    told |= {"code_fingerprint": "x", "backbone": "/b.keras", "features": "/f"} | changed
    found = FeatureSettings.of(TrainerSettings.model_validate(told))
    assert (found is not None) == has
    if found is not None:
        assert FeatureSettings.from_json(json.dumps(json.loads(found.to_json()))) == found
        assert (found.folder, found.code_fingerprint) == ("/f", "x")
