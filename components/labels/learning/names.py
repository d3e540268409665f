"""Conversion of label names to a row per image, in TensorFlow graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def multi_hot(names: tf.SparseTensor | tf.RaggedTensor, labels: Sequence[str]) -> tf.Tensor:
    """Marks the labels that each row names.

    Compares every name with every label, which takes memory for (names in the batch) x K comparisons. A lookup table
    would have to be initialised and tracked wherever the graph goes.

    Args:
        names: string [batch, None], any number per row, repetitions allowed.
        labels: names of the K labels; other names are ignored.

    Returns:
        bool [batch, K].
    """
    import tensorflow as tf

    if isinstance(names, tf.RaggedTensor):
        rows, values, batch = names.value_rowids(), names.values, names.nrows()
    else:
        rows, values, batch = names.indices[:, 0], names.values, names.dense_shape[0]
    equal = tf.equal(values[:, tf.newaxis], tf.constant(list(labels), tf.string))
    return tf.math.unsorted_segment_sum(tf.cast(equal, tf.float32), rows, batch) > 0
