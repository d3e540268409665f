"""What a training on each kind of labels has of its own: its loss, what it leaves out, and what it learns first."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from prepared import UNCALIBRATED, Prepared, exported, history, learn, prepare

from components.data import features
from components.data.dataset import Dataset, Record
from components.data.mask_rules import rule
from components.labels import kinds
from components.labels.learning.pixels import decode_mask
from components.model.fitting import training
from components.model.networks import network

LABELS = ["dark", "light"]


def last_loss(folder: Path) -> float:
    """The best epoch's on the eval split, whose weights are exported."""
    return min(epoch["val_loss"] for epoch in history(folder)["all"])


def test_one_sigmoid_unit_decides_between_two_names(dark_and_light: Prepared, tmp_path: Path) -> None:
    training.run_fn(
        dark_and_light.arguments(
            tmp_path, positive="dark", epochs=30, learning_rate=1e-2, batch_size=8, decisions=UNCALIBRATED
        )
    )
    # A single unit, not two of which one is thrown away.
    shapes = [value.shape for value in exported(tmp_path).values()]
    assert sorted(shape for shape in shapes if shape[-1:] in ((1,), (2,))) == [(1,), (32, 1)]
    records = dark_and_light.records("eval")
    answer = tf.saved_model.load(str(tmp_path / "serving")).signatures["examples"](examples=tf.constant(records))
    z = answer["logits"].numpy()[:, 0].astype(np.float64)
    np.testing.assert_array_equal(answer["logits"].numpy()[:, 1], 0)
    np.testing.assert_allclose(
        answer["probabilities"], np.stack([1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))], 1), rtol=1e-5
    )
    assert answer["labels"].numpy()[0].tolist() == [b"dark", b"light"]
    found = [tf.train.Example.FromString(r).features.feature[features.LABEL].bytes_list.value[0] for r in records]
    is_dark = np.array(found) == b"dark"
    np.testing.assert_array_equal(z > 0, is_dark)
    # Binary cross-entropy with the weights 3/4 for dark and 3/2 for light.
    entropy = np.log1p(np.exp(np.where(is_dark, -z, z)))
    assert np.average(entropy, weights=np.where(is_dark, 3 / 4, 3 / 2)) == pytest.approx(
        last_loss(tmp_path), rel=1e-3, abs=1e-6
    )


def test_the_configured_focal_loss_is_used(dark_and_light: Prepared, tmp_path: Path) -> None:
    told = {"label_weights": "none", "batch_size": 8, "decisions": UNCALIBRATED}
    training.run_fn(dark_and_light.arguments(tmp_path, loss="focal", **told))
    records = dark_and_light.records("eval")
    answer = tf.saved_model.load(str(tmp_path / "serving")).signatures["examples"](examples=tf.constant(records))
    found = [tf.train.Example.FromString(r).features.feature[features.LABEL].bytes_list.value[0] for r in records]
    p = answer["probabilities"].numpy().astype(np.float64)[range(8), [LABELS.index(name.decode()) for name in found]]
    assert last_loss(tmp_path) == pytest.approx(np.mean((1 - p) ** 2 * -np.log(p)), rel=1e-4)


