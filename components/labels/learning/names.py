"""Label names -> which of the K labels they are; TensorFlow graph code, shared by the label kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def among(names: tf.SparseTensor | tf.RaggedTensor, labels: Sequence[str]) -> tf.Tensor:
    """Which labels each row names.

    Compares the names that are there, not the padding, with all labels: no lookup table, which would have to be
    initialised and tracked wherever the graph goes. Takes memory for (names in the batch) x K comparisons.

    Args:
        names: string [batch, None], any number per row, repetitions allowed.
        labels: the K label names; a name that is none of them counts for nothing.

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
