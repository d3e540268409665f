"""From the shards to images that training has as well: which are made, written, counted, and judged."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from prepared import Prepared, prepare

from components.base.artifact_files import SYNTHETIC_IMAGES, SYNTHETIC_PICTURE
from components.base.errors import ConfigError, ImagegateError
from components.data import features, schema
from components.data.dataset import Dataset, Record
from components.labels import kinds, priors
from components.model import settings as configured
from components.model.fitting import synthetic, training
from components.model.fitting.given import Given
from components.model.fitting.synthetic import Synthetic
from components.model.settings import TrainerSettings
from components.model.synthesis import checks, generate, mixing, vae
from components.model.synthesis.settings import SynthesisSettings

COUNTS = {"cat": 8, "dog": 6, "emu": 3, "fox": 1}  # of train; the median is (3 + 6) / 2, rounded down: 4


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    base, draw, records = tmp_path_factory.mktemp("synthetic"), np.random.default_rng(0), []
    for split, counts in (("train", COUNTS), ("eval", dict.fromkeys(COUNTS, 2)), ("test", dict.fromkeys(COUNTS, 1))):
        for label, count in counts.items():
            for i in range(count):
                Image.fromarray(draw.integers(0, 255, (8, 8, 3), np.uint8)).save(base / f"{split}-{label}-{i}.png")
                records.append(Record(f"{split}-{label}-{i}.png", (label,), split, 1, ""))
    return prepare(base, "single_label", Dataset(str(base), tuple(COUNTS), tuple(records), {}))


def given(prepared: Prepared, folder: Path, made: str = "") -> Given:
    names = schema.labels(str(prepared.schema))
    kind = kinds.kind("single_label")
    return Given(str(prepared.examples), str(prepared.transform), str(folder / "logs"), kind, names, None, "", made)


def made(prepared: Prepared, folder: Path, **told: object) -> Synthetic:
    settings = SynthesisSettings(
        task="single_label", synthetic=configured.Synthetic(**{"method": "mixup", **told}), image_size=(8, 8), seed=1
    )
    generate.conduct(given(prepared, folder), settings, str(folder))
    return synthetic.read(str(folder))


@pytest.fixture(scope="module")
def mixed(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Up to six images of each label."""
    folder = tmp_path_factory.mktemp("mixed")
    made(prepared, folder, up_to=6)
    return folder


def test_rare_labels_get_images_up_to_the_median(prepared: Prepared, tmp_path: Path) -> None:
    labels = made(prepared, tmp_path).labels
    assert {name: (one.train, one.images) for name, one in labels.items()} == {"emu": (3, 1), "fox": (1, 0)}
    assert labels["fox"].reason == "none was made: expected 2 images in train, there is 1"


def test_labels_can_be_named(prepared: Prepared, tmp_path: Path) -> None:
    labels = made(prepared, tmp_path, labels=["cat", "emu"], up_to=8).labels
    assert {name: one.images for name, one in labels.items()} == {"cat": 0, "emu": 5}
    assert labels["cat"].reason == "none was made: there are 8 images already"


def test_a_label_that_there_is_not_is_named(prepared: Prepared, tmp_path: Path) -> None:
    expected = "training.synthetic.labels: there is no label 'cow'; expected some of cat, dog, emu, fox"
    with pytest.raises(ConfigError, match=re.escape(expected)):
        made(prepared, tmp_path, labels=["cow"])


def test_the_images_are_written_with_their_label_and_marked(mixed: Path) -> None:
    wanted = {
        features.PATH: tf.io.FixedLenFeature([], tf.string),
        features.LABEL: tf.io.FixedLenFeature([], tf.string),
        features.IMAGE: tf.io.FixedLenFeature([], tf.string),
    }
    rows = [tf.io.parse_single_example(row, wanted) for row in tf.data.TFRecordDataset(str(mixed / SYNTHETIC_IMAGES))]
    assert sorted(row[features.PATH].numpy().decode() for row in rows) == [f"synthetic/emu/{i}.png" for i in (1, 2, 3)]
    assert {row[features.LABEL].numpy() for row in rows} == {b"emu"}
    assert all(tf.io.decode_png(row[features.IMAGE]).shape == (8, 8, 3) for row in rows)
    with Image.open(mixed / SYNTHETIC_PICTURE) as picture:
        assert picture.size == (8 * 64, 2 * 64)  # a label: made, and below the nearest


