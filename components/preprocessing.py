"""Transform's preprocessing_fn: label names -> one-hot rows, label counts -> weights. No image bytes anywhere."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components import features
from components.labels import single, weights


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Encodes labels and computes their weights over the train split.

    Args:
        inputs: `features.LABEL`, string [batch].
        custom_config: `labels`, the label names in the order of the model's outputs.

    Returns:
        `features.TARGET`, float32 [batch, K]; `features.LABEL_WEIGHTS`, float32 [batch, K], the same row throughout.
    """
    names = custom_config["labels"]
    present = tf.sparse.from_dense(tf.reshape(inputs[features.LABEL], [-1, 1]))
    one_hot = single.encode(present, None, names)
    xp = tf.experimental.numpy
    own, total = (tft.sum(x, reduce_instance_dims=False) for x in single.count(one_hot, xp))
    row = tf.cast(weights.label_weights(own, total, len(names), xp), tf.float32)
    return {
        features.TARGET: one_hot,
        features.LABEL_WEIGHTS: tf.broadcast_to(row, tf.shape(one_hot)),
    }
