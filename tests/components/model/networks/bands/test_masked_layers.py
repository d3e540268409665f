"""Layers over partly valid maps: right where all is valid, by hand where not, and never touched by what is invalid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from numpy.typing import NDArray

from components.model.networks.bands import masked, temporal

RANDOM = np.random.default_rng(0)
Floats = NDArray[np.float32]


def numbers(*shape: int) -> Floats:
    return RANDOM.normal(size=shape).astype(np.float32)


def plain(found: Any) -> NDArray[Any]:
    return np.asarray(ops.convert_to_numpy(found))


def test_a_window_of_nine_pixels_of_which_four_are_valid() -> None:
    """Values 1 to 9, and all weights 1: 1 + 2 + 4 + 5 = 12 of four pixels stand for 12 * 9 / 4 = 27 of nine."""
    x = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3, 1)
    valid = np.zeros((1, 3, 3, 1), np.float32)
    valid[0, :2, :2] = 1
    layer = masked.Convolution(1, 3)
    layer.build(x.shape)
    layer.kernel.assign(np.ones((3, 3, 1, 1)))
    found, there = layer(x, valid)
    assert plain(found)[0, 1, 1, 0] == pytest.approx(27)
    # In the last corner, one of the four pixels inside the image is valid: 5 * 4 / 1.
    assert plain(found)[0, 2, 2, 0] == pytest.approx(20)
    assert plain(there).min() == 1


def test_where_all_is_valid_it_is_keras_s_convolution() -> None:
    x, kernel, bias = numbers(2, 5, 6, 3), numbers(3, 3, 3, 4), numbers(4)
    layer, reference = masked.Convolution(4, 3, bias=True), keras.layers.Conv2D(4, 3, padding="same")
    layer.build(x.shape)
    layer.kernel.assign(kernel)
    layer.bias.assign(bias)
    reference.build(x.shape)
    reference.set_weights([kernel, bias])
    found, there = layer(x, np.ones((2, 5, 6, 1), np.float32))
    np.testing.assert_array_equal(plain(found), plain(reference(x)))
    assert plain(there).min() == 1


def test_what_has_no_valid_pixel_in_its_window_is_invalid_and_zero() -> None:
    valid = np.zeros((1, 1, 5, 1), np.float32)
    valid[0, 0, 0] = 1
    layer = masked.Convolution(2, 3, bias=True)
    layer.build((1, 1, 5, 1))
    layer.bias.assign([7.0, 7.0])
    found, there = layer(numbers(1, 1, 5, 1), valid)
    assert plain(there)[0, 0, :, 0].tolist() == [1, 1, 0, 0, 0]
    assert (plain(found)[0, 0, 2:] == 0).all()


def test_statistics_are_those_of_the_valid_pixels() -> None:
    """Of 1, 3 and an invalid 100, the mean is 2 and the variance 1: -1 and 1, of which the rectifier leaves 0 and 1."""
    layer = masked.Normalisation()
    layer.build((1, 1, 3, 1))
    x = np.array([1, 3, 100], np.float32).reshape(1, 1, 3, 1)
    found = layer(x, np.array([1, 1, 0], np.float32).reshape(1, 1, 3, 1), training=True)
    np.testing.assert_allclose(plain(found).ravel(), [0, 1, 0], atol=1e-3)


def test_halving_and_enlarging() -> None:
    x = np.array([[1, 2, 9], [3, 9, 5]], np.float32).reshape(1, 2, 3, 1)
    valid = np.array([[1, 1, 0], [1, 0, 0]], np.float32).reshape(1, 2, 3, 1)
    found, there = masked.halved(x, valid)
    assert plain(found)[0, :, :, 0].tolist() == [[3, 0]]
    assert plain(there)[0, :, :, 0].tolist() == [[1, 0]]
    back, where = masked.enlarged(found, there, (2, 3))
    assert plain(back)[0, :, :, 0].tolist() == [[3, 3, 0], [3, 3, 0]]
    assert plain(where)[0, :, :, 0].tolist() == [[1, 1, 0], [1, 1, 0]]


def test_the_mean_is_that_of_the_valid_pixels() -> None:
    valid = np.array([[1, 0], [1, 0]], np.float32).reshape(2, 1, 2, 1) * np.array([1, 0]).reshape(2, 1, 1, 1)
    assert plain(masked.mean(np.array([[[[2.0], [50.0]]], [[[3.0], [4.0]]]]), valid)).tolist() == [[2.0], [0.0]]


def test_the_recurrence_is_keras_s_where_all_is_valid() -> None:
    x, filters = numbers(2, 4, 5, 6, 3), 2
    layer = temporal.Recurrence(filters)
    layer.build(x.shape)
    reference = keras.layers.ConvLSTM2D(filters, 3, padding="same", unit_forget_bias=False)
    reference.build(x.shape)
    inputs, states, bias = numbers(3, 3, 3, 4, filters), numbers(3, 3, filters, 4, filters), numbers(4, filters)
    ours = [0, 1, 3, 2]  # input gate, forget gate, output gate, candidate; Keras has the candidate before the output
    layer._inputs.kernel.assign(inputs[:, :, :, ours].reshape(3, 3, 3, -1))
    layer._states.kernel.assign(states[:, :, :, ours].reshape(3, 3, filters, -1))
    layer._inputs.bias.assign((bias - np.array([0, 1, 0, 0])[:, None])[ours].ravel())  # ours adds 1 to the forget gate
    reference.set_weights([inputs.reshape(3, 3, 3, -1), states.reshape(3, 3, filters, -1), bias.ravel()])
    found, ever = layer(x, np.ones((2, 4, 5, 6, 1), np.float32))
    np.testing.assert_allclose(plain(found), plain(reference(x)), atol=1e-5)
    assert plain(ever).min() == 1


def test_a_moment_that_is_invalid_everywhere_is_skipped() -> None:
    x, valid = numbers(1, 3, 4, 4, 2), np.ones((1, 3, 4, 4, 1), np.float32)
    valid[:, 1] = 0
    layer = temporal.Recurrence(3)
    layer.build(x.shape)
    found, _ = layer(x, valid)
    without, _ = layer(x[:, [0, 2]], valid[:, [0, 2]])
    np.testing.assert_allclose(plain(found), plain(without), atol=1e-6)


def test_attention_weighs_the_valid_moments_by_their_scores() -> None:
    """Scores log 1, log 3 and, invalid, log 96: a quarter and three quarters."""
    score = np.log(np.array([1.0, 3.0, 96.0], np.float32)).reshape(1, 3, 1, 1, 1)
    valid = np.array([1, 1, 0], np.float32).reshape(1, 3, 1, 1, 1)
    np.testing.assert_allclose(plain(temporal.shares(score, valid)).ravel(), [0.25, 0.75, 0], rtol=1e-6)
    assert not plain(temporal.shares(score, np.zeros_like(valid))).any()
    # Carried to finer maps: 0.25 * 8 + 0.75 * 4 = 5; where the second moment is missing, the first alone.
    weights = np.array([0.25, 0.75], np.float32).reshape(1, 2, 1, 1, 1)
    finer = np.array([8.0, 4.0], np.float32).reshape(1, 2, 1, 1, 1)
    assert plain(temporal.weighted(finer, valid[:, :2], weights)[0]).item() == pytest.approx(5)
    assert plain(temporal.weighted(finer, valid[:, 1:], weights)[0]).item() == pytest.approx(8)


def test_the_order_of_moments_follows_from_their_dates_alone() -> None:
    """Attention sees dates, not places; a moment that is missing changes nothing for the others."""
    x, days = numbers(1, 3, 2, 2, 4), np.array([[0.0, 10.0, 25.0]], np.float32)
    layer = temporal.Attention(heads=2, keys=3)
    layer.build(x.shape)
    one, _, _ = layer(x, np.ones((1, 3, 2, 2, 1), np.float32), days)
    turned = [2, 0, 1]
    other, _, _ = layer(x[:, turned], np.ones((1, 3, 2, 2, 1), np.float32), days[:, turned])
    np.testing.assert_allclose(plain(one), plain(other), atol=1e-6)
    missing = np.ones((1, 3, 2, 2, 1), np.float32)
    missing[:, 1] = 0
    two, _, weights = layer(x, missing, days)
    without, _, _ = layer(x[:, [0, 2]], missing[:, [0, 2]], days[:, [0, 2]])
    np.testing.assert_allclose(plain(two), plain(without), atol=1e-6)
    np.testing.assert_allclose(plain(weights).sum(axis=1), 1, atol=1e-6)


def test_positions_are_sines_and_cosines_of_the_days() -> None:
    """Of 4 channels, the rates are 1 and 1000^(-1/2) a day."""
    found = plain(temporal.positions(np.array([[0.0, 2.0]], np.float32), 4))
    rate = 1000**-0.5
    expected = [[0, 0, 1, 1], [np.sin(2), np.sin(2 * rate), np.cos(2), np.cos(2 * rate)]]
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


def maps_of(layer: Any) -> Callable[[Any, Any], list[Any]]:
    """What a layer makes of a map, as a list."""

    def run(x: Any, valid: Any) -> list[Any]:
        found = layer(x, valid)
        return list(found) if isinstance(found, tuple) else [found]

    return run


class Trained(keras.layers.Layer):
    """A layer in training mode."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def call(self, x: Any, valid: Any) -> Any:
        return self.layer(x, valid, training=True)