def test_train_alone_has_them(prepared: Prepared, mixed: Path) -> None:
    plain = prepared.batches()
    data = plain.with_synthetic(str(mixed))
    assert {split: data.count(split) for split in ("train", "eval", "test")} == {"train": 21, "eval": 8, "test": 4}
    assert plain.count("train") == 18
    for split, wanted in (("train", [8, 6, 6, 1]), ("eval", [2, 2, 2, 2])):
        target = np.concatenate([t.numpy() for _, t, _ in data.once(split)])
        assert target.sum(axis=0).tolist() == wanted
    assert np.concatenate([t.numpy() for _, t, _ in plain.once("train")]).sum(axis=0).tolist() == [8, 6, 3, 1]


def test_weights_and_shares_are_those_of_what_is_trained_on(prepared: Prepared, mixed: Path) -> None:
    data = prepared.batches().with_synthetic(str(mixed))
    # The median of 8, 6, 6 and 1 images is 6.
    assert data.label_weights() == pytest.approx([6 / 8, 1, 1, 6])
    assert priors.shares(data.counted) == pytest.approx([8 / 21, 6 / 21, 6 / 21, 1 / 21])
    assert prepared.batches().label_weights() == pytest.approx([4.5 / 8, 4.5 / 6, 4.5 / 3, 4.5])


def test_a_file_that_was_changed_is_refused(prepared: Prepared, tmp_path: Path) -> None:
    made(prepared, tmp_path)
    with open(tmp_path / SYNTHETIC_IMAGES, "ab") as file:
        file.write(b"x")
    with pytest.raises(ImagegateError, match="changed after it was written"):
        prepared.batches().with_synthetic(str(tmp_path)).once("train")


@pytest.mark.parametrize(
    ("method", "fault", "reason"),
    [("mixup", "copies", "copies"), ("vae", "collapses", "collapsed"), ("conditional_vae", "collapses", "collapsed")],
)
def test_a_generator_that_copies_or_collapses_is_refused_by_name(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, fault: str, reason: str
) -> None:
    if fault == "copies":
        monkeypatch.setattr(mixing, "_SHARES", (0.999, 1.0))  # all of one image
    else:
        monkeypatch.setattr(vae, "_STEPS", 1)  # it has learnt nothing: grey
    found = made(prepared, tmp_path, method=method, labels=["emu"], up_to=9)
    assert found.images == 0
    assert reason in found.labels["emu"].reason
    assert found.sentences() == [f"synthetic images of emu: {found.labels['emu'].reason}"]


def learnt(prepared: Prepared, folder: Path, images: Path, *, judged: bool = True, **told: object) -> training.Learnt:
    config = {"epochs": 1, "synthetic": {"method": "mixup"}} | told
    settings = TrainerSettings.model_validate(prepared.arguments(folder, **config).custom_config)
    with training.prepared(settings) as gpus:
        return training.learn(given(prepared, folder, str(images)), settings, gpus, judged=judged)


def test_training_says_whether_they_help(prepared: Prepared, mixed: Path, tmp_path: Path) -> None:
    found = learnt(prepared, tmp_path, mixed)
    assert found.made is not None
    assert found.made.tried is not None
    assert found.made.tried.images == 8  # of eval
    assert found.made.tried.used == (found.made.tried.interval[1] < 0)
    assert found.made.sentences()[0].startswith("3 synthetic images (mixup): ")
    # Familiarity and calibration see real images alone.
    assert found.data.count("train") == 18
    assert json.loads(found.made.to_json())["labels"]["emu"] == {"train": 3, "images": 3, "reason": ""}


def test_a_comparison_uses_them_whether_they_help_or_not(prepared: Prepared, mixed: Path, tmp_path: Path) -> None:
    found = learnt(prepared, tmp_path, mixed, judged=False)
    assert found.weights == pytest.approx([6 / 8, 1, 1, 6])
    without = learnt(prepared, tmp_path / "without", mixed, judged=False, synthetic=None)
    assert without.weights == pytest.approx([4.5 / 8, 4.5 / 6, 4.5 / 3, 4.5])


def test_a_comparison_without_any_says_why(prepared: Prepared, tmp_path: Path) -> None:
    made(prepared, tmp_path, labels=["fox"])
    with pytest.raises(ImagegateError, match="there are no synthetic images; synthetic images of fox: none was made"):
        learnt(prepared, tmp_path, tmp_path, judged=False)


def test_the_picture_stays_small_however_many_labels_there_are() -> None:
    images = {str(i): np.zeros((2, 8, 8, 3), np.uint8) for i in range(600)}
    # JPEG has at most 65,535 rows; two rows of 64 pixels for each of 20 labels.
    assert generate._picture(images, images).size == (8 * 64, 20 * 2 * 64)


def test_thumbnails_of_what_a_network_draws_have_the_size_of_all() -> None:
    assert checks.thumbnails(np.zeros((2, *generate.small((30, 90)), 3), np.uint8)).shape == (2, 192)
