"""Training steps that learn from images without labels by agreement: FixMatch, with two of its successors.

The network's own answer to an unlabelled image, if it is sure, is the label of a strongly changed copy of this image
(Sohn et al., "FixMatch", NeurIPS 2020). What counts as sure, and the papers for it, are in `pseudo`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from components.data.features import IGNORED_ID
from components.labels.kind import LabelKind
from components.model.fitting.accumulation import InParts
from components.model.fitting.unlabelled import pseudo, strong

# Probability from which an answer is sure, and weight of the loss of unlabelled images: both as in FixMatch.
THRESHOLD = 0.95
WEIGHT = 1.0
# Least threshold of any label, chosen by hand. FlexMatch has none, and accepts all answers at first, as few are sure;
# of the answers of a head solved on ten clothing photos per label, 47% were wrong.
_LOWEST = 0.7
_LEAST_STEPS = 10  # steps over which answers are averaged, at least
_AUGMENTATION = "augmentation"  # name of the layer in `network.build`


class Consistent(InParts):
    """A model that learns from labelled and unlabelled images in one batch.

    The loss of a batch, with sums over its unlabelled entries, their weights v, and sure = 1 or 0, is

        loss of the labelled images + WEIGHT * sum v * sure * loss(pseudo-label, strong copy) / sum v

    An entry is an image, a label of an image or a pixel. Its loss and its weight are those of the compiled loss, with
    the label weight of the pseudo-label, so that a pseudo-label counts like a label. Pseudo-labels come from the
    network in inference mode on images after the model's own augmentation, and have no gradient.

    A row is unlabelled if all of its target is unknown: -1, or `features.IGNORED_ID` in masks. Metrics and `evaluate`
    are those of the functional model. The averages of answers are weights of this model and not of the layers, so a
    backup contains them and the functional model does not.

    Args:
        inputs, outputs: of a functional model: images uint8 [N, H, W, 3] -> logits float32 [N, K] or [N, H, W, K].
        kind: the label kind.
        shares: of each label among what is labelled, [K], see `priors.shares`; of exclusive labels, they are divided by
            their sum.
        steps: of an epoch; answers are averaged over about so many.
        seed: of the strong changes.
        part: see `InParts`.
    """

    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        *,
        kind: LabelKind,
        shares: Sequence[float],
        steps: int,
        seed: int,
        part: int | None = None,
    ) -> None:
        super().__init__(inputs, outputs, part=part)
        self._exclusive, self._per_pixel = kind.exclusive, kind.per_pixel
        self._momentum = 1 - 1 / max(_LEAST_STEPS, steps)
        own = np.asarray(shares, np.float32)
        self._shares = own / own.sum() if kind.exclusive else np.stack([1 - own, own], axis=-1)
        # Shear and shift would move the pixels away from their labels.
        self._strong = strong.colours(seed) if kind.per_pixel else strong.RandAugment(seed)
        state = {"shape": self._shares.shape, "trainable": False, "dtype": "float32", "aggregation": "mean"}
        self._learnt = self.add_weight(name="learnt", initializer="zeros", **state)
        self._means = self.add_weight(name="means", initializer=keras.initializers.Constant(self._shares), **state)

    def train_step(self, data: tuple[Any, Any, Any]) -> dict[str, Any]:
        """Trains on (inputs, targets, example weights) of one batch, called by `fit`; returns the metrics."""
        images, target, weight = data
        unlabelled = self._unlabelled(target)
        every, labels = self._pseudo_labels(images, unlabelled)
        known = self.known_loss(data)
        whole = self.loss.total_weight(every, weight)

        def loss(x: Any, y: Any, w: Any, pseudo_labels: Any) -> tuple[Any, Any]:
            logits = self(x, training=True)
            share = tf.math.divide_no_nan(self.loss.total_weight(pseudo_labels, w), whole)
            agreement = self.loss(pseudo_labels, logits, w) * share
            return known(x, y, w, logits) + WEIGHT * agreement, logits

        changed = tf.cast(tf.clip_by_value(tf.round(self._strong(images, training=True)), 0, 255), images.dtype)
        shown = tf.where(unlabelled[:, None, None, None], changed, images)
        return self.learn((shown, target, weight, labels), loss)

    def _unlabelled(self, target: Any) -> Any:
        """Tells which rows of a target have no label: bool [N]."""
        unknown = target == IGNORED_ID if self._per_pixel else target < 0
        return ops.all(ops.reshape(unknown, (ops.shape(target)[0], -1)), axis=-1)

    def _pseudo_labels(self, images: Any, unlabelled: Any) -> tuple[Any, Any]:
        """Answers of unlabelled images in the encoding of targets: all of them, and the sure ones; else unknown."""
        probabilities = pseudo.states(self._answers(images), exclusive=self._exclusive)
        aligned = pseudo.aligned(probabilities, self._shares, self._means)
        limits = pseudo.thresholds(self._learnt, self._shares, THRESHOLD, _LOWEST)
        labels = [self._encoded(pseudo.sure(aligned, limit), unlabelled) for limit in (0.0, limits)]
        rows = ops.cast(unlabelled, "float32")
        self._follow(self._means, pseudo.mean(probabilities, rows), rows)
        self._follow(self._learnt, pseudo.mean(pseudo.sure(aligned, THRESHOLD), rows), rows)
        return labels[0], labels[1]

    def _answers(self, images: Any) -> Any:
        """Logits of weakly changed images, in inference mode: without dropout, with the statistics of all batches."""
        weak = next((layer for layer in self.layers if layer.name == _AUGMENTATION), None)
        if weak is not None:
            changed = weak(tf.cast(images, tf.float32), training=True)
            images = tf.cast(tf.clip_by_value(tf.round(changed), 0, 255), images.dtype)
        return tf.stop_gradient(self(images, training=False))

    def _encoded(self, sure: Any, unlabelled: Any) -> Any:
        """Encodes sure states [N, ..., S] as a target, in which what is not sure, or has a label, is unknown."""
        found = (ops.max(sure, axis=-1) > 0) & ops.reshape(unlabelled, (-1,) + (1,) * (len(sure.shape) - 2))
        if self._per_pixel:
            return ops.where(found, ops.cast(ops.argmax(sure, axis=-1), "uint8"), np.uint8(IGNORED_ID))
        return ops.where(found[:, None], sure, -1.0) if self._exclusive else ops.where(found, sure[..., 1], -1.0)

    def _follow(self, average: Any, value: Any, rows: Any) -> None:
        """Moves a running average towards the value of a batch, unless it has no unlabelled row."""
        moved = self._momentum * average + (1 - self._momentum) * value
        average.assign(ops.where(ops.max(rows) > 0, moved, average))