@pytest.fixture(scope="module")
def multi(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Red, green and blue: what of them is bright; blue is unknown of every third, and the weights are 1, 2, 3."""
    base, names = tmp_path_factory.mktemp("multi"), ("red", "green", "blue")
    random, records = np.random.default_rng(0), []
    for split, count in (("train", 24), ("eval", 8), ("test", 2)):
        (base / split).mkdir()
        for i in range(count):
            bright = [bool(i & 1), bool(i & 2), bool(i & 4)]
            Image.fromarray((random.integers(0, 60, (8, 8, 3)) + 150 * np.array(bright)).astype(np.uint8)).save(
                base / split / f"{i}.png"
            )
            unknown = ("blue",) if i % 3 == 0 else ()
            applies = tuple(n for n, b in zip(names, bright, strict=True) if b and n not in unknown)
            told = {"unknown": unknown, "weight": 1.0 + i % 3}
            records.append(Record(f"{split}/{i}.png", applies, split, 1, "", **told))
    return prepare(base, "multi_label", Dataset(str(base), names, tuple(records), {}))


def test_several_labels_are_learnt_from_their_known_entries(multi: Prepared, tmp_path: Path) -> None:
    told = {"label_weights": {"red": 2.0, "blue": 0.5}, "decisions": UNCALIBRATED}
    training.run_fn(multi.arguments(tmp_path, epochs=30, learning_rate=1e-2, batch_size=8, **told))
    loaded = tf.saved_model.load(str(tmp_path / "serving"))
    answer = loaded.signatures["examples"](examples=tf.constant(multi.records("eval")))
    z = answer["logits"].numpy().astype(np.float64)
    total = weights = 0.0
    for logits, record in zip(z, multi.records("eval"), strict=True):
        feature = tf.train.Example.FromString(record).features.feature
        for i, name in enumerate([b"red", b"green", b"blue"]):
            if name in feature[features.UNKNOWN].bytes_list.value:
                continue
            applies = name in feature[features.LABEL].bytes_list.value
            assert (logits[i] > 0) == applies
            weight = feature[features.WEIGHT].float_list.value[0] * ([2.0, 1.0, 0.5][i] if applies else 1)
            total += weight * np.log1p(np.exp(-logits[i] if applies else logits[i]))
            weights += weight
    # 1, 2 and 3 take turns: of eight images 1+2+3+1+2+3+1+2 = 15, three times; without blue of images 0, 3, 6.
    # Applies: red of 1, 3, 5, 7 twice, blue of 4, 5, 7 half: + (2+1+3+2) - (2+3+2) / 2.
    assert weights == 15 * 3 - 3 + 8 - 3.5
    assert total / weights == pytest.approx(last_loss(tmp_path), rel=1e-3, abs=1e-6)
    told_of_it = history(tmp_path)["all"][-1]
    assert {"val_binary_accuracy", "val_cosine_similarity"} <= told_of_it.keys()


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A bright half on dark ground, in one of four places; a row between them is ignored."""
    base, records = tmp_path_factory.mktemp("masks"), []
    random, meaning = np.random.default_rng(0), rule(["ground", "thing"], ignore=7)
    for split, count in (("train", 16), ("eval", 4), ("test", 4)):
        (base / split).mkdir()
        for i in range(count):
            ids = np.zeros((8, 8), np.uint8)
            ids[:3], ids[3] = 1, 7
            ids = np.rot90(ids, i % 4)
            pixels = random.integers(0, 60, (8, 8, 3)) + 150 * (ids == 1)[..., np.newaxis]
            Image.fromarray(pixels.astype(np.uint8)).save(base / split / f"{i}.png")
            Image.fromarray(np.ascontiguousarray(ids)).save(base / split / f"{i}-mask.png")
            told = {"mask": f"{split}/{i}-mask.png", "weight": 1.0 + i}
            records.append(Record(f"{split}/{i}.png", (), split, 1, "", **told))
    return prepare(base, "segmentation", Dataset(str(base), meaning.labels, tuple(records), {}), meaning)


def test_masks_are_learnt_without_their_ignored_pixels(masks: Prepared, tmp_path: Path) -> None:
    training.run_fn(masks.arguments(tmp_path, epochs=30, learning_rate=1e-2, batch_size=4))
    loaded = tf.saved_model.load(str(tmp_path / "serving"))
    records = masks.records("eval")
    found = loaded.signatures["evaluate"](examples=tf.constant(records))["confusion"].numpy()
    # Of 8 x 8 pixels 3 x 8 are thing, 8 ignored, 32 ground.
    assert found.sum(axis=2).tolist() == [[32, 24]] * 4
    assert np.trace(found.sum(axis=0)) / found.sum() > 0.9
    kind = kinds.kind(masks.task)
    parts = network.build("small", weights=None, image_size=(8, 8), classes=2, augment=False, seed=1, kind=kind)
    saved = str(tmp_path / "serving" / "variables" / "variables")
    tf.train.Checkpoint(extractor=parts.extractor, head=parts.head).restore(saved).expect_partial()
    # Frequencies 32/56 and 24/56, median 28/56; and the images' weights 1 to 4.
    weights, total, divisor = [28 / 32, 28 / 24], 0.0, 0.0
    for record, confusion in zip(records, found, strict=True):
        feature = tf.train.Example.FromString(record).features.feature
        ids = decode_mask(tf.constant(feature[features.MASK].bytes_list.value[0]), (8, 8)).numpy()
        pixels = tf.io.decode_png(feature[features.IMAGE].bytes_list.value[0])[tf.newaxis]
        logits = parts.model(pixels, training=False).numpy()[0].astype(np.float64)
        said = logits.argmax(axis=-1)[ids == 1]
        np.testing.assert_array_equal(np.bincount(said, minlength=2), confusion[1])  # or it is another network
        entropy = np.log(np.exp(logits).sum(axis=-1)) - np.where(ids == 1, logits[..., 1], logits[..., 0])
        own = feature[features.WEIGHT].float_list.value[0] * np.where(ids == 1, weights[1], weights[0])
        total += (own * entropy)[ids != features.IGNORED_ID].sum()
        divisor += own[ids != features.IGNORED_ID].sum()
    assert divisor == pytest.approx((1 + 2 + 3 + 4) * 56)
    assert total / divisor == pytest.approx(last_loss(tmp_path), rel=1e-3, abs=1e-6)
    assert history(tmp_path)["all"][-1]["val_mean_iou"] > 0.8


def test_a_decoder_learns_first_while_the_backbone_stays_as_it_was(
    masks: Prepared, tmp_path: Path, backbone: str
) -> None:
    told = {"backbone": backbone, "augment": True}
    kernel = keras.saving.load_model(backbone).layers[2].kernel.numpy()
    head = learn(masks.arguments(tmp_path, freeze_epochs=2, epochs=0, **told))
    assert [len(head.history[phase]) for phase in ("head", "all")] == [2, 0]
    assert any(np.array_equal(value, kernel) for value in head.parts.extractor.get_weights())
    both = learn(masks.arguments(tmp_path, freeze_epochs=1, epochs=1, **told))
    assert not any(np.array_equal(value, kernel) for value in both.parts.extractor.get_weights())


def test_training_on_masks_with_the_same_seed_gives_the_same_weights(masks: Prepared, tmp_path: Path) -> None:
    a, b, c = (
        learn(masks.arguments(tmp_path / name, seed=seed, augment=True, epochs=2))
        for name, seed in (("a", 7), ("b", 7), ("c", 8))
    )
    assert a.history == b.history != c.history
    for one, other in zip(a.parts.model.get_weights(), b.parts.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
