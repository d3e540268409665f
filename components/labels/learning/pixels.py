"""Label kind: each pixel has one label, or is ignored. Softmax over K logits per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.data.features import IGNORED_ID
from components.labels.learning.refusals import need_two, refuse_positive
from components.labels.weights import pixel_counts as count

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from components.labels.learning.losses import Kind

__all__ = ["count", "decode_mask", "decoder", "loss", "metrics", "probabilities"]

_WIDEST, _NARROWEST = 128, 32  # channels of the decoder, coarse and fine; half as many come from a skip connection


def decode_mask(encoded: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Decodes and resizes one mask; TensorFlow graph code.

    Each pixel is that of the mask nearest to where `images.decode` looks for the image's; ids are never mixed.

    Args:
        encoded: scalar string, `features.MASK`: an 8-bit grey PNG of label ids.
        size: height and width in pixels of the result.

    Returns:
        uint8 [height, width]; `features.IGNORED_ID` takes part in nothing.

    Raises:
        InvalidArgumentError: at run time, where `encoded` is no such PNG. A palette's indices are lost on TensorFlow,
            which reads colours, so it must not be taken for a mask.
    """
    import tensorflow as tf

    header = tf.strings.substr(encoded, 24, 2)  # bit depth and colour type
    tf.debugging.Assert(tf.equal(header, b"\x08\x00"), ["a mask must be an 8-bit grey PNG of label ids"])
    resized = tf.image.resize(tf.io.decode_png(encoded, channels=1), size, method="nearest")
    return tf.ensure_shape(resized[..., 0], size)


def decoder(skips: Sequence[keras.KerasTensor], image_size: tuple[int, int], classes: int) -> keras.KerasTensor:
    """Feature maps of a backbone -> a logit per pixel and label.

    From the coarsest map up: resize to the next finer one's size, concatenate with that one's 1x1 convolution, 3x3
    convolution (Ronneberger et al., "U-Net", MICCAI 2015; the thin skips follow Chen et al., "DeepLabv3+", ECCV
    2018). The finest logits are resized to the image.

    Args:
        skips: [batch, h, w, channels], finest first, any number and any sizes.
        image_size: height and width in pixels.
        classes: K, 2 or more.

    Returns:
        float32 [batch, height, width, K].

    Raises:
        ConfigError: fewer than two labels.
    """
    import keras

    need_two(classes)
    x = _block(skips[-1], _WIDEST, 1)
    for finer, skip in enumerate(reversed(skips[:-1])):
        channels = max(_NARROWEST, _WIDEST - 32 * finer)
        thin = _block(skip, channels // 2, 1)
        x = keras.layers.Concatenate()([_resized(x, skip.shape[1:3]), thin])
        x = _block(x, channels, 3)
    logits = keras.layers.Conv2D(classes, 1, dtype="float32", name="logits")(x)
    return _resized(logits, image_size)


def _block(x: keras.KerasTensor, channels: int, width: int) -> keras.KerasTensor:
    import keras

    x = keras.layers.Conv2D(channels, width, padding="same", use_bias=False)(x)
    return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))


def _resized(x: keras.KerasTensor, size: tuple[int, int]) -> keras.KerasTensor:
    import keras

    return keras.ops.image.resize(x, size, interpolation="bilinear", data_format="channels_last")


def loss(
    kind: Kind = "cross_entropy",
    *,
    alpha: float | Sequence[float] | None = None,
    gamma: float = 2.0,
    weights: Sequence[float] | None = None,
    positive: int | None = None,
) -> keras.losses.Loss:
    """Cross-entropy or focal loss of (target [batch, H, W], logits [batch, H, W, K]); see `losses` for the formulas.

    weight = example weight * weights[true label of the pixel]; a pixel of `features.IGNORED_ID` weighs nothing.

    Args:
        kind: "cross_entropy" or "focal".
        alpha: of focal loss: one factor per label, or one for all of them.
        gamma: of focal loss.
        weights: [K], label weights; None for ones.
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
    return Softmax(truth, kind, alpha, gamma, weights)


def metrics(classes: int) -> list[keras.metrics.Metric]:
    """What training shows: pixel accuracy and mean intersection over union, of the pixels not ignored."""
    from components.labels.learning.measures import MeanIou, PixelAccuracy

    return [PixelAccuracy(IGNORED_ID, name="pixel_accuracy"), MeanIou(classes, IGNORED_ID, name="mean_iou")]


def probabilities(logits: keras.KerasTensor) -> keras.KerasTensor:
    """Logits [batch, H, W, K] -> float32 [batch, H, W, K] that sum to 1 over the labels."""
    import keras

    return keras.ops.softmax(keras.ops.cast(logits, "float32"), axis=-1)
