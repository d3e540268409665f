"""Label kind: any number of labels per image. K independent sigmoid units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.labels.learning.names import among
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
    """Multi-hot rows; TensorFlow graph code.

    Args:
        names_present: string [batch, None], the names that apply to each image.
        names_unknown: string [batch, None], those of which nobody said; None for none. A name that is present, too,
            applies.
        labels: the K label names.

    Returns:
        float32 [batch, K]: 1 applies, 0 does not, -1 nobody said.
    """
    import tensorflow as tf

    target = tf.cast(among(names_present, labels), tf.float32)
    if names_unknown is None:
        return target
    return tf.where(among(names_unknown, labels) & (target == 0), -1.0, target)


def head(features: keras.KerasTensor, classes: int, *, positive: int | None = None) -> keras.KerasTensor:
    """Pooled features [batch, F] -> logits float32 [batch, K], one independent unit per label.

    Raises:
        ConfigError: `positive` is given.
    """
    import keras

    refuse_positive(positive, "multi_label")
    x = keras.layers.Dropout(0.2)(features)
    return keras.layers.Dense(classes, dtype="float32", name="logits")(x)


def loss(
    kind: Kind = "cross_entropy",
    *,
    alpha: float | Sequence[float] | None = None,
    gamma: float = 2.0,
    weights: Sequence[float] | None = None,
    positive: int | None = None,
) -> keras.losses.Loss:
    """Binary cross-entropy or focal loss of (target [batch, K], logits [batch, K]); see `losses` for the formulas.

    With t the target, v the example's and w the label's weight, over the entries whose t is 0 or 1:

        sum v (t w -log sigmoid(z) + (1 - t) -log sigmoid(-z)) / sum v (t w + 1 - t)

    The weight stands on the positives only. With median-frequency weights, w = median / frequency, all the positives
    of a label weigh frequency * w = median of the images: a rare label's as much as a common one's, and where a label
    applies nearly always, w < 1 lets its few negatives be heard. Weights on the negatives as well would scale whole
    labels against each other and leave each label's own balance as it was. The price: the odds that the model learns
    are w times those of the data.

    Args:
        kind: "cross_entropy" or "focal".
        alpha: of focal loss, one for all labels or [K]: alpha where a label applies, 1 - alpha where it does not.
        gamma: of focal loss.
        weights: [K], label weights; None for ones.
        positive: must be None.

    Raises:
        ConfigError: `positive` is given, or see `losses.Known`.
    """
    from components.labels.learning.losses import Sigmoid

    refuse_positive(positive, "multi_label")
    return Sigmoid(kind, alpha, gamma, weights)


def metrics(classes: int) -> list[keras.metrics.Metric]:
    """What training shows: binary accuracy at logit 0, and cosine similarity of the probabilities; of what is known."""
    from components.labels.learning.measures import BinaryAccuracy, CosineSimilarity

    return [BinaryAccuracy(name="binary_accuracy"), CosineSimilarity(name="cosine_similarity")]


def probabilities(logits: keras.KerasTensor) -> keras.KerasTensor:
    """Logits [batch, K] -> float32 [batch, K], each in [0, 1] by itself: they do not sum to 1."""
    import keras

    return keras.ops.sigmoid(keras.ops.cast(logits, "float32"))
