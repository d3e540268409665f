"""Head for exactly one label per image: a softmax over K logits, or for two labels one sigmoid unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.base.errors import ConfigError
from components.labels.learning.defaults import DROPOUT, FOCAL_GAMMA
from components.labels.learning.names import multi_hot
from components.labels.learning.refusals import need_two
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
    """Encodes label names as one-hot rows, in a TensorFlow graph.

    Args:
        names_present: string [batch, None], the label of each image.
        names_unknown: not used: no name is present for an image whose label is unknown.
        labels: names of the K labels.

    Returns:
        float32 [batch, K]; a row of -1, which loss and metrics ignore, unless exactly one of `labels` is present.
    """
    import tensorflow as tf

    hits = multi_hot(names_present, labels)
    one = tf.math.count_nonzero(hits, axis=1, keepdims=True) == 1
    return tf.where(one, tf.cast(hits, tf.float32), -1.0)


def head(features: keras.KerasTensor, classes: int, *, positive: int | None = None) -> keras.KerasTensor:
    """Builds the last layers: a unit per label, or one for two labels.

    Args:
        features: pooled features [batch, F].
        classes: number of labels K, at least 2.
        positive: for K = 2, the index of the label that a single sigmoid unit z stands for. The label has the logit z
            and the other one 0, so that softmax gives sigmoid(z), and all other code works as for K labels. None: K
            units.

    Returns:
        logits, float32 [batch, K].

    Raises:
        ConfigError: there are fewer than two labels, or `positive` is given without exactly two.
    """
    import keras

    need_two(classes)
    x = keras.layers.Dropout(DROPOUT)(features)
    # Always float32: a softmax in 16 bits rounds small probabilities to 0.
    if positive is None:
        return keras.layers.Dense(classes, dtype="float32", name="logits")(x)
    _one_of_two(classes, positive)
    z = keras.layers.Dense(1, dtype="float32", name="logit")(x)
    zero = keras.ops.zeros_like(z)
    return keras.ops.concatenate([zero, z] if positive == 1 else [z, zero], axis=-1)


def loss(
    kind: Kind = "cross_entropy",
    *,
    alpha: float | Sequence[float] | None = None,
    gamma: float = FOCAL_GAMMA,
    weights: Sequence[float] | None = None,
    adjustment: Sequence[float] | None = None,
    positive: int | None = None,
) -> keras.losses.Loss:
    """Builds cross-entropy or focal loss of target and logits [batch, K]; see `losses` for the formulas.

    A target may give degrees, see `losses`. The weight of an example is its own weight times weights[true label], and 0
    for a row of -1.

    Args:
        kind: "cross_entropy" or "focal".
        alpha: factor of focal loss, one per label or one for all of them. With `positive`, a single number is the
            binary alpha of the paper: alpha for the positive label and 1 - alpha for the other.
        gamma: exponent of focal loss.
        weights: [K], label weights; None for ones.
        adjustment: [K], added to the logits; see `labels.priors`.
        positive: see `head`.

    Raises:
        ConfigError: see `losses.Known`.
    """
    from components.labels.learning.losses import SoftmaxOfDegrees

    if positive is not None and isinstance(alpha, int | float):
        alpha = [1 - alpha, alpha] if positive == 1 else [alpha, 1 - alpha]
    return SoftmaxOfDegrees(kind, alpha, gamma, weights, adjustment)


def metrics(classes: int) -> list[keras.metrics.Metric]:
    """Builds the metric of training: accuracy over the examples whose label is known."""
    from components.labels.learning.measures import Accuracy

    return [Accuracy(name="accuracy")]


def probabilities(logits: keras.KerasTensor) -> keras.KerasTensor:
    """Converts logits [batch, K] to probabilities that sum to 1, float32 [batch, K]."""
    import keras

    return keras.ops.softmax(keras.ops.cast(logits, "float32"), axis=-1)


def _one_of_two(classes: int, positive: int) -> None:
    if classes != 2 or positive not in (0, 1):
        raise ConfigError(
            f"labels.positive: one sigmoid unit decides between two names, but there are {classes}; "
            "leave labels.positive out, or name two labels, one of them the positive"
        )
