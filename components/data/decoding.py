"""The one function that turns stored bytes into pixels, in training, evaluation and serving: TensorFlow graph code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def decode(encoded: tf.Tensor, size: tuple[int, int], bits: int | None = None) -> tf.Tensor:
    """Decodes and resizes one image; TensorFlow graph code.

    A JPEG much larger than `size` is decoded at the smallest of the DCT's scales (1/2, 1/4, 1/8) that is no smaller
    than `size`, which costs less and averages pixels instead of skipping them.

    Args:
        encoded: scalar string: JPEG, PNG, BMP, GIF (first frame) or WebP.
        size: height and width in pixels of the result.
        bits: as in `check`, for PNG files of 16 bits; ingest stores none of these, but serving may get them.

    Returns:
        uint8 [height, width, 3], RGB, with alpha blended over white.

    Raises:
        InvalidArgumentError: at run time, if `encoded` is not such an image.
    """
    import tensorflow as tf

    def jpeg() -> tf.Tensor:
        shape = tf.io.extract_jpeg_shape(encoded)
        scale = tf.minimum(shape[0] // size[0], shape[1] // size[1])
        index = tf.searchsorted([2, 4, 8], [scale], side="right")[0]

        # Pillow's decoder uses this transform; TensorFlow's default is a faster, coarser one.
        def at(ratio: int):  # type: ignore[no-untyped-def]
            return lambda: tf.io.decode_jpeg(encoded, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")

        return tf.switch_case(index, [at(1), at(2), at(4), at(8)])

    def wide(bits: int) -> tf.Tensor:
        levels = tf.cast(tf.io.decode_png(encoded, channels=4, dtype=tf.uint16), tf.int32)
        colour = tf.minimum(tf.bitwise.right_shift(levels[..., :3], bits - 8), 255)
        return tf.cast(tf.concat([colour, tf.bitwise.right_shift(levels[..., 3:], 8)], axis=-1), tf.uint8)

    def narrow() -> tf.Tensor:
        return tf.io.decode_png(encoded, channels=4)

    def png() -> tf.Tensor:
        if bits is None:  # the decoder takes the upper 8 of 16 bits itself
            rgba = narrow()
        else:  # byte 24 is the bit depth
            rgba = tf.cond(tf.strings.substr(encoded, 24, 1) == b"\x10", lambda: wide(bits), narrow)

        def over_white() -> tf.Tensor:
            colour, alpha = tf.cast(rgba[..., :3], tf.int32), tf.cast(rgba[..., 3:], tf.int32)
            return tf.cast((colour * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)

        # Ingest stores opaque images, for which the conversion to int32 would only cost gigabytes of memory.
        return tf.cond(tf.reduce_all(rgba[..., 3] == 255), lambda: rgba[..., :3], over_white)

    def other() -> tf.Tensor:
        pixels = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        # An animated or WebP image comes with a leading dimension of frames.
        return tf.cond(tf.rank(pixels) > 3, lambda: pixels[0], lambda: pixels)

    is_png = tf.strings.substr(encoded, 0, 4) == b"\x89PNG"
    pixels = tf.cond(tf.io.is_jpeg(encoded), jpeg, lambda: tf.cond(is_png, png, other))
    pixels.set_shape([None, None, 3])
    return _resize(pixels, size)


def _resize(pixels: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """uint8 [h, w, 3] -> uint8 [*size, 3], bilinear; averages where it shrinks by 2 or more."""
    import tensorflow as tf

    shape = tf.shape(pixels)

    def resized(antialias: bool):  # type: ignore[no-untyped-def]
        def run() -> tf.Tensor:
            result = tf.image.resize(pixels, size, antialias=antialias)
            return tf.cast(tf.clip_by_value(tf.round(result), 0, 255), tf.uint8)

        return run

    same = tf.reduce_all(shape[:2] == size)
    shrinks = tf.reduce_any(shape[:2] >= 2 * tf.constant(size))
    result = tf.cond(same, lambda: pixels, lambda: tf.cond(shrinks, resized(True), resized(False)))
    result.set_shape([*size, 3])
    return result
