"""Transform's preprocessing_fn: turns label names into targets and label counts into weights. Reads no image bytes."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components.data import features
from components.labels import kinds, weights
from components.labels.learning.heads import head_of


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Encodes the labels and computes their weights over the train split.

    Args:
        inputs: the features of the schema: `features.LABEL` and `UNKNOWN`, or `PIXELS` and `IGNORED`.
        custom_config: `task`; `labels`, the K names in the order of the model's outputs; `count_ignored`, see
            `weights.pixel_counts`.

    Returns:
        `features.TARGET`, float32 [batch, K], unless the labels are those of pixels, whose targets are the masks;
        `features.LABEL_WEIGHTS`, float32 [batch, K], the same in every row.
    """
    names, kind = custom_config["labels"], kinds.kind(custom_config["task"])
    head, xp = head_of(kind), tf.experimental.numpy
    outputs = {}
    if kind.per_pixel:
        like = tf.cast(inputs[features.PIXELS], tf.float32)
        counts = head.count(
            inputs[features.PIXELS], inputs[features.IGNORED], xp, count_ignored=custom_config["count_ignored"]
        )
    else:
        like = head.encode(inputs[features.LABEL], inputs[features.UNKNOWN], names)
        outputs[features.TARGET] = like
        counts = head.count(like, xp)
    own, total = (tft.sum(x, reduce_instance_dims=False) for x in counts)
    row = tf.cast(weights.label_weights(own, total, len(names), xp), tf.float32)
    outputs[features.LABEL_WEIGHTS] = tf.broadcast_to(row, tf.shape(like))
    return outputs
