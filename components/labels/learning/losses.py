"""Losses from logits with label and example weights. Unknown labels are excluded.

Each loss is sum(weight * loss) / sum(weight) over the known entries (examples, labels of examples, or pixels), and 0 if
there is none or all weights are 0; weight = example weight * label weight. Label weights follow the ground truth, never
the prediction. The loss that Keras shows for an epoch is the mean over batches, weighted by their sizes.

Labels of images may be given by degrees, as those that were guessed: of exclusive labels one for each, which sum to
1; of independent labels numbers from 0 to 1. The weight is then the mean over what the truth may be, and so is
weight * loss, as if the image were there once for each of them, as often as the degree says.

Focal loss: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equation 5:
FL = alpha_t * (1 - p_t)^gamma * -log(p_t), where p_t is the probability of the true class. alpha_t is a factor of the
loss and not a weight, so the divisor does not contain it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from components.base.errors import ConfigError

Kind = Literal["cross_entropy", "focal"]
# Smallest value of 1 - p: at 0, a power below 1 has an infinite slope.
_TINY = 1e-30


def devices_total(own: Any) -> tuple[Any, int]:
    """The sum of a number over the devices that share a batch, and how many there are."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:  # None while a network is built for several
        return own, 1
    return context.all_reduce("sum", own), context.num_replicas_in_sync


class Known(keras.losses.Loss):
    """Common part of the losses. Subclasses define the truth, weight and cross-entropy of each entry.

    Args:
        kind: "cross_entropy" or "focal".
        alpha: factor of focal loss in [0, 1], a number or one per label; see the subclass. None: 1 for all.
        gamma: exponent of focal loss, 0 or more; 0 gives alpha_t * cross-entropy.
        weights: label weights [K], 0 or more; None for ones.
        adjustment: [K], added to the logits, see `labels.priors`; None for zeros.

    Raises:
        ConfigError: there is no such kind, or a number is not finite or outside its range.
    """

    def __init__(
        self,
        kind: Kind,
        alpha: float | Sequence[float] | None,
        gamma: float,
        weights: Sequence[float] | None,
        adjustment: Sequence[float] | None = None,
    ) -> None:
        super().__init__(name="loss", reduction="mean_with_sample_weight")
        if kind not in ("cross_entropy", "focal"):
            raise ConfigError(f"training.loss: {kind!r} is neither cross_entropy nor focal")
        if kind == "cross_entropy" and alpha is not None:
            raise ConfigError("training.loss: alpha belongs to focal loss; with cross_entropy set label weights")
        self._gamma = float(_checked("gamma", gamma)) if kind == "focal" else 0.0
        self._alpha = None if alpha is None else _checked("alpha", alpha, most=1.0)
        self._weights = None if weights is None else _checked("label weights", weights)
        self._adjustment = None if adjustment is None else [float(value) for value in adjustment]

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Computes the loss, scalar float32, from target, logits and example weights [batch]."""
        given = (("alpha", self._alpha), ("label weights", self._weights), ("adjustments", self._adjustment))
        for name, values in given:
            if isinstance(values, list) and len(values) != y_pred.shape[-1]:
                raise ValueError(f"{len(values)} {name} for {y_pred.shape[-1]} labels")
        loss = super().__call__(y_true, y_pred, sample_weight=self._entries(y_true, sample_weight))
        # Keras takes the mean over the devices that share a batch; their weights may have other sums.
        own = self.total_weight(y_true, sample_weight)
        whole, devices = devices_total(own)
        return loss if devices == 1 else loss * ops.divide_no_nan(own * devices, whole)

    def total_weight(self, y_true: Any, sample_weight: Any = None) -> Any:
        """The sum of the weights of all entries, scalar float32, by which the loss is divided."""
        return ops.sum(self._entries(y_true, sample_weight))

    def weight(self, target: Any) -> Any:
        """Label weight of every entry, float32; 0 for unknown entries."""
        raise NotImplementedError

    def _entries(self, target: Any, example_weight: Any) -> Any:
        """The weight of every entry: label weight times example weight."""
        weight = self.weight(target)
        if example_weight is None:
            return weight
        shape = (-1,) + (1,) * (len(weight.shape) - 1)
        return weight * ops.reshape(ops.cast(example_weight, weight.dtype), shape)

    def _adjusted(self, logits: Any) -> Any:
        return logits if self._adjustment is None else logits + ops.convert_to_tensor(self._adjustment, logits.dtype)

    def _focal(self, cross_entropy: Any) -> Any:
        """Computes (1 - p)^gamma * cross-entropy, where cross-entropy = -log p >= 0."""
        if self._gamma == 0:
            return cross_entropy
        return ops.power(ops.maximum(-ops.expm1(-cross_entropy), _TINY), self._gamma) * cross_entropy


class Softmax(Known):
    """Loss for one of K classes per entry: -log softmax(logits)[truth], with the weight and alpha of the true class.

    Args:
        truth: target -> (class int32 [...], known bool [...]). The class of an unknown entry must be valid as well.
        kind, alpha, gamma, weights, adjustment: see `Known`.
    """

    def __init__(
        self,
        truth: Callable[[Any], tuple[Any, Any]],
        kind: Kind,
        alpha: float | Sequence[float] | None,
        gamma: float,
        weights: Sequence[float] | None,
        adjustment: Sequence[float] | None = None,
    ) -> None:
        super().__init__(kind, alpha, gamma, weights, adjustment)
        self._truth = truth

    def weight(self, target: Any) -> Any:
        """Weight of the true class, float32 [...]; 0 for unknown entries."""
        truth, known = self._truth(ops.convert_to_tensor(target))
        return ops.cast(known, "float32") * _of_class(self._weights, truth)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Computes the loss of each entry, [...], from logits float32 [..., K]."""
        truth, _ = self._truth(y_true)
        loss = self._focal(ops.sparse_categorical_crossentropy(truth, self._adjusted(y_pred), from_logits=True))
        return loss * _of_class(self._alpha, truth)