def enlarged(x: Any, valid: Any) -> Any:
    return (masked.kept(*masked.enlarged(x, valid, (8, 10))),)


def joined(x: Any, valid: Any) -> Any:
    return masked.joined(x, valid, x, valid)


def weighted(x: Any, valid: Any) -> Any:
    return temporal.weighted(x, valid, ops.ones((2, 3, 4, 5, 2)) / 3)


class Dated(keras.layers.Layer):
    """Attention with dates."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = temporal.Attention(2, 3)

    def call(self, x: Any, valid: Any) -> Any:
        return self.layer(x, valid, np.array([[0, 3, 9]] * 2, np.float32))


LAYERS: dict[str, Callable[[], Any]] = {
    "convolution": lambda: masked.Convolution(3, 3, bias=True),
    "normalisation": masked.Normalisation,
    "block": lambda: masked.Block(3),
    "normalisation in training": lambda: Trained(masked.Normalisation()),
    "block in training": lambda: Trained(masked.Block(3)),
    "halved": lambda: masked.halved,
    "mean": lambda: masked.mean,
    "joined": lambda: joined,
    "enlarged": lambda: enlarged,
    "recurrence": lambda: temporal.Recurrence(3),
    "attention": Dated,
    "weighted": lambda: weighted,
}
OF_SEQUENCES = ("recurrence", "attention", "weighted")


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=6, deadline=None)
@given(st.data())
def test_invalid_pixels_change_no_answer_and_no_gradient_by_a_bit(name: str, data: st.DataObject) -> None:
    """With 1e6, NaN, infinity or noise in their place, whichever pixels they are, also all of them or none."""
    import tensorflow as tf

    shape = (2, 3, 4, 5, 4) if name in OF_SEQUENCES else (2, 4, 5, 4)
    share = data.draw(st.sampled_from([0.0, 0.2, 0.6, 1.0]))
    seed = data.draw(st.integers(0, 2**16))
    garbage = data.draw(st.sampled_from([1e6, np.nan, np.inf, -np.inf, "noise"]))
    random = np.random.default_rng(seed)
    valid = (random.random((*shape[:-1], 1)) < share).astype(np.float32)
    x = np.abs(random.normal(size=shape)).astype(np.float32)
    filler = random.normal(size=shape).astype(np.float32) if garbage == "noise" else np.float32(garbage)
    keras.utils.set_random_seed(1)
    run = maps_of(LAYERS[name]())
    run(x, valid)  # creates the weights
    results = []
    for version in (np.where(valid > 0, x, 0).astype(np.float32), np.where(valid > 0, x, filler).astype(np.float32)):
        keras.utils.set_random_seed(1)
        run = maps_of(LAYERS[name]())
        inputs = tf.constant(version)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            found = run(inputs, tf.constant(valid))
            loss = sum(tf.reduce_sum(tf.sin(one)) for one in found)
        weights = tape.watched_variables()
        gradients = tape.gradient(loss, [inputs, *weights], unconnected_gradients="zero")
        results.append([plain(one) for one in (*found, *gradients, *weights)])
    for one, other in zip(*results, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(one, other)
