"""Steps of training by reconstruction: loss and gradient against NumPy, and what they must leave as it is."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.labels import kinds
from components.labels.learning.heads import head_of
from components.model.fitting.unlabelled import autoencoder
from components.model.fitting.unlabelled.autoencoder import Reconstructing
from components.model.networks import network

N, K, CODE = 6, 3, 4
RNG = np.random.default_rng(4)
IMAGES = RNG.integers(0, 256, (N, 2, 2, 3)).astype(np.uint8)
FULL = np.eye(K, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
WEIGHT = np.array([1, 2, 0, 1, 0.5, 3], np.float32)
KNOWN = {"labelled": [True] * N, "unlabelled": [False] * N, "mixed": [True, False, False, True, False, False]}
ENCODER, HEAD, DECODER = (RNG.normal(size=shape) for shape in ((12, CODE), (CODE, K), (CODE, 12)))


def linear(part: int | None) -> tuple[Reconstructing, list[keras.layers.Layer]]:
    """A linear encoder of the twelve numbers of an image, with a linear head and a linear decoder."""
    layers = [keras.layers.Dense(units, use_bias=False) for units in (CODE, K, 12)]
    images = keras.Input((2, 2, 3), dtype="uint8")
    original = keras.ops.cast(images, "float32") / 255
    code = layers[0](keras.layers.Flatten()(original))
    logits = layers[1](code)
    both = keras.Model(images, [logits, keras.layers.Reshape((2, 2, 3))(layers[2](code)), original])
    for layer, kernel in zip(layers, (ENCODER, HEAD, DECODER), strict=True):
        layer.set_weights([kernel.astype(np.float32)])
    return Reconstructing(images, logits, both=both, part=part), layers


@pytest.mark.parametrize("part", [None, 4])
@pytest.mark.parametrize("known", KNOWN)
def test_loss_and_step_are_those_of_numpy(known: str, part: int | None) -> None:
    target = np.where(np.array(KNOWN[known])[:, None], FULL, -1).astype(np.float32)
    model, layers = linear(part)
    loss = head_of(kinds.kind("single_label")).loss()
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss=loss, run_eagerly=True)
    found = model.fit(tf.data.Dataset.from_tensors((IMAGES, target, WEIGHT)), verbose=0).history["loss"][0]

    x = IMAGES.reshape(N, 12) / 255
    code = x @ ENCODER
    p = np.exp(code @ HEAD) / np.exp(code @ HEAD).sum(axis=1, keepdims=True)
    given = WEIGHT * KNOWN[known]
    share, every = given[:, None] / (given.sum() or 1), WEIGHT[:, None] / WEIGHT.sum()
    error = code @ DECODER - x
    expected = (share * -FULL * np.log(p)).sum() + (every * error**2).mean(axis=1).sum()
    by_logits, by_pixels = share * (p - FULL), every * 2 * error / 12
    by_code = by_logits @ HEAD.T + by_pixels @ DECODER.T
    kernels = (ENCODER - x.T @ by_code, HEAD - code.T @ by_logits, DECODER - code.T @ by_pixels)

    assert found == pytest.approx(expected, rel=1e-5)
    for layer, kernel in zip(layers, kernels, strict=True):
        np.testing.assert_allclose(layer.get_weights()[0], kernel, rtol=1e-4, atol=1e-5)


def parts_of(task: str, *, pooled: bool = False, strides: tuple[int, ...] = (2, 2)) -> network.Parts:
    """A small network: maps of 4 x 4 from images of 16 x 16, or features that it pools itself."""
    images = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    for stride in strides:
        x = keras.layers.Conv2D(4, 3, strides=stride, padding="same", activation="relu")(x)
    x = keras.layers.GlobalMaxPooling2D()(x) if pooled else x
    return network.build(
        keras.Model(images, x),
        weights=None,
        image_size=(16, 16),
        classes=K,
        augment=True,
        seed=1,
        kind=kinds.kind(task),
    )


@pytest.mark.parametrize(
    ("task", "pooled", "strides", "size"),
    [
        ("single_label", False, (2, 2), 16),  # 4 * 2 * 2; a third doubling would be larger than the image
        ("single_label", True, (2, 2), 8),  # 1 * 2 * 2 * 2
        ("multi_label", False, (2, 2), 16),
        ("segmentation", False, (2, 2), 16),
        ("segmentation", False, (4,), 16),  # one map instead of a list
    ],
)
def test_a_decoder_is_added_and_trained_but_no_part_of_the_network(
    task: str, pooled: bool, strides: tuple[int, ...], size: int
) -> None:
    keras.utils.set_random_seed(1)
    parts = parts_of(task, pooled=pooled, strides=strides)
    own, evaluated = len(parts.model.variables), parts.model(IMAGES_16, training=False)
    model = autoencoder.build(parts)
    logits, reconstruction, original = model._both(IMAGES_16, training=False)
    assert reconstruction.shape == original.shape == (N, size, size, 3)
    assert 0 <= np.min(original) <= np.max(original) <= 1
    np.testing.assert_allclose(logits, evaluated, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model(IMAGES_16, training=False), evaluated)
    assert len(parts.model.variables) == own

    decoder = model._both.get_layer("decoder")
    shape = (N, 16, 16) if task == "segmentation" else (N, K)
    unknown = np.full(shape, 255, np.uint8) if task == "segmentation" else np.full(shape, -1, np.float32)
    head = head_of(kinds.kind(task))
    before = [variable.numpy() for variable in (*decoder.trainable_variables, *parts.extractor.trainable_variables)]
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=head.loss(), metrics=head.metrics(K), run_eagerly=True)
    model.train_on_batch(IMAGES_16, unknown, WEIGHT)
    after = (*decoder.trainable_variables, *parts.extractor.trainable_variables)
    assert not any(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


IMAGES_16 = RNG.integers(0, 256, (N, 16, 16, 3)).astype(np.uint8)


def test_the_encoder_reconstructs_what_it_sees() -> None:
    """After the model's own augmentation, the original is another image each time; without training, the given one."""
    model = autoencoder.build(parts_of("single_label"))
    first, second = (np.asarray(model._both(IMAGES_16, training=True)[2]) for _ in range(2))
    assert np.abs(first - second).max() > 0.1
    np.testing.assert_allclose(model._both(IMAGES_16, training=False)[2], IMAGES_16 / 255, atol=1e-6)
