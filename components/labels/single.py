"""Label kind: each image has exactly one label. Softmax over K logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def encode(labels: tf.Tensor, names: Sequence[str]) -> tf.Tensor:
    """One-hot rows; TensorFlow graph code.

    Args:
        labels: string [batch] or [batch, 1].
        names: the K label names.

    Returns:
        float32 [batch, K]; a row of zeros for a name that is not among them.
    """
    import tensorflow as tf

    return tf.cast(tf.reshape(labels, [-1, 1]) == tf.constant([list(names)]), tf.float32)


def head(features: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Pooled features [batch, F] -> logits float32 [batch, K], one unit per label."""
    import keras

    x = keras.layers.Dropout(0.2)(features)
    # float32 whatever the precision of the rest: a softmax in 16 bit loses the small probabilities.
    return keras.layers.Dense(classes, dtype="float32", name="logits")(x)


def loss() -> keras.losses.Loss:
    """Cross-entropy from logits; each example counts with its sample weight."""
    import keras

    return keras.losses.CategoricalCrossentropy(from_logits=True)


def metrics() -> list[keras.metrics.Metric]:
    """What training shows; argmax, so logits do as well as probabilities."""
    import keras

    return [keras.metrics.CategoricalAccuracy(name="accuracy")]


def probabilities(logits: keras.KerasTensor) -> keras.KerasTensor:
    """Logits [batch, K] -> float32 [batch, K] that sum to 1."""
    import keras

    return keras.ops.softmax(keras.ops.cast(logits, "float32"), axis=-1)
