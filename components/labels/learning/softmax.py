"""Label kind: each image has exactly one label. Softmax over K logits; two names may share one sigmoid unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.base.errors import ConfigError
from components.labels.learning.names import among
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
    """One-hot rows; TensorFlow graph code.

    Args:
        names_present: string [batch, None], the label of each image.
        names_unknown: not needed: an image of unknown label has none present.
        labels: the K label names.

    Returns:
        float32 [batch, K]; a row of -1, which takes part in nothing, where not exactly one of `labels` is present.
    """
    import tensorflow as tf

    hits = among(names_present, labels)
    one = tf.math.count_nonzero(hits, axis=1, keepdims=True) == 1
    return tf.where(one, tf.cast(hits, tf.float32), -1.0)


def head(features: keras.KerasTensor, classes: int, *, positive: int | None = None) -> keras.KerasTensor:
    """Pooled features -> logits.

    Args:
        features: [batch, F].
        classes: K, 2 or more.
        positive: for K = 2, the index of the label that one sigmoid unit z decides on. Its logit is z and the other's
            0, so that softmax gives sigmoid(z) and everything else stays as it is for K labels. None: K units.

    Returns:
        float32 [batch, K].

    Raises:
        ConfigError: fewer than two labels, or `positive` without exactly two.
    """
    import keras

    need_two(classes)
    x = keras.layers.Dropout(0.2)(features)
    # float32 whatever the precision of the rest: a softmax in 16 bit loses the small probabilities.
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
    gamma: float = 2.0,
    weights: Sequence[float] | None = None,
    positive: int | None = None,
) -> keras.losses.Loss:
    """Cross-entropy or focal loss of (target [batch, K], logits [batch, K]); see `losses` for the formulas.

    weight = example weight * weights[true label]; a row of -1 weighs nothing.

    Args:
        kind: "cross_entropy" or "focal".
        alpha: of focal loss: one factor per label, or one for all of them; with `positive`, a single number is the
            paper's binary alpha: that for the positive, and 1 - alpha for the other.
        gamma: of focal loss.
        weights: [K], label weights; None for ones.
        positive: see `head`.

    Raises:
        ConfigError: see `losses.Known`.
    """
    import keras

    from components.labels.learning.losses import Softmax

    def truth(target: Any) -> tuple[Any, Any]:
        return keras.ops.argmax(target, axis=-1), keras.ops.max(target, axis=-1) > 0

    if positive is not None and isinstance(alpha, int | float):
        alpha = [1 - alpha, alpha] if positive == 1 else [alpha, 1 - alpha]
    return Softmax(truth, kind, alpha, gamma, weights)


def metrics(classes: int) -> list[keras.metrics.Metric]:
    """What training shows: accuracy, of the rows that have a label."""
    from components.labels.learning.measures import Accuracy

    return [Accuracy(name="accuracy")]


def probabilities(logits: keras.KerasTensor) -> keras.KerasTensor:
    """Logits [batch, K] -> float32 [batch, K] that sum to 1."""
    import keras

    return keras.ops.softmax(keras.ops.cast(logits, "float32"), axis=-1)


def _one_of_two(classes: int, positive: int) -> None:
    if classes != 2 or positive not in (0, 1):
        raise ConfigError(
            f"labels.positive: one sigmoid unit decides between two names, but there are {classes}; "
            "leave labels.positive out, or name two labels, one of them the positive"
        )
