"""Head for masks, where each pixel has one label or is ignored: a decoder, and a softmax over K logits per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.data.features import IGNORED_ID
from components.labels.learning.defaults import BATCH_NORM_MOMENTUM, FOCAL_GAMMA
from components.labels.learning.refusals import need_two, refuse_positive
from components.labels.weights import pixel_counts as count

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from components.labels.learning.losses import Kind

__all__ = ["count", "decode_mask", "decoder", "loss", "metrics", "probabilities"]

# Channels of the decoder at its coarsest and finest level, and the step between levels; a skip connection has half as
# many. Chosen by hand; not measured.
_WIDEST, _NARROWEST, _STEP = 128, 32, 32


def decode_mask(encoded: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Decodes and resizes one mask, in a TensorFlow graph.

    Each pixel is the pixel of the mask that is nearest to the point where `images.decode` samples the image. Ids are
    never interpolated.

    Args:
        encoded: scalar string, `features.MASK`: an 8-bit grey PNG of label ids.
        size: height and width of the result in pixels.

    Returns:
        uint8 [height, width]: label ids, or `features.IGNORED_ID`.

    Raises:
        InvalidArgumentError: at run time, if `encoded` is not such a PNG. TensorFlow would read the colours of a PNG
            with a palette, not its indices.
    """
    import tensorflow as tf

    header = tf.strings.substr(encoded, 24, 2)  # bit depth and colour type
    tf.debugging.Assert(tf.equal(header, b"\x08\x00"), ["a mask must be an 8-bit grey PNG of label ids"])
    resized = tf.image.resize(tf.io.decode_png(encoded, channels=1), size, method="nearest")
    return tf.ensure_shape(resized[..., 0], size)


def decoder(skips: Sequence[keras.KerasTensor], image_size: tuple[int, int], classes: int) -> keras.KerasTensor:
    """Builds the last layers: from feature maps of the backbone to a logit per pixel and label.

    Starts with the coarsest map. At each level, resizes to the size of the next finer map, concatenates with a 1x1
    convolution of that map, and applies a 3x3 convolution (Ronneberger et al., "U-Net", MICCAI 2015; the thin skip
    connections follow Chen et al., "DeepLabv3+", ECCV 2018). Finally resizes the logits to the image.

    Args:
        skips: feature maps [batch, h, w, channels], finest first, any number and any sizes.
        image_size: height and width of the image in pixels.
        classes: number of labels K, at least 2.

    Returns:
        logits, float32 [batch, height, width, K].

    Raises:
        ConfigError: there are fewer than two labels.
    """
    import keras

    need_two(classes)
    x = _block(skips[-1], _WIDEST, 1)
    for finer, skip in enumerate(reversed(skips[:-1])):
        channels = max(_NARROWEST, _WIDEST - _STEP * finer)
        thin = _block(skip, channels // 2, 1)
        x = keras.layers.Concatenate()([_resized(x, skip.shape[1:3]), thin])
        x = _block(x, channels, 3)
    logits = keras.layers.Conv2D(classes, 1, dtype="float32", name="logits")(x)
    return _resized(logits, image_size)


def _block(x: keras.KerasTensor, channels: int, width: int) -> keras.KerasTensor:
    import keras

    x = keras.layers.Conv2D(channels, width, padding="same", use_bias=False)(x)
    return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(x))


def _resized(x: keras.KerasTensor, size: tuple[int, int]) -> keras.KerasTensor:
    import keras

    return keras.ops.image.resize(x, size, interpolation="bilinear", data_format="channels_last")


def loss(
    kind: Kind = "cross_entropy",
    *,
    alpha: float | Sequence[float] | None = None,
    gamma: float = FOCAL_GAMMA,
    weights: Sequence[float] | None = None,
    adjustment: Sequence[float] | None = None,
    positive: int | None = None,
) -> keras.losses.Loss:
    """Builds cross-entropy or focal loss of target [batch, H, W] and logits [batch, H, W, K]; see `losses`.

    The weight of a pixel is that of its example times weights[true label], and 0 for `features.IGNORED_ID`.

    Args:
        kind: "cross_entropy" or "focal".
        alpha: factor of focal loss, one per label or one for all of them.
        gamma: exponent of focal loss.
        weights: [K], label weights; None for ones.
        adjustment: [K], added to the logits; see `labels.priors`.
        positive: must be None.

    Raises:
        ConfigError: `positive` is given, or see `losses.Known`.
    """
    import keras

    from components.labels.learning.losses import Softmax

    def truth(target: Any) -> tuple[Any, Any]:
        ids = keras.ops.cast(target, "int32")
        return keras.ops.where(ids == IGNORED_ID, 0, ids), ids != IGNORED_ID

    refuse_positive(positive, "segmentation")
    return Softmax(truth, kind, alpha, gamma, weights, adjustment)


def metrics(classes: int) -> list[keras.metrics.Metric]:
    """Builds the metrics of training: pixel accuracy and mean intersection over union, without ignored pixels."""
    from components.labels.learning.measures import MeanIou, PixelAccuracy

    return [PixelAccuracy(IGNORED_ID, name="pixel_accuracy"), MeanIou(classes, IGNORED_ID, name="mean_iou")]


def probabilities(logits: keras.KerasTensor) -> keras.KerasTensor:
    """Converts logits [batch, H, W, K] to probabilities of the same shape that sum to 1 over the labels, float32."""
    import keras

    return keras.ops.softmax(keras.ops.cast(logits, "float32"), axis=-1)
