"""The exported SavedModel: encoded images or tf.Examples in, label names and probabilities, or masks, out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from components import features, images
from components.labels import kinds
from components.labels.mask import decode_mask

if TYPE_CHECKING:
    from components.model import Parts

LABELS, PROBABILITIES, LOGITS, MASK = "labels", "probabilities", "logits", "mask"
CONFUSION = "confusion"  # pixels by truth and prediction [batch, K, K], of segmentation
EVALUATE = "evaluate"
FORMAT = 1  # of a pushed model; one of another format is not evaluated beside a candidate


def evaluated(task: str) -> set[str]:
    """Names of the outputs of the signature `EVALUATE`."""
    return {CONFUSION if task == "segmentation" else PROBABILITIES}


class _Served(tf.Module):
    """What every task's signatures share. `images.decode` is the one that training used."""

    def __init__(self, parts: Parts, labels: Sequence[str], image_size: tuple[int, int], task: str) -> None:
        super().__init__()
        # Without the augmentation, which serves training only and whose random state cannot be exported.
        self.extractor, self.head = parts.extractor, parts.head
        self.names = tf.constant(list(labels))
        self._size, self._classes = image_size, len(labels)
        self._probabilities = kinds.kind(task).probabilities

    def _parsed(self, examples: tf.Tensor, *wanted: str) -> list[tf.Tensor]:
        spec = {name: tf.io.FixedLenFeature([], tf.string) for name in wanted}
        parsed = tf.io.parse_example(examples, spec)
        return [parsed[name] for name in wanted]

    def _logits(self, image_bytes: tf.Tensor) -> tf.Tensor:
        pixels = tf.map_fn(
            lambda encoded: images.decode(encoded, self._size),
            image_bytes,
            fn_output_signature=tf.TensorSpec([*self._size, 3], tf.uint8),
            parallel_iterations=32,
        )
        return self.head(self.extractor(tf.cast(pixels, tf.float32), training=False), training=False)


class _Labels(_Served):
    """Single-label and multi-label."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serving_default(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """image_bytes string [batch] -> labels string, probabilities and logits float32, each [batch, K]."""
        logits = self._logits(image_bytes)
        return {
            LABELS: tf.tile(self.names[tf.newaxis], [tf.shape(logits)[0], 1]),
            PROBABILITIES: self._probabilities(logits),
            LOGITS: logits,
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """The same from serialised tf.Examples."""
        return self.serving_default(*self._parsed(examples, features.IMAGE))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the evaluation needs: probabilities [batch, K]."""
        return {PROBABILITIES: self._probabilities(self._logits(*self._parsed(examples, features.IMAGE)))}


class _Masks(_Served):
    """Segmentation."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serving_default(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """image_bytes string [batch] -> mask uint8 [batch, H, W], indices into labels string [K]."""
        return {MASK: tf.cast(tf.argmax(self._logits(image_bytes), axis=-1), tf.uint8), LABELS: tf.identity(self.names)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """The same from serialised tf.Examples."""
        return self.serving_default(*self._parsed(examples, features.IMAGE))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the evaluation needs: confusion float32 [batch, K, K], pixels by truth and prediction.

        Counted at the model's size, with the truth's nearest pixels; ignored ones are left out.
        """
        encoded, masks = self._parsed(examples, features.IMAGE, features.MASK)
        logits = self._logits(encoded)
        truth = tf.map_fn(
            lambda mask: decode_mask(mask, self._size),
            masks,
            fn_output_signature=tf.TensorSpec(list(self._size), tf.uint8),
        )
        known = tf.cast(truth != features.IGNORED_ID, tf.float32)
        k = self._classes
        cells = tf.cast(truth, tf.int32) * k + tf.argmax(logits, axis=-1, output_type=tf.int32)
        cells = tf.where(truth == features.IGNORED_ID, 0, cells)
        pixels = self._size[0] * self._size[1]
        counts = tf.math.bincount(
            tf.reshape(cells, [-1, pixels]),
            weights=tf.reshape(known, [-1, pixels]),
            minlength=k * k,
            maxlength=k * k,
            axis=-1,
        )
        # A model that answers NaN has no largest logit; its counts must not look as if it had.
        counts = tf.where(tf.reduce_all(tf.math.is_finite(logits), axis=[1, 2, 3])[:, tf.newaxis], counts, float("nan"))
        return {CONFUSION: tf.reshape(counts, [-1, k, k])}


def export(parts: Parts, labels: Sequence[str], image_size: tuple[int, int], task: str, folder: str) -> None:
    """Writes the SavedModel with the signatures `serving_default`, `examples` and `evaluate`.

    Args:
        parts: the trained network.
        labels: K label names in the order of its outputs.
        image_size: height and width in pixels that it was built for.
        task: as in the configuration.
        folder: where to.
    """
    served = (_Masks if task == "segmentation" else _Labels)(parts, labels, image_size, task)
    tf.saved_model.save(
        served,
        folder,
        signatures={
            "serving_default": served.serving_default,
            "examples": served.examples,
            EVALUATE: served.evaluate,
        },
    )
