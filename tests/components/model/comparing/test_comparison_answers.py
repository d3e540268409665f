"""The answers of a network to eval as rows: of masks, and of several labels of which some are unknown."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.labels import kinds
from components.model.comparing import conduct
from components.model.comparing.figures import Judged, figures
from components.model.fitting.regression import Examples

IGNORED = 255


class Data:
    """A split of one batch."""

    def __init__(self, target: np.ndarray, weight: list[float]) -> None:
        self._target, self._weight = target, weight

    def count(self, _: str) -> int:
        return len(self._target)

    def once(self, split: str) -> Iterator[tuple[tf.Tensor, ...]]:
        assert split == "eval"
        pixels = tf.zeros((len(self._target), 1, 4, 3), tf.uint8)
        yield pixels, tf.constant(self._target), tf.constant(self._weight, tf.float32)


def judged(task: str, logits: np.ndarray, data: Data, features: Any = None, *, calibrates: bool = False) -> Judged:
    head = SimpleNamespace(predict=lambda rows, verbose: logits)
    parts = SimpleNamespace(model=lambda pixels, training: tf.constant(logits), head=head)
    learnt: Any = SimpleNamespace(parts=parts, data=data, features=features)
    given: Any = SimpleNamespace(kind=kinds.kind(task), names=[str(i) for i in range(logits.shape[-1])])
    return conduct._judged(learnt, given, calibrates=calibrates)


def test_masks_are_counted_without_ignored_pixels() -> None:
    truth = np.array([[[0, 0, 1, IGNORED]], [[1, 1, 0, 0]]], np.uint8)
    answer = np.array([[[0, 1, 1, 0]], [[1, 0, 0, 0]]])
    logits = (2 * np.eye(2)[answer] - 1).astype(np.float32)  # the answer has 1 / (1 + e^-2) = 0.8808
    found = figures(kinds.kind("segmentation"), 2, judged("segmentation", logits, Data(truth, [1, 1])))
    right, wrong = -np.log(1 / (1 + np.exp(-2))), -np.log(1 / (1 + np.exp(2)))
    # 0: 3 right of 4 + 4 - 3; 1: 2 right of 3 + 3 - 2; 5 of 7 pixels.
    losses = ((2 * right + wrong) / 3, (3 * right + wrong) / 4)
    assert found == pytest.approx({"mean_iou": (3 / 5 + 2 / 4) / 2, "pixel_accuracy": 5 / 7, "loss": np.mean(losses)})


@pytest.mark.parametrize("known", [True, False])
def test_unknown_labels_do_not_count(known: bool) -> None:
    """Whether the features of the backbone are known or the network is applied again."""
    target, logits = np.array([[1, 0], [0, -1], [1, 1]], np.float32), np.array([[1, 1], [-1, 1], [1, 1]], np.float32)
    examples = Examples(np.zeros((3, 1), np.float32), target, np.ones(3, np.float32))
    features = (lambda split: examples) if known else None
    found = figures(kinds.kind("multi_label"), 2, judged("multi_label", logits, Data(target, [1, 1, 1]), features))
    assert found["binary_accuracy"] == 4 / 5


def test_probabilities_are_calibrated_as_they_are_where_a_model_is_served() -> None:
    """A network that is nearly certain and right three times of four has, calibrated, the loss of 0.75."""
    truth = np.array([0, 0, 0, 1] * 50)
    logits = np.tile(np.float32([8, 0]), (200, 1))
    data = Data(np.eye(2, dtype=np.float32)[truth], [1.0] * 200)
    kind = kinds.kind("single_label")
    plain, calibrated = (
        figures(kind, 2, judged("single_label", logits, data, calibrates=yes))["loss"] for yes in (False, True)
    )
    assert plain == pytest.approx(0.25 * 8, abs=0.01)
    assert calibrated == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)), abs=0.01)
