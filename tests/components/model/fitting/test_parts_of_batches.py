"""A step that goes through a batch in parts does what a step on the whole batch does."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.base.errors import ImagegateError
from components.labels import kinds
from components.labels.learning.heads import head_of
from components.model.fitting import memory
from components.model.fitting.accumulation import InParts
from components.model.networks import network, pyramid

IMAGES = np.random.default_rng(1).normal(size=(7, 4, 4, 1)).astype(np.float32)
WEIGHT = np.array([1, 2, 0, 1, 0.5, 3, 1], np.float32)
TARGETS: dict[str, Any] = {
    "single_label": np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2, 0]],
    # -1 is unknown, so the parts have different numbers of entries
    "multi_label": np.array([[1, 0, -1], [0, -1, -1], [1, 1, 1], [0, 0, 1], [-1, -1, -1], [1, 0, 0], [0, 1, 0]], "f"),
    "segmentation": np.random.default_rng(2).choice([0, 1, 2, 255], (7, 4, 4)).astype(np.uint8),
}


def trained(task: str, part: int | None) -> tuple[dict[str, float], list[np.ndarray]]:
    """One epoch of a batch of 5 and one of 2 with plain gradient descent: metrics and weights afterwards."""
    keras.utils.set_random_seed(3)
    images = keras.Input((4, 4, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(images)
    x = x if task == "segmentation" else keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(3)(x)
    model = keras.Model(images, logits) if part is None else InParts(images, logits, part=part)
    head = head_of(kinds.kind(task))
    loss = head.loss("cross_entropy", weights=[1.0, 0.5, 2.0])
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss=loss, metrics=head.metrics(3))
    data = tf.data.Dataset.from_tensor_slices((IMAGES, TARGETS[task], WEIGHT)).batch(5)
    history = model.fit(data, verbose=0).history
    return {name: values[0] for name, values in history.items()}, model.get_weights()


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("part", [1, 2, 3, 8])
def test_weights_and_metrics_are_those_of_whole_batches(task: str, part: int) -> None:
    expected, weights = trained(task, None)
    metrics, found = trained(task, part)
    assert metrics == pytest.approx(expected, rel=1e-5)
    for one, other in zip(found, weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def dense(units: int) -> keras.Model:
    return keras.Sequential([keras.Input((units,)), keras.layers.Dense(1, use_bias=False)])


MIB = 1 << 20
FIXED = 400 * MIB + 7 * MIB  # the graphs, and 7 copies of one MiB of weights


@pytest.mark.parametrize(
    ("image", "available", "statistics", "part"),
    [
        (1, 10_000, False, 32),
        (100, 10_000, False, 4),  # 32, 16 and 8 images have more than 768 MiB
        (100, 10_000, True, 32),  # 3,200 MiB fit
        (100, 407 + 900, True, 8),  # 800 of the 900 MiB that are left
        (100, 407 + 150, False, 1),
        (2000, 10_000, False, 1),  # more than a part should have, but there is the memory
    ],
)
def test_a_batch_is_halved_until_a_part_fits(image: int, available: int, statistics: bool, part: int) -> None:
    model = dense(MIB // 4)
    plan = memory.plan(model, image * MIB // 4, batch=32, cached=0, statistics=statistics, available=available * MIB)
    assert plan == memory.Plan(32, part, FIXED + part * image * MIB)


def test_what_does_not_fit_is_refused_before_it_is_tried() -> None:
    with pytest.raises(ImagegateError, match=r"needs about 0\.5 GiB of memory even with one image at a time, and 0\.5"):
        memory.plan(dense(MIB // 4), 100 * MIB // 4, batch=32, cached=0, statistics=False, available=500 * MIB)


def test_activations_are_the_numbers_in_all_maps() -> None:
    """Two convolutions with 2 and 5 channels, the second at half the size: 8 * 6 * 2 + 4 * 3 * 5."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(2, 3, padding="same")(images)
    x = keras.layers.Conv2D(5, 3, padding="same", strides=2)(x)
    assert pyramid.activations(keras.Model(images, x), (8, 6)) == 8 * 6 * 2 + 4 * 3 * 5


@pytest.mark.parametrize("task", ["single_label", "segmentation"])
def test_a_network_tells_its_activations(task: str) -> None:
    parts = network.build(
        "small", weights=None, image_size=(32, 32), classes=2, augment=False, seed=1, kind=kinds.kind(task)
    )
    assert parts.activations > 32 * 32 * 32 * 6  # two convolutions, each followed by two layers, at the full size
