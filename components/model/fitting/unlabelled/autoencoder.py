"""Training steps that learn from images without labels by reconstruction: one encoder with two heads.

The encoder learns to classify images that have a label, and at the same time, with a decoder, to reconstruct all
images (Zhang et al., "Augmenting Supervised Neural Networks with Unsupervised Objectives", ICML 2016).
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from components.model.fitting.accumulation import InParts
from components.model.networks.network import Parts

# Weight of the mean squared error.
WEIGHT = 1.0
_CHANNELS = (128, 64, 32)  # of the decoder, which doubles the height and width with each
_WHITE = 255.0
_MAP_RANK = 4  # feature maps: [batch, height, width, channels]
_AUGMENTATION = "augmentation"  # name of the layer in `network.build`


class Reconstructing(InParts):
    """A model that learns to classify and to reconstruct in one batch.

    With example weights v, the loss of a batch is

        loss of the labelled images + WEIGHT * sum v * mean squared error / sum v

    over all images in the second term. The error is that of the decoder's output against the image that the encoder
    sees, which is the one after the model's own augmentation, in 0-1 and resized to the size of this output. Metrics
    and `evaluate` are those of the functional model, and the decoder is no part of it.

    Args:
        inputs, outputs: of a functional model: images -> logits.
        both: images -> [logits, reconstruction float32 [N, h, w, 3], original of the same shape], which shares the
            layers of the functional model.
        part: see `InParts`.
    """

    def __init__(self, inputs: Any, outputs: Any, *, both: keras.Model, part: int | None = None) -> None:
        super().__init__(inputs, outputs, part=part)
        self._both = both

    def train_step(self, data: tuple[Any, Any, Any]) -> dict[str, Any]:
        """Trains on (inputs, targets, example weights) of one batch, called by `fit`; returns the metrics."""
        known = self.known_loss(data)
        whole = tf.reduce_sum(data[2])

        def loss(x: Any, y: Any, w: Any) -> tuple[Any, Any]:
            logits, reconstruction, original = self._both(x, training=True)
            error = ops.mean(ops.square(reconstruction - original), axis=(1, 2, 3))
            share = tf.math.divide_no_nan(tf.reduce_sum(w * error), whole)
            return known(x, y, w, logits) + WEIGHT * share, logits

        return self.learn(data, loss)


def build(parts: Parts, part: int | None = None) -> Reconstructing:
    """Adds a decoder to a network.

    The decoder starts from the last feature map, for masks the coarsest one, as finer maps could show the image without
    the rest of the encoder. It doubles the height and width three times, or as often as the image is large enough for.
    A network with pooled features of its own counts as a map of one pixel.

    Args:
        parts: the network; its layers are shared.
        part: see `InParts`.
    """
    images = parts.model.input
    x = ops.cast(images, "float32")
    augmentation = next((layer for layer in parts.model.layers if layer.name == _AUGMENTATION), None)
    x = x if augmentation is None else augmentation(x)
    extractor = parts.extractor
    features = extractor.output
    last = features[-1] if isinstance(features, list) else features
    last = last if len(last.shape) == _MAP_RANK else extractor.layers[-1].input  # of the pooling
    extracted, last = keras.Model(extractor.input, [features, last])(x)
    reconstruction = _decoder(last, images.shape[1:3])(last)
    original = ops.image.resize(x / _WHITE, reconstruction.shape[1:3], interpolation="bilinear", antialias=True)
    both = keras.Model(images, [parts.head(extracted), reconstruction, original], name="both")
    return Reconstructing(parts.model.input, parts.model.output, both=both, part=part)


def _decoder(last: keras.KerasTensor, size: tuple[int, int]) -> keras.Model:
    """Builds transposed convolutions from a map [N, h, w, F], or features [N, F], to an image [N, 8 h, 8 w, 3]."""
    x = inputs = keras.Input(last.shape[1:], dtype=last.dtype)
    if len(x.shape) < _MAP_RANK:
        x = keras.layers.Reshape((1, 1, x.shape[-1]))(x)
    for channels in _CHANNELS:
        if 2 * x.shape[1] <= size[0] and 2 * x.shape[2] <= size[1]:
            x = keras.layers.Conv2DTranspose(channels, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(inputs, keras.layers.Conv2D(3, 3, padding="same", dtype="float32")(x), name="decoder")
