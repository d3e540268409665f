"""Metrics that training shows for each epoch, computed from targets and logits. Unknown labels are excluded.

They follow the definitions of `components.metrics`, which the evaluation uses, without label weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from components.labels.learning.losses import devices_total

# Overconfident networks need temperatures above 1 (Guo et al. 2017), and underconfident ones, whose training has not
# come far, below: from 1/4 to 4, and one beyond on each side, so that a minimum lies between two.
_TEMPERATURES = tuple(4.0 ** (i / 3) for i in range(-4, 5))
_BETWEEN = 32  # steps of the spline from one temperature to the next


class Share(keras.metrics.Mean):
    """Mean over known entries, 0 if there is none. Subclasses define the value of an entry."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: target, logits and, if given, example weights [batch]."""
        values, known = self.entries(ops.convert_to_tensor(y_true), ops.cast(y_pred, "float32"))
        super().update_state(ops.cast(values, "float32"), sample_weight=_weighted(known, sample_weight))

    def entries(self, target: Any, logits: Any) -> tuple[Any, Any]:
        """Returns (values, known), of equal shape."""
        raise NotImplementedError


class Accuracy(Share):
    """Share of examples whose highest logit is that of their label; target [batch, K] one-hot, or all -1."""

    def entries(self, target: Any, logits: Any) -> tuple[Any, Any]:
        """Returns (values, known), [batch] each."""
        return ops.argmax(logits, axis=-1) == ops.argmax(target, axis=-1), ops.max(target, axis=-1) > 0


class BinaryAccuracy(Share):
    """Share of labels decided correctly at logit 0; target [batch, K]: 1 applies, 0 does not apply, -1 unknown."""

    def entries(self, target: Any, logits: Any) -> tuple[Any, Any]:
        """Returns (values, known), [batch, K] each."""
        return (logits >= 0) == (target > 0), target >= 0


class CosineSimilarity(Share):
    """Mean of t·p / (|t| |p|), where t is the target and p the sigmoid probabilities of an example's known labels.

    Examples to which no label applies are left out, because t has no direction.
    """

    def entries(self, target: Any, logits: Any) -> tuple[Any, Any]:
        """Returns (values, known), [batch] each."""
        p = ops.where(target >= 0, ops.sigmoid(logits), 0.0)
        t = ops.cast(target > 0, "float32")
        norm = ops.sqrt(ops.sum(t, axis=-1) * ops.sum(p * p, axis=-1))
        return ops.divide_no_nan(ops.sum(t * p, axis=-1), norm), ops.max(target, axis=-1) > 0


class PixelAccuracy(Share):
    """Share of pixels whose highest logit is that of their label.

    Args:
        ignored: id of ignored pixels.
        name: name shown in training.
    """

    def __init__(self, ignored: int, name: str) -> None:
        super().__init__(name=name)
        self._ignored = ignored

    def entries(self, target: Any, logits: Any) -> tuple[Any, Any]:
        """Returns (values, known), [batch, H, W] each."""
        target = ops.cast(target, "int32")
        return ops.cast(ops.argmax(logits, axis=-1), "int32") == target, target != self._ignored


