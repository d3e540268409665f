"""Whole networks for arrays: what is invalid has no influence, and time is learnt where there is nothing else."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from components.base.errors import ConfigError
from components.data.manifest import ArrayFacts
from components.labels import kinds
from components.labels.learning import pixels as pixel_head
from components.model.networks import augmentation
from components.model.networks.bands import parts

T, H, W = 5, 6, 7
FACTS = ArrayFacts(
    bands=("a", "b"), frames=T, dtype="float32", height=H, width=W, mean=(0.3, 0.0), deviation=(0.5, 1.0)
)


def facts(backbone: str) -> ArrayFacts:
    return FACTS.model_copy(update={"frames": None}) if backbone == "small" else FACTS


def built(backbone: str, task: str, augment: bool = False) -> Any:
    keras.utils.set_random_seed(1)
    return parts.build(facts(backbone), backbone, classes=3, augment=augment, kind=kinds.kind(task))


def examples(backbone: str, share: float = 0.5, count: int = 3) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(0)
    time = () if backbone == "small" else (T,)
    valid = random.random((count, *time, H, W)) < share
    given = {"pixels": random.normal(size=(*valid.shape, 2)).astype(np.float32), "valid": valid}
    return given if backbone == "small" else {**given, "days": np.tile(np.arange(T, dtype=np.float32) * 9, (count, 1))}


@pytest.mark.parametrize("garbage", [1e6, np.nan, -np.inf, "noise"])
@pytest.mark.parametrize("task", ["segmentation", "single_label"])
@pytest.mark.parametrize("backbone", ["small", "temporal_attention", "convlstm"])
def test_invalid_pixels_and_padding_change_no_logit_and_no_gradient_by_a_bit(
    backbone: str, task: str, garbage: float | str
) -> None:
    given = examples(backbone)
    given["valid"][0, ..., :3, :] = False  # a part that is never seen
    if backbone != "small":
        given["valid"][1, 3:] = False  # two moments that are missing
    random = np.random.default_rng(5)
    filler = random.normal(size=given["pixels"].shape) if garbage == "noise" else garbage
    other = np.where(given["valid"][..., None], given["pixels"], filler).astype(np.float32)
    results = []
    for pixels in (given["pixels"], other):
        model = built(backbone, task).model
        inputs = {**{name: tf.constant(rows) for name, rows in given.items()}, "pixels": tf.constant(pixels)}
        with tf.GradientTape() as tape:
            tape.watch(inputs["pixels"])
            logits = model(inputs, training=True)
            loss = tf.reduce_sum(tf.sin(logits))
        gradients = tape.gradient(loss, [inputs["pixels"], *(v.value for v in model.trainable_variables)])
        results.append([one.numpy() for one in (logits, *gradients) if one is not None])
        results[-1] += [variable.numpy() for variable in model.non_trainable_variables]
    assert np.isfinite(results[0][0]).all()
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("backbone", ["temporal_attention", "convlstm"])
def test_moments_that_follow_the_last_make_no_difference(backbone: str) -> None:
    """A sequence of three moments is that of five of which two are missing."""
    given = examples(backbone, share=0.8)
    given["valid"][:, 3:] = False
    model = built(backbone, "segmentation").model
    given = {name: tf.constant(rows) for name, rows in given.items()}
    whole = model(given, training=False).numpy()
    shorter = FACTS.model_copy(update={"frames": 3})
    keras.utils.set_random_seed(1)
    other = parts.build(shorter, backbone, classes=3, augment=False, kind=kinds.kind("segmentation")).model
    other.set_weights(model.get_weights())
    found = other({name: rows[:, :3] for name, rows in given.items()}, training=False).numpy()
    np.testing.assert_allclose(found, whole, atol=1e-5)


@pytest.mark.parametrize("backbone", ["temporal_attention", "convlstm"])
def test_labels_that_differ_in_time_alone_are_learnt(backbone: str) -> None:
    """Each pixel is bright at one of the first three moments, which is its label."""
    random = np.random.default_rng(3)
    ids = random.integers(0, 3, (24, 1, 1)).repeat(H, 1).repeat(W, 2).astype(np.uint8)
    bright = (np.arange(T)[None, :, None, None] == ids[:, None]).astype(np.float32)
    given = examples(backbone, share=0.9, count=24)
    given["pixels"] = np.stack([bright, random.normal(size=bright.shape)], axis=-1).astype(np.float32)
    model = built(backbone, "segmentation").model
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss=pixel_head.loss(), jit_compile=False)
    model.fit(given, ids, batch_size=8, epochs=12, verbose=0)
    seen = given["valid"][:, :3].all(axis=1)
    found = model.predict(given, verbose=0).argmax(axis=-1)
    assert (found == ids)[seen].mean() > 0.9


def test_a_band_that_was_constant_has_no_influence() -> None:
    keras.utils.set_random_seed(1)
    told = FACTS.model_copy(update={"deviation": (0.5, 0.0)})
    model = parts.build(told, "convlstm", classes=3, augment=False, kind=kinds.kind("segmentation")).model
    given = {name: tf.constant(rows) for name, rows in examples("convlstm").items()}
    other = given["pixels"] + tf.constant([0.0, 100.0])
    np.testing.assert_array_equal(model(given), model({**given, "pixels": other}))


def test_a_backbone_for_other_arrays_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'convlstm' takes sequences alone, and there is no data\.frames"):
        parts.build(facts("small"), "convlstm", classes=3, augment=False, kind=kinds.kind("segmentation"))
    assert built("small", "multi_label").model.output_shape == (None, 3)
    stands_for = parts.build(FACTS, "small", classes=3, augment=False, kind=kinds.kind("segmentation"))
    assert stands_for.model.count_params() == built("temporal_attention", "segmentation").model.count_params()


def test_arrays_and_masks_are_mirrored_alike_and_moments_are_dropped() -> None:
    given = {name: tf.constant(rows) for name, rows in examples("convlstm", share=1.0, count=64).items()}
    masks = tf.constant(np.random.default_rng(0).integers(0, 3, (64, H, W)), tf.uint8)
    found, changed = augmentation.arrays(given, masks, tf.constant([1, 2]), masks=True)
    drawn = set()
    for i in range(64):
        matches = [
            (rows, columns)
            for rows in (1, -1)
            for columns in (1, -1)
            if np.array_equal(changed[i], masks[i].numpy()[::rows, ::columns])
            and np.array_equal(found["pixels"][i], given["pixels"][i].numpy()[:, ::rows, ::columns])
        ]
        assert len(matches) == 1
        drawn.add(matches[0])
    assert len(drawn) == 4
    dropped = ~found["valid"].numpy()
    assert (dropped.all(axis=(2, 3)) == dropped.any(axis=(2, 3))).all()
    assert 0.05 < dropped.mean() < 0.16
    again, _ = augmentation.arrays(given, masks, tf.constant([1, 2]), masks=True)
    np.testing.assert_array_equal(again["pixels"], found["pixels"])
    labels = tf.eye(64)
    assert augmentation.arrays(given, labels, tf.constant([1, 2]), masks=False)[1] is labels


@pytest.mark.parametrize("backbone", ["small", "temporal_attention", "convlstm"])
def test_loss_and_metrics_are_those_of_numpy_with_missing_moments_and_unlabelled_pixels(backbone: str) -> None:
    """Cross-entropy in float64 over the labelled pixels, weighted; their one-hot rows are all 0 elsewhere."""
    random, given = np.random.default_rng(4), examples(backbone)
    if backbone != "small":
        given["valid"][1, 2:] = False
    ids = random.integers(0, 3, (3, H, W)).astype(np.uint8)
    ids[random.random(ids.shape) < 0.4] = 255
    weights = [1.0, 2.0, 0.5]
    logits = built(backbone, "segmentation").model({n: tf.constant(rows) for n, rows in given.items()}, training=False)
    known = ids != 255
    one_hot = np.where(known[..., None], np.eye(3)[np.where(known, ids, 0)], 0.0)
    x = logits.numpy().astype(np.float64)
    logarithms = x - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True)) - x.max(-1, keepdims=True)
    expected = -(one_hot * weights * logarithms).sum() / (one_hot * weights).sum()
    assert float(pixel_head.loss(weights=weights)(tf.constant(ids), logits)) == pytest.approx(expected)
    accuracy, iou = pixel_head.metrics(3)
    for metric in (accuracy, iou):
        metric.update_state(tf.constant(ids), logits)
    found = x.argmax(-1)
    assert float(accuracy.result()) == pytest.approx((found == ids)[known].mean())
    shares = [((found == k) & (ids == k)).sum() / ((found == k) & known | (ids == k)).sum() for k in range(3)]
    assert float(iou.result()) == pytest.approx(np.mean(shares))


@pytest.mark.parametrize("backbone", ["small", "temporal_attention", "convlstm"])
def test_a_batch_without_any_label_teaches_nothing(backbone: str) -> None:
    given = {name: tf.constant(rows) for name, rows in examples(backbone).items()}
    model = built(backbone, "segmentation").model
    with tf.GradientTape() as tape:
        loss = pixel_head.loss()(tf.fill((3, H, W), np.uint8(255)), model(given, training=True))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    assert float(loss) == 0
    assert all(not np.any(one.numpy()) for one in gradients if one is not None)