class SoftmaxOfDegrees(Known):
    """Loss for one of K classes per image, given by degrees: -sum(degree * log softmax(logits)).

    With one-hot rows, it is `Softmax`.
    """

    def weight(self, target: Any) -> Any:
        """Mean weight over the classes, float32 [batch], for degrees [batch, K]; 0 for a row of -1."""
        return ops.sum(self._weighted(target), axis=-1)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Computes the loss of each image, [batch], from degrees and logits [batch, K]."""
        weighted = self._weighted(y_true)
        losses = self._focal(-ops.log_softmax(self._adjusted(y_pred), axis=-1))
        if self._alpha is not None:
            losses = losses * ops.convert_to_tensor(self._alpha, "float32")
        total = ops.sum(weighted, axis=-1)
        return ops.sum(weighted * losses, axis=-1) / ops.where(total > 0, total, 1.0)

    def _weighted(self, target: Any) -> Any:
        degrees = ops.maximum(ops.cast(target, "float32"), 0.0)
        return degrees if self._weights is None else degrees * ops.convert_to_tensor(self._weights, "float32")


class Sigmoid(Known):
    """Loss for K independent labels: -log sigmoid(logit) if a label applies, -log sigmoid(-logit) if it does not.

    The weight is that of the label if it applies, else 1. alpha_t is alpha if the label applies and 1 - alpha if it
    does not, as in the paper, so alpha 1 would remove all negatives; None takes 1 for both.
    """

    def weight(self, target: Any) -> Any:
        """Weight float32 [batch, K] for target [batch, K]: 1 the label applies, 0 it does not, -1 it is unknown."""
        return ops.add(*self._weighted(target))

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Computes the loss of each label, [batch, K], from logits float32 [batch, K]."""
        applies, not_ = self._weighted(y_true)
        logits = self._adjusted(y_pred)
        yes, no = self._focal(ops.softplus(-logits)), self._focal(ops.softplus(logits))
        if self._alpha is not None:
            alpha = ops.convert_to_tensor(self._alpha, "float32")
            yes, no = yes * alpha, no * (1.0 - alpha)
        total = applies + not_
        return (applies * yes + not_ * no) / ops.where(total > 0, total, 1.0)

    def _weighted(self, target: Any) -> tuple[Any, Any]:
        """How much each label counts as one that applies, and as one that does not: each float32 [batch, K]."""
        degree = ops.cast(target, "float32")
        known = ops.cast(degree >= 0, "float32")
        own = 1.0 if self._weights is None else ops.convert_to_tensor(self._weights, "float32")
        return known * degree * own, known * (1.0 - degree)


def _of_class(values: Any, truth: Any) -> Any:
    """Returns values[truth]; a single number is that of every class, None is 1."""
    if values is None or isinstance(values, float):
        return 1.0 if values is None else values
    return ops.take(ops.convert_to_tensor(values, "float32"), truth)


def _checked(name: str, given: float | Sequence[float], most: float = np.inf) -> Any:
    """Returns a float or a list of floats, after checking that all are finite and in [0, most]."""
    values = np.asarray(given, np.float64)
    if not (np.isfinite(values) & (values >= 0) & (values <= most)).all():
        raise ConfigError(
            f"training.loss: {name} must be finite and {'0 or more' if most == np.inf else 'in [0, 1]'}, not {given}"
        )
    return values.tolist()
