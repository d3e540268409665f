"""Losses from logits with label and example weights, in which the unknown takes part in nothing.

All of them are sum(weight * loss) / sum(weight) over the entries that are known (examples, labels of examples,
pixels), 0 where none is or none weighs anything; weight = example weight * label weight. Label weights follow the
ground truth, never the prediction. An epoch's loss in Keras is the mean of its batches', by their sizes.

Focal loss: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equation 5:
FL = alpha_t * (1 - p_t)^gamma * -log(p_t), p_t the probability given to the truth. alpha_t belongs to the loss, not
to the weights, so it does not enter the divisor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from components.base.errors import ConfigError

Kind = Literal["cross_entropy", "focal"]
# Below it 1 - p counts as 0; it keeps a power below 1 from an infinite slope there.
_TINY = 1e-30


class Known(keras.losses.Loss):
    """The common part. Subclasses say each entry's truth, weight and cross-entropy.

    Args:
        kind: "cross_entropy" or "focal".
        alpha: of focal loss, None for 1 throughout; a number, or one per label. What it means, the subclass says.
        gamma: of focal loss, 0 or more; 0 gives alpha_t * cross-entropy.
        weights: float [K], label weights; None for ones.

    Raises:
        ConfigError: no such kind, or `alpha` outside [0, 1], or `gamma` or a weight below 0 or not finite.
    """

    def __init__(
        self, kind: Kind, alpha: float | Sequence[float] | None, gamma: float, weights: Sequence[float] | None
    ) -> None:
        super().__init__(name="loss", reduction="mean_with_sample_weight")
        if kind not in ("cross_entropy", "focal"):
            raise ConfigError(f"training.loss: {kind!r} is neither cross_entropy nor focal")
        if kind == "cross_entropy" and alpha is not None:
            raise ConfigError("training.loss: alpha belongs to focal loss; with cross_entropy set label weights")
        self._gamma = float(_checked("gamma", gamma)) if kind == "focal" else 0.0
        self._alpha = None if alpha is None else _checked("alpha", alpha, most=1.0)
        self._weights = None if weights is None else _checked("label weights", weights)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Scalar float32 from target, logits and example weights [batch]."""
        for name, values in (("alpha", self._alpha), ("label weights", self._weights)):
            if isinstance(values, list) and len(values) != y_pred.shape[-1]:
                raise ValueError(f"{len(values)} {name} for {y_pred.shape[-1]} labels")
        weight = self.weight(y_true)
        if sample_weight is not None:
            shape = (-1,) + (1,) * (len(weight.shape) - 1)
            weight = weight * ops.reshape(ops.cast(sample_weight, weight.dtype), shape)
        return super().__call__(y_true, y_pred, sample_weight=weight)

    def weight(self, target: Any) -> Any:
        """Label weight of every entry, 0 for the unknown ones; float32."""
        raise NotImplementedError

    def _focal(self, cross_entropy: Any) -> Any:
        """(1 - p)^gamma * cross-entropy, where cross-entropy = -log p >= 0."""
        if self._gamma == 0:
            return cross_entropy
        return ops.power(ops.maximum(-ops.expm1(-cross_entropy), _TINY), self._gamma) * cross_entropy


class Softmax(Known):
    """One of K classes per entry: -log softmax(logits)[truth]. weight and alpha_t are those of the true class.

    Args:
        truth: target -> (class int32 [...], known bool [...]); the class of an unknown entry must be in range, too.
        others: see `Known`.
    """

    def __init__(
        self,
        truth: Callable[[Any], tuple[Any, Any]],
        kind: Kind,
        alpha: float | Sequence[float] | None,
        gamma: float,
        weights: Sequence[float] | None,
    ) -> None:
        super().__init__(kind, alpha, gamma, weights)
        self._truth = truth

    def weight(self, target: Any) -> Any:
        """[...], as `truth` gives."""
        truth, known = self._truth(ops.convert_to_tensor(target))
        return ops.cast(known, "float32") * _of(self._weights, truth)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Logits float32 [..., K] -> [...]."""
        truth, _ = self._truth(y_true)
        loss = self._focal(ops.sparse_categorical_crossentropy(truth, y_pred, from_logits=True))
        return loss * _of(self._alpha, truth)


class Sigmoid(Known):
    """K independent yes or no: -log sigmoid(logit) where a label applies, -log sigmoid(-logit) where it does not.

    weight = the label's weight where it applies, 1 where it does not; alpha_t = alpha where it applies, 1 - alpha
    where it does not, as in the paper (alpha 1 would leave nothing of the negatives; None takes 1 for both).
    """

    def weight(self, target: Any) -> Any:
        """[batch, K] from target [batch, K]: 1 applies, 0 does not, -1 nobody said."""
        target = ops.convert_to_tensor(target)
        own = 1.0 if self._weights is None else ops.convert_to_tensor(self._weights, "float32")
        return ops.cast(target >= 0, "float32") * ops.where(target > 0, own, 1.0)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Logits float32 [batch, K] -> [batch, K]."""
        applies = y_true > 0
        loss = self._focal(ops.softplus(ops.where(applies, -y_pred, y_pred)))
        if self._alpha is None:
            return loss
        alpha = ops.convert_to_tensor(self._alpha, "float32")
        return loss * ops.where(applies, alpha, 1.0 - alpha)


def _of(values: Any, truth: Any) -> Any:
    """values[truth]; a number is every class's, None is 1."""
    if values is None or isinstance(values, float):
        return 1.0 if values is None else values
    return ops.take(ops.convert_to_tensor(values, "float32"), truth)


def _checked(name: str, given: float | Sequence[float], most: float = np.inf) -> Any:
    """A float or a list of floats, all of them finite and in [0, most]."""
    values = np.asarray(given, np.float64)
    if not (np.isfinite(values) & (values >= 0) & (values <= most)).all():
        raise ConfigError(
            f"training.loss: {name} must be finite and {'0 or more' if most == np.inf else 'in [0, 1]'}, not {given}"
        )
    return values.tolist()
