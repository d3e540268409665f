"""How a file is to be decoded, and doing it: TensorFlow graph code.

A plan is made from the header and cannot fail. Decoding can, so `rows` does it where a failure costs one row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from components.data import decoding

if TYPE_CHECKING:
    import tensorflow as tf

RATIOS = (1, 2, 4, 8)  # of a JPEG; their places are the first decoders
PNG, PNG_OPAQUE, PNG_DEEP, IMAGE, IMAGE_ALPHA, GIF = range(len(RATIOS), len(RATIOS) + 6)
_DEEP = 16
TOO_HIGH = "values above those of the bits per value that the model was trained on (data.bits)"
_SIDEWAYS, _MIRRORED, _HEAD_DOWN = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)  # EXIF's orientations


class Plan(NamedTuple):
    """Scalar tensors.

    Attributes:
        data: the bytes to decode; string.
        decoder: one of the constants above, or the place of one of `RATIOS`; int32.
        turned: EXIF's orientation, 1 to 8; int32.
        width, height: as the header states them; int32.
        refused: the reason why the file is not decoded, or ""; string.
    """

    data: tf.Tensor
    decoder: tf.Tensor
    turned: tf.Tensor
    width: tf.Tensor
    height: tf.Tensor
    refused: tf.Tensor


def pixels(plan: Plan, to: tuple[int, int], bits: int | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes to upright pixels of the size `to`, with alpha blended over white: uint8 [*to, 3], and a reason or "".

    Raises:
        InvalidArgumentError: at run time, if the file is damaged.
    """
    import tensorflow as tf

    decoded, refused = tf.switch_case(plan.decoder, _decoders(plan.data, bits))
    transparent = tf.cond(
        tf.shape(decoded)[2] == 4, lambda: tf.reduce_any(decoded[..., 3] < 255), lambda: tf.constant(False)
    )
    opaque = tf.cond(transparent, lambda: decoding.over_white(decoded), lambda: decoded[..., :3])
    opaque.set_shape([None, None, 3])
    return decoding.resize(tf.cond(plan.turned > 1, lambda: _upright(opaque, plan.turned), lambda: opaque), to), refused


def _decoders(data: tf.Tensor, bits: int | None) -> list[Callable[[], tuple[tf.Tensor, tf.Tensor]]]:
    import tensorflow as tf

    def scaled(ratio: int) -> Callable[[], tuple[tf.Tensor, tf.Tensor]]:
        return lambda: fine(tf.io.decode_jpeg(data, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE"))

    def deep() -> tuple[tf.Tensor, tf.Tensor]:
        levels, used = tf.io.decode_png(data, channels=4, dtype=tf.uint16), bits or _DEEP
        colour = tf.bitwise.right_shift(levels[..., :3], tf.constant(used - 8, tf.uint16))
        too_high = tf.reduce_any(colour > 255)
        alpha = tf.bitwise.right_shift(levels[..., 3:], tf.constant(8, tf.uint16))
        return tf.cast(tf.concat([colour, alpha], axis=-1), tf.uint8), tf.where(too_high, TOO_HIGH, "")

    def any_format(channels: int) -> tuple[tf.Tensor, tf.Tensor]:
        decoded = tf.io.decode_image(data, channels=channels, expand_animations=False)
        # A WebP image comes with a leading dimension of frames.
        return fine(tf.reshape(decoded, tf.shape(decoded)[-3:]))

    def fine(decoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return decoded, tf.constant("")

    return [
        *map(scaled, RATIOS),
        lambda: fine(tf.io.decode_png(data, channels=4)),
        lambda: fine(tf.io.decode_png(data, channels=3)),
        deep,
        lambda: any_format(3),
        lambda: any_format(4),
        lambda: fine(tf.io.decode_gif(data)[0]),
    ]


def _upright(pixels: tf.Tensor, turned: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    def is_one_of(orientations: tuple[int, ...]) -> tf.Tensor:
        return tf.reduce_any(turned == tf.constant(orientations))

    whole = tf.transpose(pixels, tf.where(is_one_of(_SIDEWAYS), [1, 0, 2], [0, 1, 2]))
    axes = tf.boolean_mask([0, 1], tf.stack([is_one_of(_HEAD_DOWN), is_one_of(_MIRRORED)]))
    return tf.ensure_shape(tf.reverse(whole, axes), [None, None, 3])
