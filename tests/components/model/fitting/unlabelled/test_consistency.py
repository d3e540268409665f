"""Steps of training by agreement: loss and gradient against NumPy, and what they must leave as it is."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from components.labels import kinds
from components.labels.learning.heads import head_of
from components.labels.learning.measures import TemperedLoss
from components.model.fitting.accumulation import InParts
from components.model.fitting.callbacks import Stopping
from components.model.fitting.phases import Phases
from components.model.fitting.unlabelled import consistency, strong
from components.model.fitting.unlabelled.consistency import Consistent
from components.model.networks import network

Floats = NDArray[np.float64]
RNG = np.random.default_rng(4)
N, K = 6, 3
IMAGES = RNG.integers(0, 3, (N, 2, 2, 3)).astype(np.uint8)
KERNEL = RNG.normal(size=(3, K)).astype(np.float32) * 1.5
WEIGHT = np.array([1, 2, 0, 1, 0.5, 3], np.float32)
SHARES = [0.5, 0.3, 0.2]
LABEL_WEIGHTS = [1.0, 0.5, 2.0]
KNOWN = {"labelled": [True] * N, "unlabelled": [False] * N, "mixed": [True, False, False, True, False, False]}
FULL: dict[str, Any] = {
    "single_label": np.eye(K, dtype=np.float32)[[0, 1, 2, 0, 1, 2]],
    "multi_label": np.float32([[1, 0, -1], [0, 0, 1], [1, 1, 1], [0, -1, 0], [0, 1, 1], [1, 0, 0]]),
    "segmentation": RNG.choice([0, 1, 2, 255], (N, 2, 2)).astype(np.uint8),
}


def targets(task: str, known: list[bool]) -> Any:
    found = FULL[task].copy()
    found[~np.array(known)] = 255 if task == "segmentation" else -1
    return found


def linear(task: str) -> tuple[Any, Any]:
    """A network whose logits are the sum of an image's pixels times KERNEL, or for masks each pixel times KERNEL."""
    images = keras.Input((2, 2, 3), dtype="uint8")
    x = keras.ops.cast(images, "float32")
    x = x if task == "segmentation" else keras.ops.sum(x, axis=(1, 2))
    layer = keras.layers.Dense(K, use_bias=False)
    logits = layer(x)
    layer.set_weights([KERNEL])
    return images, logits


def consistent(task: str, part: int | None = None, steps: int = 20) -> Consistent:
    """The model that learns from unlabelled images as they are, so that NumPy can do the same."""
    model = Consistent(*linear(task), kind=kinds.kind(task), shares=SHARES, steps=steps, seed=1, part=part)
    model._strong = lambda images, training: tf.cast(images, tf.float32)
    return model


def compiled(model: keras.Model, task: str) -> keras.Model:
    head = head_of(kinds.kind(task))
    loss = head.loss(weights=LABEL_WEIGHTS)
    model.compile(
        optimizer=keras.optimizers.SGD(1.0),
        loss=loss,
        metrics=[*head.metrics(K), TemperedLoss(loss)],
        run_eagerly=True,
    )
    return model


def weighted_gradient(task: str, x: Floats, z: Floats, target: Floats, weight: Floats) -> tuple[float, Floats, float]:
    """Sum of weighted losses, its gradient by the kernel, and sum of weights; the weight 0 is an unknown entry's.

    Of single labels and pixels, `target` is one-hot and `weight` [entries]; else both are [entries, K].
    """
    own = np.array(LABEL_WEIGHTS)
    if task == "multi_label":
        p = 1 / (1 + np.exp(-z))
        entry = weight * np.where(target == 1, own, 1.0)
        loss = -(target * np.log(p) + (1 - target) * np.log(1 - p))
        return (entry * loss).sum(), x.T @ (entry * (p - target)), entry.sum()
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    entry = weight * (target @ own)
    return (entry * -np.log((p * target).sum(axis=1))).sum(), x.T @ (entry[:, None] * (p - target)), entry.sum()


