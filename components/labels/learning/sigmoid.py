"""Head for any number of labels per image: K independent sigmoid units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.labels.learning.defaults import DROPOUT, FOCAL_GAMMA
from components.labels.learning.names import multi_hot
from components.labels.learning.refusals import refuse_positive
from components.labels.weights import image_counts as count

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from components.labels.learning.losses import Kind

__all__ = ["count", "encode", "head", "loss", "metrics", "probabilities"]


def encode(
    names_present: tf.SparseTensor | tf.RaggedTensor,
    names_unknown: tf.SparseTensor | tf.RaggedTensor | None,
    labels: Sequence[str],
) -> tf.Tensor:
    """Encodes label names as multi-hot rows, in a TensorFlow graph.

    Args:
        names_present: string [batch, None], the names that apply to each image.
        names_unknown: string [batch, None], the names for which it is unknown whether they apply, or None. A name that
            is also present applies.
        labels: names of the K labels.

    Returns:
        float32 [batch, K]: 1 the label applies, 0 it does not, -1 it is unknown.
    """
    import tensorflow as tf

    target = tf.cast(multi_hot(names_present, labels), tf.float32)
    if names_unknown is None:
        return target
    return tf.where(multi_hot(names_unknown, labels) & (target == 0), -1.0, target)


def head(features: keras.KerasTensor, classes: int, *, positive: int | None = None) -> keras.KerasTensor:
    """Builds the last layers: one independent unit per label.

    Args:
        features: pooled features [batch, F].
        classes: number of labels K.
        positive: must be None.

    Returns:
        logits, float32 [batch, K].

    Raises:
        ConfigError: `positive` is given.
    """
    import keras

    refuse_positive(positive, "multi_label")
    x = keras.layers.Dropout(DROPOUT)(features)
    return keras.layers.Dense(classes, dtype="float32", name="logits")(x)


def loss(
    kind: Kind = "cross_entropy",
    *,
    alpha: float | Sequence[float] | None = None,
    gamma: float = FOCAL_GAMMA,
    weights: Sequence[float] | None = None,
    adjustment: Sequence[float] | None = None,
    positive: int | None = None,
) -> keras.losses.Loss:
    """Builds binary cross-entropy or focal loss of target and logits [batch, K]; see `losses` for the formulas.

    With the target t, the weight v of the example and w of the label, summed over the entries whose t is 0 or 1:

        sum v (t w -log sigmoid(z) + (1 - t) -log sigmoid(-z)) / sum v (t w + 1 - t)

    Only positives are weighted. With median-frequency weights, w = median / frequency, the positives of every label
    together weigh frequency * w = median of the images: those of a rare label as much as those of a common one. For a
    label that applies nearly always, w < 1 gives its few negatives influence. Weights on negatives as well would scale
    labels against each other and leave the balance within each label unchanged. The price is that the model learns
    odds that are w times those of the data.

    Args:
        kind: "cross_entropy" or "focal".
        alpha: factor of focal loss, one for all labels or [K]: alpha if a label applies, 1 - alpha if it does not.
        gamma: exponent of focal loss.
        weights: [K], label weights; None for ones.
        adjustment: [K], added to the logits; see `labels.priors`.
        positive: must be None.

    Raises:
        ConfigError: `positive` is given, or see `losses.Known`.
    """
    from components.labels.learning.losses import Sigmoid

    refuse_positive(positive, "multi_label")
    return Sigmoid(kind, alpha, gamma, weights, adjustment)


def metrics(classes: int) -> list[keras.metrics.Metric]:
    """Builds the metrics of training: binary accuracy at logit 0 and cosine similarity, over known labels."""
    from components.labels.learning.measures import BinaryAccuracy, CosineSimilarity

    return [BinaryAccuracy(name="binary_accuracy"), CosineSimilarity(name="cosine_similarity")]


def probabilities(logits: keras.KerasTensor) -> keras.KerasTensor:
    """Converts logits [batch, K] to independent probabilities, float32 [batch, K]; they do not sum to 1."""
    import keras

    return keras.ops.sigmoid(keras.ops.cast(logits, "float32"))
