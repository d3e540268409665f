"""Training steps that go through a batch in parts, so that a step needs the memory of a part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


class InParts(keras.Model):
    """A model that computes the gradient of a batch part by part and then applies the sum, which is the batch's.

    The loss must be a weighted mean with a method `total_weight`, see `losses.Known`: each part counts with its share
    of the batch's weight. Networks whose layers look at the whole batch, as batch normalisation does while it learns
    its statistics, see a part as their batch.

    Args:
        inputs, outputs: of a functional model.
        part: number of examples that a part has, the last one of a batch excepted; None: a batch is one part.
    """

    def __init__(self, inputs: Any, outputs: Any, *, part: int | None) -> None:
        super().__init__(inputs, outputs)
        self.part = part

    def train_step(self, data: tuple[Any, Any, Any]) -> dict[str, Any]:
        """Trains on (inputs, targets, example weights) of one batch, called by `fit`; returns the metrics."""
        known = self.known_loss(data)

        def loss(x: Any, y: Any, w: Any) -> tuple[Any, Any]:
            logits = self(x, training=True)
            return known(x, y, w, logits), logits

        return self.learn(data, loss)

    def known_loss(self, data: tuple[Any, Any, Any]) -> Callable[..., Any]:
        """Returns (inputs, targets, example weights, logits of a part) -> what the part adds to the batch's loss."""
        whole = self.loss.total_weight(*data[1:])

        def loss(x: Any, y: Any, w: Any, logits: Any) -> Any:
            share = tf.math.divide_no_nan(self.loss.total_weight(y, w), whole)
            return self.compute_loss(x, y, logits, w) * share

        return loss

    def learn(self, data: tuple[Any, ...], loss: Callable[..., tuple[Any, Any]]) -> dict[str, Any]:
        """Applies the gradient of a batch, and updates the metrics.

        Args:
            data: inputs, targets, example weights, and any more tensors, each with a row for an example.
            loss: the same of a part -> what the part adds to the batch's loss, scalar float32; logits.

        Returns:
            the metrics.
        """
        variables = [variable.value for variable in self.trainable_variables]
        count = tf.shape(data[2])[0]
        step = count if self.part is None else self.part

        def part_of(start: tf.Tensor, total: tf.Tensor, *sums: tf.Tensor) -> tuple[tf.Tensor, ...]:
            x, y, w, *more = (
                each if self.part is None else tf.nest.map_structure(lambda one: one[start : start + step], each)
                for each in data
            )
            with tf.GradientTape() as tape:
                part_loss, logits = loss(x, y, w, *more)
                scaled = self.optimizer.scale_loss(part_loss)
            gradients = tape.gradient(scaled, variables)
            self.compute_metrics(x, y, logits, w)
            added = [one if new is None else one + new for one, new in zip(sums, gradients, strict=True)]
            return start + step, total + part_loss, *added

        begin = (tf.constant(0), tf.constant(0.0), *(tf.zeros(one.shape, one.dtype) for one in variables))
        if self.part is None:
            _, total, *gradients = part_of(*begin)
        else:
            # One part at a time: TensorFlow would compute several at once, with the memory of all of them.
            _, total, *gradients = tf.while_loop(lambda start, *_: start < count, part_of, begin, parallel_iterations=1)
        tracker = next(metric for metric in self.metrics if metric.name == "loss")
        tracker.update_state(total, sample_weight=count)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return self.get_metrics_result()
