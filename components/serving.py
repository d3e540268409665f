"""The exported SavedModel: encoded images or tf.Examples in, label names and probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from components import features, images
from components.labels import single

if TYPE_CHECKING:
    from components.model import Parts

LABELS, PROBABILITIES, LOGITS = "labels", "probabilities", "logits"
CONFUSION = "confusion"  # pixels by truth and prediction [batch, K, K], of segmentation
EVALUATE = "evaluate"


class _Served(tf.Module):
    """The signatures. `images.decode` is the one that training used."""

    def __init__(self, parts: Parts, labels: Sequence[str], image_size: tuple[int, int]) -> None:
        super().__init__()
        # Without the augmentation, which serves training only and whose random state cannot be exported.
        self.extractor, self.head = parts.extractor, parts.head
        self.names = tf.constant(list(labels))
        self._size = image_size

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serving_default(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """image_bytes string [batch] -> labels string, probabilities and logits float32, each [batch, K]."""
        logits = self._logits(image_bytes)
        return {
            LABELS: tf.tile(self.names[tf.newaxis], [tf.shape(logits)[0], 1]),
            PROBABILITIES: single.probabilities(logits),
            LOGITS: logits,
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """The same from serialised tf.Examples."""
        return self.serving_default(self._images(examples))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the evaluation needs: probabilities [batch, K]."""
        return {PROBABILITIES: single.probabilities(self._logits(self._images(examples)))}

    def _images(self, examples: tf.Tensor) -> tf.Tensor:
        spec = {features.IMAGE: tf.io.FixedLenFeature([], tf.string)}
        return tf.io.parse_example(examples, spec)[features.IMAGE]

    def _logits(self, image_bytes: tf.Tensor) -> tf.Tensor:
        pixels = tf.map_fn(
            lambda encoded: images.decode(encoded, self._size),
            image_bytes,
            fn_output_signature=tf.TensorSpec([*self._size, 3], tf.uint8),
            parallel_iterations=32,
        )
        return self.head(self.extractor(tf.cast(pixels, tf.float32), training=False), training=False)


def export(parts: Parts, labels: Sequence[str], image_size: tuple[int, int], folder: str) -> None:
    """Writes the SavedModel with the signatures `serving_default`, `examples` and `evaluate`.

    Args:
        parts: the trained network.
        labels: K label names in the order of its outputs.
        image_size: height and width in pixels that it was built for.
        folder: where to.
    """
    served = _Served(parts, labels, image_size)
    tf.saved_model.save(
        served,
        folder,
        signatures={
            "serving_default": served.serving_default,
            "examples": served.examples,
            EVALUATE: served.evaluate,
        },
    )
