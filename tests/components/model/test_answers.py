"""What decisions are fitted to: the network's answers to the eval split, and features of the training images."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from prepared import Prepared, prepare

from components.data import features
from components.data.dataset import Dataset, Record
from components.data.mask_rules import rule
from components.labels import kinds
from components.labels.learning.pixels import decode_mask
from components.model import familiarity
from components.model.fitting import answers
from components.model.networks import network
from components.model.settings import DecisionSettings

_, MULTI, _ = kinds.KINDS.values()

NAMES = ("cat", "dog", "emu")
COUNTS = (("train", 13), ("eval", 7), ("test", 1))
SETTINGS = DecisionSettings(calibrate=True, threshold="f1", abstain_below=0.01)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of 8 x 8 pixels; each image has a mask of the ids 0 to 2, a fifth of which 9."""
    root, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split, count in COUNTS:
        (root / split).mkdir()
        for i in range(count):
            Image.fromarray(random.integers(0, 30 + 17 * i, (8, 8, 3), np.uint8)).save(root / split / f"{i}.png")
            ids = random.choice(np.array([0, 1, 2, 9], np.uint8), (8, 8), p=[0.3, 0.3, 0.2, 0.2])
            Image.fromarray(ids).save(root / split / f"{i}-mask.png")
    return root


@pytest.fixture(scope="module")
def labelled(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Of every third image nobody said what dog is, and the weights are 1, 2, 3."""
    records = [
        Record(f"{split}/{i}.png", (NAMES[i % 3],), split, 1, "", unknown=("dog",) * (i % 3 == 0), weight=1.0 + i % 3)
        for split, count in COUNTS
        for i in range(count)
    ]
    return prepare(tmp_path_factory.mktemp("multi"), "multi_label", Dataset(str(images), NAMES, tuple(records), {}))


@pytest.fixture(scope="module")
def masked(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    records = [
        Record(f"{split}/{i}.png", (), split, 1, "", mask=f"{split}/{i}-mask.png", weight=1.0 + i % 3)
        for split, count in COUNTS
        for i in range(count)
    ]
    meaning = rule(list(NAMES), ignore=9)
    dataset = Dataset(str(images), meaning.labels, tuple(records), {})
    return prepare(tmp_path_factory.mktemp("masks"), "segmentation", dataset, meaning)


def build(task: str) -> network.Parts:
    keras.utils.set_random_seed(3)
    return network.build(
        "small", weights=None, image_size=(8, 8), classes=3, augment=False, seed=1, kind=kinds.kind(task)
    )


def read(prepared: Prepared, split: str) -> tuple[np.ndarray, list]:
    """(pixels float32 [n, 8, 8, 3], the features) of each example in the order of the shards."""
    found = [tf.train.Example.FromString(record).features.feature for record in prepared.records(split)]
    pixels = [tf.io.decode_png(f[features.IMAGE].bytes_list.value[0]).numpy() for f in found]
    return np.stack(pixels).astype(np.float32), found


def weights(found: list) -> list[float]:
    return [f[features.WEIGHT].float_list.value[0] for f in found]


def pooled(parts: network.Parts, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(network.pooled(parts.extractor(pixels, training=False)))


def test_labels_logits_and_weights_come_from_the_eval_images(labelled: Prepared) -> None:
    parts, (pixels, found) = build("multi_label"), read(labelled, "eval")
    told = answers._labels(answers._Network(parts), labelled.batches())
    np.testing.assert_allclose(told.features, pooled(parts, pixels), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(told.logits, parts.model(pixels, training=False), rtol=1e-4, atol=1e-5)
    for f, target in zip(found, told.target, strict=True):
        applies, unknown = (f[name].bytes_list.value for name in (features.LABEL, features.UNKNOWN))
        assert target.tolist() == [-1 if n.encode() in unknown else int(n.encode() in applies) for n in NAMES]
    assert told.weight.tolist() == weights(found)


def test_each_known_pixel_of_a_mask_counts_as_often_as_its_image(masked: Prepared) -> None:
    parts, (pixels, found) = build("segmentation"), read(masked, "eval")
    told = answers._masks(answers._Network(parts), masked.batches(), seed=1)
    np.testing.assert_allclose(told.features, pooled(parts, pixels), rtol=1e-4, atol=1e-5)
    logits = np.asarray(parts.model(pixels, training=False))
    masks = [decode_mask(tf.constant(f[features.MASK].bytes_list.value[0]), (8, 8)).numpy() for f in found]
    known = np.stack(masks) != features.IGNORED_ID
    np.testing.assert_allclose(told.logits, logits[known], rtol=1e-3, atol=1e-5)
    assert told.target.argmax(axis=1).tolist() == np.stack(masks)[known].tolist()
    assert set(told.target.sum(axis=1)) == {1}
    assert told.weight.tolist() == np.repeat(weights(found), known.sum(axis=(1, 2))).tolist()


def test_equally_many_pixels_are_drawn_from_each_image(masked: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, (_, found) = answers._Network(build("segmentation")), read(masked, "eval")
    every = {tuple(row) for row in answers._masks(parts, masked.batches(), seed=1).logits.tolist()}
    monkeypatch.setattr(answers, "_PIXELS", 7 * 10 + 3)
    a, b, c = (answers._masks(parts, masked.batches(), seed=seed) for seed in (1, 1, 2))
    assert a.weight.tolist() == np.repeat(weights(found), 10).tolist()
    assert {tuple(row) for row in a.logits.tolist()} < every
    assert len(np.unique(a.logits, axis=0)) == 70  # none twice
    np.testing.assert_array_equal(a.logits, b.logits)
    assert not np.array_equal(a.logits, c.logits)


def test_familiarity_compares_with_the_features_of_the_train_split(
    labelled: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, (pixels, _) = build("multi_label"), read(labelled, "train")
    rows = familiarity.normalised(pooled(parts, pixels))
    for most, expected in ((2000, rows), (5, rows[::3])):  # of 13, every third: five
        monkeypatch.setattr(familiarity, "REFERENCES", most)
        found = answers.fit(parts, labelled.batches(), MULTI, SETTINGS, seed=1)
        np.testing.assert_allclose(found.reference.features, expected, rtol=1e-4, atol=1e-5)