def by_numpy(task: str, target: Any, known: list[bool], means: Floats) -> tuple[float, Floats]:
    """The loss of a batch and the kernel after a step of length 1, in float64; thresholds are 0.8 for all states."""
    pixels = IMAGES.astype(np.float64)
    x = pixels.reshape(-1, 3) if task == "segmentation" else pixels.sum(axis=(1, 2))
    times = 4 if task == "segmentation" else 1
    weight, unlabelled = np.repeat(WEIGHT, times).astype(np.float64), np.repeat(~np.array(known), times)
    z = x @ KERNEL.astype(np.float64)
    shares = np.array(SHARES)
    if task == "multi_label":
        truth, given = target.astype(np.float64), target >= 0
        p = 1 / (1 + np.exp(-z))
        yes, no = p * shares / means[:, 1], (1 - p) * (1 - shares) / means[:, 0]
        p = yes / (yes + no)
        answer, largest = (p > 0.5).astype(np.float64), np.maximum(p, 1 - p)
        weight, unlabelled = weight[:, None], unlabelled[:, None]
    else:
        ids = target.reshape(-1).astype(int) if task == "segmentation" else target.argmax(axis=1)
        given = ids != 255 if task == "segmentation" else target.max(axis=1) > 0
        truth = np.eye(K)[np.where(given, ids, 0)]
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) * shares / means
        p /= p.sum(axis=1, keepdims=True)
        answer, largest = np.eye(K)[p.argmax(axis=1)], p.max(axis=1)
    loss, gradient, total = weighted_gradient(task, x, z, truth, weight * given)
    sure_loss, sure_gradient, _ = weighted_gradient(task, x, z, answer, weight * unlabelled * (largest >= 0.8))
    *_, whole = weighted_gradient(task, x, z, answer, weight * unlabelled)
    if not all(known):
        assert 0 < (largest >= 0.8).mean() < 1  # otherwise, there is nothing to test
    parts = [(loss, gradient, total), (sure_loss, sure_gradient, whole)]
    step = sum(g / t for _, g, t in parts if t)
    return sum(one / t for one, _, t in parts if t), KERNEL - step


@pytest.mark.parametrize("part", [None, 4])
@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("task", FULL)
def test_loss_and_step_are_those_of_numpy(
    task: str, known: str, part: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consistency, "THRESHOLD", 0.8)
    model = compiled(consistent(task, part), task)
    shares = np.asarray(model._shares)
    model._learnt.assign(shares)  # as much as there can be, so that all thresholds are the highest
    means = np.roll(shares, 1, axis=-1)
    model._means.assign(means)
    target = targets(task, KNOWN[known])
    data = tf.data.Dataset.from_tensors((IMAGES, target, WEIGHT))
    found = model.fit(data, verbose=0).history["loss"][0]
    loss, kernel = by_numpy(task, target, KNOWN[known], means.astype(np.float64))
    assert found == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(model.layers[-1].get_weights()[0], kernel, rtol=1e-4, atol=1e-5)


def test_averages_follow_the_answers_of_unlabelled_images() -> None:
    """An average over ten steps keeps 0.9. The logits of the second image, which counts alone, are 9 and twice 0."""
    images = keras.Input((2, 2, 3), dtype="uint8")
    logits = keras.layers.Dense(K, use_bias=False)(keras.ops.sum(keras.ops.cast(images, "float32"), axis=(1, 2)))
    model = Consistent(images, logits, kind=kinds.kind("single_label"), shares=[0.5, 0.25, 0.25], steps=10, seed=1)
    model._strong = lambda images, training: tf.cast(images, tf.float32)
    model.layers[-1].set_weights([np.float32([[9, 0, 0], [0, 0, 0], [0, 0, 0]])])
    pixels = np.zeros((2, 2, 2, 3), np.uint8)
    pixels[1, 0, 0, 0] = 1
    compiled(model, "single_label").train_on_batch(pixels, np.float32([[0, 1, 0], [-1, -1, -1]]), np.ones(2, "f"))
    answer = np.exp([9.0, 0, 0]) / np.exp([9.0, 0, 0]).sum()
    np.testing.assert_allclose(model._means, 0.9 * np.array([0.5, 0.25, 0.25]) + 0.1 * answer, rtol=1e-5)
    np.testing.assert_allclose(model._learnt, [0.1, 0, 0], rtol=1e-5)  # its probability of 0.9998 is sure


def test_labelled_images_alone_change_no_average_and_train_as_without() -> None:
    data = tf.data.Dataset.from_tensors((IMAGES, FULL["single_label"], WEIGHT))
    plain = compiled(InParts(*linear("single_label"), part=None), "single_label")
    model = compiled(consistent("single_label"), "single_label")
    expected, found = plain.fit(data, verbose=0).history, model.fit(data, verbose=0).history
    assert {name: found[name][0] for name in found} == pytest.approx({name: one[0] for name, one in expected.items()})
    np.testing.assert_allclose(model.layers[-1].get_weights()[0], plain.layers[-1].get_weights()[0], rtol=1e-5)
    np.testing.assert_array_equal(model._learnt, np.zeros(K))
    np.testing.assert_array_equal(model._means, np.float32(SHARES))


