"""Backbones for photos whose first convolution is widened to any number of bands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from components.base.errors import ConfigError
from components.data.manifest import ArrayFacts
from components.labels import kinds
from components.model.networks.bands import PIXELS, VALID, parts, pretrained

RANDOM = np.random.default_rng(0)
RGB = ("red", "green", "blue")
MEAN = (123.675, 116.28, 103.53)  # of ImageNet's pixels
DEVIATION = (58.395, 57.12, 57.375)


def facts(names: tuple[str, ...], side: int, mean: tuple[float, ...], deviation: tuple[float, ...]) -> ArrayFacts:
    return ArrayFacts(bands=names, dtype="float32", height=side, width=side, mean=mean, deviation=deviation)


def built(told: ArrayFacts, backbone: str, task: str = "single_label") -> keras.Model:
    return parts.build(told, backbone, None, classes=3, augment=False, kind=kinds.kind(task)).extractor


def test_kernels_of_bands_are_those_of_their_colours_or_the_mean() -> None:
    """One window of 1 x 1 and one filter, which weighs red, green and blue by 2, 3 and 7.

    The network does not change its pixels. Bands blue and nir: B = 2, so all are multiplied by 3 / 2.
    blue: 3 / 2 * 7 * 57.375 = 602.4375; nir: 3 / 2 * (2 * 58.395 + 3 * 57.12 + 7 * 57.375) / 3 = 344.8875;
    the constant: 2 * 123.675 + 3 * 116.28 + 7 * 103.53 = 1320.9, and 7 for a black pixel that becomes (0, 0, 1).
    """
    kernel = np.array([2.0, 3.0, 7.0], np.float32).reshape(1, 1, 3, 1)
    found = pretrained.widened(kernel, np.eye(3), np.array([0.0, 0.0, 1.0]), ("Blue", "nir"))
    assert found.shape == (1, 1, 3, 1)
    np.testing.assert_allclose(found.ravel(), [602.4375, 344.8875, 1327.9], rtol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV3Small",  # scales its pixels itself
        "EfficientNetB0",  # normalises its pixels, and pads them
        "ResNet50",  # turns the colours round, and pads; with a bias
        "ConvNeXtTiny",  # begins with a network in the network, without padding
        "DenseNet121",
    ],
)
def test_red_green_and_blue_as_bands_are_a_photo(name: str) -> None:
    """With ImageNet's mean and deviation, the widened network answers as the network itself."""
    keras.utils.set_random_seed(1)
    extractor = built(facts(RGB, 64, MEAN, DEVIATION), name, "segmentation")
    images = RANDOM.uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    found = extractor({PIXELS: images, VALID: np.ones((2, 64, 64), np.float32)}, training=False)

    keras.utils.set_random_seed(1)
    factory = getattr(keras.applications, name)
    network = factory(include_top=False, weights=None, input_shape=(64, 64, 3))
    module = __import__(factory.__module__, fromlist=["preprocess_input"])
    expected = np.asarray(network(module.preprocess_input(images.copy()), training=False))
    np.testing.assert_allclose(np.asarray(found[-1]), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    keras.utils.set_random_seed(3)
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(images)
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same")(x)
    keras.Model(images, x).save(tmp_path / "tiny.keras")
    return str(tmp_path / "tiny.keras")


def output(extractor: keras.Model, pixels: NDArray[np.float32], valid: NDArray[np.bool_]) -> list[NDArray[np.float32]]:
    found = extractor({PIXELS: pixels, VALID: valid.astype(np.float32)}, training=False)
    return [np.asarray(one) for one in keras.tree.flatten(found)]


def gradients(extractor: keras.Model, pixels: NDArray[np.float32], valid: NDArray[np.bool_]) -> list[Any]:
    """Of a function of all outputs, by the pixels and by each weight."""
    inputs = tf.constant(pixels)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        found = extractor({PIXELS: inputs, VALID: tf.constant(valid.astype(np.float32))}, training=True)
        total = tf.add_n([tf.reduce_sum(tf.sin(one)) for one in keras.tree.flatten(found)])
    return [one.numpy() for one in tape.gradient(total, [inputs, *(v.value for v in extractor.trainable_variables)])]


@pytest.mark.parametrize("task", ["single_label", "segmentation"])
@pytest.mark.parametrize("junk", [1e6, np.nan, -np.inf])
def test_invalid_values_have_no_influence(tiny: str, task: str, junk: float) -> None:
    names = ("red", "nir", "swir", "ndvi", "height")
    extractor = built(facts(names, 17, (1.0,) * 5, (2.0,) * 5), tiny, task)
    pixels = RANDOM.normal(size=(2, 17, 17, 5)).astype(np.float32)
    valid = RANDOM.random((2, 17, 17)) > 0.4
    valid[0, :9] = False
    other = np.where(valid[..., np.newaxis], pixels, np.float32(junk))
    for results in (output, gradients):
        for one, same in zip(results(extractor, pixels, valid), results(extractor, other, valid), strict=True):
            np.testing.assert_array_equal(one, same)
            assert np.isfinite(one).all()


def test_windows_with_invalid_pixels_are_renormalised(tmp_path: Path) -> None:
    """A window of 2 x 2 without padding, weights 1, one band with values 1 to 4 of which 4 is invalid.

    The network leaves its pixels as they are, and its band counts as the mean of the three colours: with mean 0 and
    deviation 1, a value v becomes v * 57.63 + 114.495 for each of three colours. (1 + 2 + 3) * 4 / 3 = 8.
    """
    images = keras.Input((None, None, 3))
    network = keras.Model(images, keras.layers.Conv2D(1, 2, kernel_initializer="ones", use_bias=False)(images))
    network.save(tmp_path / "ones.keras")
    extractor = built(facts(("height",), 2, (0.0,), (1.0,)), str(tmp_path / "ones.keras"), "segmentation")
    pixels = np.array([1.0, 2.0, 3.0, 4.0], np.float32).reshape(1, 2, 2, 1)
    valid = np.array([True, True, True, False]).reshape(1, 2, 2)
    [found] = output(extractor, pixels, valid)
    assert found.ravel() == pytest.approx([3 * (8 * sum(DEVIATION) / 3 + 4 * sum(MEAN) / 3)], rel=1e-6)


def test_a_network_that_does_not_begin_with_a_convolution_is_refused(tmp_path: Path) -> None:
    images = keras.Input((None, None, 3))
    keras.Model(images, keras.layers.AveragePooling2D(2)(images)).save(tmp_path / "none.keras")
    with pytest.raises(ConfigError, match=r"none\.keras does not begin with a convolution of the three colours"):
        built(facts(RGB, 8, MEAN, DEVIATION), str(tmp_path / "none.keras"))
    squared = keras.layers.Conv2D(2, 1)(keras.ops.square(images))
    keras.Model(images, squared).save(tmp_path / "square.keras")
    with pytest.raises(ConfigError, match="not linear"):
        built(facts(RGB, 8, MEAN, DEVIATION), str(tmp_path / "square.keras"))
