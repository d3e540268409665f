"""The one function that turns stored bytes into pixels, in training and evaluation: TensorFlow graph code.

`components.data.untrusted` decodes what a client sends to the same pixels, with the parts of this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

MAX_PIXELS = 100_000_000  # of an image that is predicted or served; chosen by hand; not measured


def max_file_bytes(max_pixels: int) -> int:
    """Largest plausible file of `max_pixels`, in bytes: uncompressed 16-bit RGBA, and 1 MiB for everything else.

    >>> max_file_bytes(1_000_000)
    9048576
    """
    return 8 * max_pixels + (1 << 20)


def decode(encoded: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Decodes and resizes one image that `images.check` returned; TensorFlow graph code.

    Args:
        encoded: scalar string: JPEG, PNG of 8 bits without alpha, BMP or WebP.
        size: height and width in pixels of the result.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        InvalidArgumentError: at run time, if `encoded` is not an image.
    """
    import tensorflow as tf

    def png() -> tf.Tensor:
        return tf.io.decode_png(encoded, channels=3)

    def other() -> tf.Tensor:
        pixels = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        # A WebP image comes with a leading dimension of frames.
        return tf.cond(tf.rank(pixels) > 3, lambda: pixels[0], lambda: pixels)

    is_png = tf.strings.substr(encoded, 0, 4) == b"\x89PNG"
    pixels = tf.cond(tf.io.is_jpeg(encoded), lambda: jpeg(encoded, size), lambda: tf.cond(is_png, png, other))
    pixels.set_shape([None, None, 3])
    return resize(pixels, size)


def jpeg(encoded: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Decodes a JPEG: uint8 [h, w, 3].

    A JPEG much larger than `size` is decoded at the smallest of the DCT's scales (1/2, 1/4, 1/8) that is no smaller
    than `size`, which costs less and averages pixels instead of skipping them.
    """
    import tensorflow as tf

    shape = tf.io.extract_jpeg_shape(encoded)
    scale = tf.minimum(shape[0] // size[0], shape[1] // size[1])
    index = tf.searchsorted([2, 4, 8], [scale], side="right")[0]

    # Pillow's decoder uses this transform; TensorFlow's default is a faster, coarser one.
    def at(ratio: int):  # type: ignore[no-untyped-def]
        return lambda: tf.io.decode_jpeg(encoded, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")

    return tf.switch_case(index, [at(1), at(2), at(4), at(8)])


def over_white(rgba: tf.Tensor) -> tf.Tensor:
    """Blends uint8 [h, w, 4] over white as Pillow does: uint8 [h, w, 3].

    In 16 bits: the largest sum is 255 * 255 + 128, and 32 bits would only cost gigabytes of memory.
    """
    import tensorflow as tf

    colour, alpha = tf.cast(rgba[..., :3], tf.uint16), tf.cast(rgba[..., 3:], tf.uint16)
    rounded = colour * alpha + 255 * (255 - alpha) + 128
    return tf.cast((rounded + rounded // 256) // 256, tf.uint8)


def resize(pixels: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
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
