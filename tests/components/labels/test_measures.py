"""The loss that says which epoch is the best, against NumPy."""

import keras
import numpy as np
import pytest

from components.labels.learning import sigmoid, softmax
from components.labels.learning.measures import TemperedLoss

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(scale=6.0, size=(10, 3)).astype(np.float32)
TRUTH = np.eye(3, dtype=np.float32)[RANDOM.integers(0, 3, 10)]
TEMPERATURES = (1.0, 1.5, 2.0, 3.0)


def cross_entropy(t: float) -> np.ndarray:
    z = LOGITS.astype(np.float64) / t
    return np.log(np.exp(z).sum(axis=1)) - (z * TRUTH).sum(axis=1)


def test_the_measure_is_the_loss_at_the_best_temperature_over_all_batches() -> None:
    """A batch of 6 and one of 4: the mean of all ten, at each temperature; of those the least."""
    metric = TemperedLoss(softmax.loss())
    metric.update_state(TRUTH[:6], LOGITS[:6])
    metric.update_state(TRUTH[6:], LOGITS[6:])
    means = [cross_entropy(t).mean() for t in TEMPERATURES]
    assert float(metric.result()) == pytest.approx(min(means), rel=1e-5)
    assert min(means) < means[0]  # or this test says nothing
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
