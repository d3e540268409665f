"""What training shows of its progress, from targets and logits; the unknown takes part in nothing.

The evaluation's numbers come from `components.metrics`; these follow the same definitions, without label weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops


class Share(keras.metrics.Mean):
    """Mean over known entries; subclasses say what an entry's value is. 0 where nothing is known."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: target, logits and, if given, example weights [batch]."""
        values, known = self.entries(ops.convert_to_tensor(y_true), ops.cast(y_pred, "float32"))
        super().update_state(ops.cast(values, "float32"), sample_weight=_weighted(known, sample_weight))

    def entries(self, target: Any, logits: Any) -> tuple[Any, Any]:
        """(values, known), of equal shape."""
        raise NotImplementedError


class Accuracy(Share):
    """Examples whose highest logit is that of their label; target [batch, K] one-hot, or all -1."""

    def entries(self, target: Any, logits: Any) -> tuple[Any, Any]:
        """[batch] each."""
        return ops.argmax(logits, axis=-1) == ops.argmax(target, axis=-1), ops.max(target, axis=-1) > 0


class BinaryAccuracy(Share):
    """Labels of examples decided rightly at logit 0; target [batch, K]: 1 applies, 0 does not, -1 nobody said."""

    def entries(self, target: Any, logits: Any) -> tuple[Any, Any]:
        """[batch, K] each."""
        return (logits >= 0) == (target > 0), target >= 0


class CosineSimilarity(Share):
    """t·p / (|t| |p|) per example, t and p the target and the sigmoid probabilities of its known labels.

    Over the examples to which a label applies: without one, t has no direction.
    """

    def entries(self, target: Any, logits: Any) -> tuple[Any, Any]:
        """[batch] each."""
        p = ops.where(target >= 0, ops.sigmoid(logits), 0.0)
        t = ops.cast(target > 0, "float32")
        norm = ops.sqrt(ops.sum(t, axis=-1) * ops.sum(p * p, axis=-1))
        return ops.divide_no_nan(ops.sum(t * p, axis=-1), norm), ops.max(target, axis=-1) > 0


class PixelAccuracy(Share):
    """Pixels whose highest logit is that of their label.

    Args:
        ignored: the id of pixels that take part in nothing.
        name: shown in training.
    """

    def __init__(self, ignored: int, name: str) -> None:
        super().__init__(name=name)
        self._ignored = ignored

    def entries(self, target: Any, logits: Any) -> tuple[Any, Any]:
        """[batch, H, W] each."""
        target = ops.cast(target, "int32")
        return ops.cast(ops.argmax(logits, axis=-1), "int32") == target, target != self._ignored


class MeanIou(keras.metrics.Metric):
    """Mean over the labels in the truth of intersection / union, of the pixels of all images together.

    Args:
        classes: K.
        ignored: the id of pixels that take part in nothing.
        name: shown in training.
    """

    def __init__(self, classes: int, ignored: int, name: str) -> None:
        super().__init__(name=name)
        self._classes, self._ignored = classes, ignored
        shape = (3, classes)  # pixels of each label: answered rightly, in the truth, in the answer
        self._pixels = self.add_variable(shape, initializer="zeros", name="pixels")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: target [batch, H, W], logits [batch, H, W, K] and, if given, example weights [batch]."""
        target = ops.cast(y_true, "int32")
        known = target != self._ignored
        truth = ops.where(known, target, 0)
        answer = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        weight = _weighted(known, sample_weight)
        right = weight * ops.cast(truth == answer, "float32")
        pairs = ((right, truth), (weight, truth), (weight, answer))
        self._pixels.assign_add(ops.stack([self._per_label(*pair) for pair in pairs]))

    def result(self) -> Any:
        """Scalar float32; 0 where nothing is known."""
        right, truth, answer = ops.unstack(ops.convert_to_tensor(self._pixels), 3)
        iou = ops.divide_no_nan(right, truth + answer - right)
        seen = ops.cast(truth > 0, "float32")
        return ops.divide_no_nan(ops.sum(iou * seen), ops.sum(seen))

    def _per_label(self, weight: Any, ids: Any) -> Any:
        return ops.segment_sum(ops.reshape(weight, (-1,)), ops.reshape(ids, (-1,)), num_segments=self._classes)


class TemperedLoss(keras.metrics.Metric):
    """The loss at the best of a few temperatures: how good a network is once its certainty is calibrated.

    A network that trains on grows too certain of itself long before its answers get worse, and its loss rises with it
    (Guo et al. 2017). Like Keras' loss, the mean of the batches', by their sizes.

    Args:
        loss: (target, logits, example weights) -> scalar.
        temperatures: what logits are divided by.
    """

    def __init__(
        self,
        loss: Callable[..., Any],
        temperatures: Sequence[float] = (1.0, 1.5, 2.0, 3.0),
        name: str = "tempered_loss",
    ) -> None:
        super().__init__(name=name)
        self._loss, self._temperatures = loss, temperatures
        self._sums = self.add_variable((len(temperatures),), initializer="zeros", name="sums")
        self._count = self.add_variable((), initializer="zeros", name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: what the loss takes."""
        size = ops.cast(ops.shape(y_pred)[0], "float32")
        logits = ops.cast(y_pred, "float32")
        losses = [self._loss(y_true, logits / t, sample_weight) for t in self._temperatures]
        self._sums.assign_add(ops.stack(losses) * size)
        self._count.assign_add(size)

    def result(self) -> Any:
        """Scalar float32; 0 of nothing."""
        return ops.min(ops.divide_no_nan(ops.convert_to_tensor(self._sums), ops.convert_to_tensor(self._count)))


def _weighted(known: Any, sample_weight: Any) -> Any:
    """float32 of the shape of `known`: the example's weight, 0 for what is unknown."""
    weight = ops.cast(known, "float32")
    if sample_weight is None:
        return weight
    return weight * ops.reshape(ops.cast(sample_weight, "float32"), (-1,) + (1,) * (len(known.shape) - 1))
