"""Training steps that go through a batch in parts, so that a step needs the memory of a part."""

from __future__ import annotations

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
        part: number of examples that a part has, the last one of a batch excepted.
    """

    def __init__(self, inputs: Any, outputs: Any, *, part: int) -> None:
        super().__init__(inputs, outputs)
        self.part = part

    def train_step(self, data: tuple[Any, Any, Any]) -> dict[str, Any]:
        """Trains on (inputs, targets, example weights) of one batch, called by `fit`; returns the metrics."""
        inputs, target, weight = data
        variables = [variable.value for variable in self.trainable_variables]
        count = tf.shape(weight)[0]
        whole = self.loss.total_weight(target, weight)

        def part_of(start: tf.Tensor, loss: tf.Tensor, *sums: tf.Tensor) -> tuple[tf.Tensor, ...]:
            x, y, w = (each[start : start + self.part] for each in (inputs, target, weight))
            with tf.GradientTape() as tape:
                logits = self(x, training=True)
                share = tf.math.divide_no_nan(self.loss.total_weight(y, w), whole)
                part_loss = self.compute_loss(x, y, logits, w) * share
            gradients = tape.gradient(part_loss, variables)
            self.compute_metrics(x, y, logits, w)
            added = [total if one is None else total + one for total, one in zip(sums, gradients, strict=True)]
            return start + self.part, loss + part_loss, *added

        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in self.trainable_variables]
        # One part at a time: TensorFlow would compute several at once, with the memory of all of them.
        _, loss, *gradients = tf.while_loop(
            lambda start, *_: start < count,
            part_of,
            (tf.constant(0), tf.constant(0.0), *zeros),
            parallel_iterations=1,
        )
        tracker = next(metric for metric in self.metrics if metric.name == "loss")
        tracker.update_state(loss, sample_weight=count)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return self.get_metrics_result()
