"""The loss that says which epoch is the best, against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.labels.learning import sigmoid, softmax
from components.labels.learning.measures import TemperedLoss

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(scale=6.0, size=(10, 3)).astype(np.float32)
TRUTH = np.eye(3, dtype=np.float32)[RANDOM.integers(0, 3, 10)]


def cross_entropy(t: float) -> np.ndarray:
    z = LOGITS.astype(np.float64) / t
    return np.log(np.exp(z).sum(axis=1)) - (z * TRUTH).sum(axis=1)


def test_the_measure_is_the_loss_at_the_best_temperature_over_all_batches() -> None:
    """A batch of 6 and one of 4: the mean of all ten, at each temperature; of 1,000 of them, the least."""
    metric = TemperedLoss(softmax.loss())
    metric.update_state(TRUTH[:6], LOGITS[:6])
    metric.update_state(TRUTH[6:], LOGITS[6:])
    means = [cross_entropy(t).mean() for t in np.geomspace(4 ** (-4 / 3), 4 ** (4 / 3), 1000)]
    assert float(metric.result()) == pytest.approx(min(means), rel=0.01)
    assert min(means) < 0.9 * cross_entropy(1.0).mean()  # or this test says nothing
    metric.reset_state()
    assert float(metric.result()) == 0


def test_overconfidence_alone_does_not_change_the_measure() -> None:
    found = []
    for factor in (1.0, 2.0):
        metric = TemperedLoss(softmax.loss(), temperatures=(factor,))
        metric.update_state(TRUTH, LOGITS * factor)
        found.append(float(metric.result()))
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_example_weights_and_unknown_entries_count_as_in_the_loss() -> None:
    target = np.array([[1, -1, 0], [0, 1, 1]], np.float32)
    weight = np.array([3.0, 1.0], np.float32)
    metric = TemperedLoss(sigmoid.loss(), temperatures=(1.0,))
    metric.update_state(target, LOGITS[:2], weight)
    expected = sigmoid.loss()(target, LOGITS[:2], weight)
    assert float(metric.result()) == pytest.approx(float(keras.ops.convert_to_numpy(expected)), rel=1e-6)


@pytest.mark.parametrize("temperature", [0.26, 0.3, 0.5, 0.8, 1.0, 1.2, 2.0, 3.7])
def test_too_little_and_too_much_confidence_are_judged_as_what_they_are_worth(temperature: float) -> None:
    """Three of four answers are right. A log odds of ln 3 says so: the loss is ln 4 - 3/4 ln 3 = 0.562, the least.

    A network that says t ln 3 has the same answers. At t = 1/2, its loss is 3/4 ln(1 + 3^-0.5) + 1/4 ln(1 + 3^0.5)
    = 0.593; with a temperature of 1/2, it is 0.562 again.
    """
    logits = np.array([[temperature * np.log(3), 0]] * 4, np.float32)
    truth = np.eye(2, dtype=np.float32)[[0, 0, 0, 1]]
    metric = TemperedLoss(softmax.loss())
    metric.update_state(truth, logits)
    assert float(metric.result()) == pytest.approx(np.log(4) - 0.75 * np.log(3), abs=0.001)
    if temperature == 0.5:
        said = float(keras.ops.convert_to_numpy(softmax.loss()(truth, logits)))
        assert said == pytest.approx(0.593, abs=0.001)


def test_beyond_the_temperatures_that_are_tried_the_last_one_counts() -> None:
    """Nothing is extrapolated: all answers are right, and the loss falls with every lower temperature, to 4^(-4/3)."""
    logits, truth = np.array([[1.0, 0.0]], np.float32), np.array([[1.0, 0.0]], np.float32)
    metric = TemperedLoss(softmax.loss())
    metric.update_state(truth, logits)
    assert float(metric.result()) == pytest.approx(np.log(1 + np.exp(-(4 ** (4 / 3)))), rel=1e-3)


def test_a_loss_that_vanishes_is_never_below_zero() -> None:
    """Losses fall from 300 to less than float32 can tell from 0, where a spline alone would be negative."""
    metric = TemperedLoss(lambda target, logits, weight: keras.ops.mean(logits**2))
    metric.update_state(None, np.array([[40.0]], np.float32))
    assert float(metric.result()) == pytest.approx(1600 / 4 ** (8 / 3), rel=1e-5)  # the highest temperature
    metric = TemperedLoss(lambda target, logits, weight: keras.ops.exp(-keras.ops.mean(logits)))
    metric.update_state(None, np.array([[100.0]], np.float32))
    assert 0 <= float(metric.result()) < 1e-6


def test_the_graph_holds_the_loss_once_however_many_temperatures_there_are() -> None:
    """Its sums are those of a loss for each temperature, computed one by one, times the ten images."""
    nodes = []
    for temperatures in ((0.5, 1.0), (0.25, 0.5, 1.0, 2.0, 4.0)):
        metric = TemperedLoss(softmax.loss(), temperatures=temperatures)
        step = tf.function(metric.update_state).get_concrete_function(tf.constant(TRUTH), tf.constant(LOGITS))
        step(tf.constant(TRUTH), tf.constant(LOGITS))
        graph = step.graph.as_graph_def()
        nodes.append(len(graph.node) + sum(len(function.node_def) for function in graph.library.function))
        expected = [10 * cross_entropy(t).mean() for t in temperatures]
        assert metric._sums.numpy() == pytest.approx(expected, rel=1e-5)
    assert nodes[0] == nodes[1]