@pytest.mark.parametrize("task", FULL)
def test_evaluation_is_that_of_the_network(task: str) -> None:
    data = tf.data.Dataset.from_tensors((IMAGES, targets(task, KNOWN["mixed"]), WEIGHT))
    images, logits = linear(task)
    plain = keras.Model(images, logits)
    model = Consistent(images, logits, kind=kinds.kind(task), shares=SHARES, steps=10, seed=1)
    expected = compiled(plain, task).evaluate(data, verbose=0, return_dict=True)
    assert compiled(model, task).evaluate(data, verbose=0, return_dict=True) == pytest.approx(expected)
    assert len(plain.variables) == 1
    assert model.count_params() - plain.count_params() == 2 * np.size(model._shares)


def normalised(*, frozen: bool) -> network.Parts:
    """A network with batch statistics; `frozen` as in a pretrained one."""
    keras.utils.set_random_seed(5)
    images = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(keras.layers.Rescaling(1 / 255)(images))
    backbone = keras.Model(images, keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.5)(x)))
    return network.build(
        backbone,
        weights="module" if frozen else None,
        image_size=(8, 8),
        classes=K,
        augment=True,
        seed=1,
        kind=kinds.kind("single_label"),
    )


def wrapped(parts: network.Parts) -> Consistent:
    kind = kinds.kind("single_label")
    return Consistent(parts.model.input, parts.model.output, kind=kind, shares=SHARES, steps=2, seed=1)


def photos() -> tf.data.Dataset:
    images = np.random.default_rng(6).integers(0, 256, (12, 8, 8, 3)).astype(np.uint8)
    target = np.repeat(targets("single_label", KNOWN["mixed"]), 2, axis=0)
    return tf.data.Dataset.from_tensor_slices((images, target, np.ones(12, np.float32))).batch(6)


@pytest.mark.parametrize("frozen", [True, False])
def test_phases_train_it_with_frozen_and_with_learnt_statistics(
    frozen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after its first epoch, a training goes on with the same averages and the same random numbers."""
    monkeypatch.setattr(strong, "RandAugment", strong.colours)  # whose graph is made much faster
    results = []
    for stops in ([2], [1, 2]) if frozen else ([2],):  # the statistics are weights like others
        for epochs in stops:
            parts = normalised(frozen=frozen)
            statistics = [v for v in parts.model.non_trainable_variables if "moving" in v.name]
            before = [v.numpy() for v in statistics]
            model = wrapped(parts)
            head = head_of(kinds.kind("single_label"))
            phases = Phases(
                "",
                "",
                learning_rate=0.01,
                loss=head.loss,
                metrics=list,
                strategy=tf.distribute.get_strategy(),
                jit=False,
                average=frozen,
            )
            metrics = [*head.metrics(K), TemperedLoss(head.loss())]
            model.compile(optimizer=phases.optimizer(2, 2), loss=head.loss(), metrics=metrics, jit_compile=False)
            folder = tmp_path / str(len(stops))
            folder.mkdir(exist_ok=True)
            stopping = Stopping(str(folder))
            stopping.set_model(model)
            model.fit(
                photos(),
                validation_data=photos(),
                initial_epoch=len(stopping.history),
                epochs=epochs,
                callbacks=[stopping],
                verbose=0,
            )
            assert all(np.array_equal(v, old) for v, old in zip(statistics, before, strict=True)) == frozen
        results.append([v.numpy() for v in model.variables])
    for whole, resumed in zip(results[0], results[-1], strict=True):
        np.testing.assert_allclose(resumed, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("augment", [True, False])
def test_answers_are_to_weakly_changed_images(augment: bool) -> None:
    parts = network.build(
        "small",
        weights=None,
        image_size=(16, 16),
        classes=K,
        augment=augment,
        seed=1,
        kind=kinds.kind("single_label"),
    )
    image = np.random.default_rng(6).integers(0, 256, (1, 16, 16, 3)).astype(np.uint8)
    model = wrapped(parts)
    assert np.array_equal(model._answers(image), model._answers(image)) != augment