class MeanIou(keras.metrics.Metric):
    """Mean of intersection / union over the labels in the truth, with the pixels of all images added up.

    Args:
        classes: number of labels K.
        ignored: id of ignored pixels.
        name: name shown in training.
    """

    def __init__(self, classes: int, ignored: int, name: str) -> None:
        super().__init__(name=name)
        self._classes, self._ignored = classes, ignored
        shape = (3, classes)  # pixels of each label: answered correctly, in the truth, in the answer
        self._pixels = self.add_variable(shape, initializer="zeros", name="pixels")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: target [batch, H, W], logits [batch, H, W, K] and, if given, example weights [batch]."""
        target = ops.cast(y_true, "int32")
        known = target != self._ignored
        truth = ops.where(known, target, 0)
        answer = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        weight = _weighted(known, sample_weight)
        correct = weight * ops.cast(truth == answer, "float32")
        pairs = ((correct, truth), (weight, truth), (weight, answer))
        self._pixels.assign_add(ops.stack([self._per_label(*pair) for pair in pairs]))

    def result(self) -> Any:
        """Returns a scalar float32; 0 if no pixel is known."""
        correct, truth, answer = ops.unstack(ops.convert_to_tensor(self._pixels), 3)
        iou = ops.divide_no_nan(correct, truth + answer - correct)
        seen = ops.cast(truth > 0, "float32")
        return ops.divide_no_nan(ops.sum(iou * seen), ops.sum(seen))

    def _per_label(self, weight: Any, ids: Any) -> Any:
        return ops.segment_sum(ops.reshape(weight, (-1,)), ops.reshape(ids, (-1,)), num_segments=self._classes)


class TemperedLoss(keras.metrics.Metric):
    """Loss at the best temperature: an estimate of the loss after calibration.

    During training, a network becomes overconfident long before its answers get worse, and its loss rises (Guo et al.
    2017). The loss is computed at a few temperatures, and its minimum is that of the cubic spline through them. As in
    Keras, this is the mean over batches, weighted by their sizes.

    Args:
        loss: (target, logits, example weights) -> scalar.
        temperatures: divisors of the logits, whose logarithms have equal distances.
        name: name shown in training.
    """

    def __init__(
        self,
        loss: Callable[..., Any],
        temperatures: Sequence[float] = _TEMPERATURES,
        name: str = "tempered_loss",
    ) -> None:
        super().__init__(name=name)
        self._loss, self._temperatures = loss, temperatures
        self._sums = self.add_variable((len(temperatures),), initializer="zeros", name="sums")
        self._count = self.add_variable((), initializer="zeros", name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: the arguments of the loss."""
        size = ops.cast(ops.shape(y_pred)[0], "float32")
        logits = ops.cast(y_pred, "float32")
        # The losses of the devices that share a batch add up to that of the batch.
        whole, devices = devices_total(size)
        self._sums.assign_add(self._losses(y_true, logits, sample_weight, loop=devices == 1) * whole)
        self._count.assign_add(size)

    def _losses(self, y_true: Any, logits: Any, sample_weight: Any, *, loop: bool) -> Any:
        """The loss at each temperature, float32 [temperatures].

        With `loop`, the graph holds the loss once, and a batch needs its memory once. Devices that share a batch cannot
        add up within a loop.
        """
        import tensorflow as tf

        def loss(temperature: Any) -> Any:
            return self._loss(y_true, logits / temperature, sample_weight)

        if not loop:
            return ops.stack([loss(t) for t in self._temperatures])
        return tf.map_fn(loss, tf.constant(self._temperatures, tf.float32), parallel_iterations=1)

    def result(self) -> Any:
        """Returns a scalar float32; 0 without any batch."""
        return _lowest(ops.divide_no_nan(ops.convert_to_tensor(self._sums), ops.convert_to_tensor(self._count)))


def _lowest(values: Any) -> Any:
    """The minimum of a convex function that has these values, [n], at equal distances.

    It is that of the cubic spline through them. Where the values fall from large ones to nearly 0, a spline overshoots;
    it is kept above the lines through the values on both sides, which a convex function does not cross.
    """
    n = int(values.shape[0])
    if n < 4:
        return ops.min(values)
    ends = ops.minimum(values[:-1], values[1:])
    steps = values[1:] - values[:-1]
    before, after = steps[:-2], steps[2:]
    place = ops.divide_no_nan(steps[1:-1] - after, before - after)
    crossing = ops.where((before < 0) & (after > 0), values[1:-2] + before * place, ends[1:-1])
    floor = ops.concatenate([ends[:1], ops.minimum(crossing, ends[1:-1]), ends[-1:]])
    curve = ops.reshape(ops.matmul(_spline(n), values[:, None]), (n - 1, _BETWEEN))
    return ops.min(ops.minimum(ends, ops.maximum(floor, ops.min(curve, axis=1))))


def _spline(n: int) -> Any:
    """The cubic spline through n values at equal distances as a matrix, float32 [(n - 1) * _BETWEEN, n]."""
    from scipy import interpolate

    fine = np.arange((n - 1) * _BETWEEN) / _BETWEEN
    return interpolate.CubicSpline(np.arange(n), np.eye(n))(fine).astype(np.float32)


def _weighted(known: Any, sample_weight: Any) -> Any:
    """Weight of each entry, float32, of the shape of `known`: that of its example, or 0 if the entry is unknown."""
    weight = ops.cast(known, "float32")
    if sample_weight is None:
        return weight
    return weight * ops.reshape(ops.cast(sample_weight, "float32"), (-1,) + (1,) * (len(known.shape) - 1))
