"""Random changes of an image together with its mask, for `tf.data`: TensorFlow graph code.

Keras's augmentation layers are not used for masks. They fill what comes in from outside with the same value in image
and mask, so a mask cannot get `features.IGNORED_ID`, and parallel calls would draw from one seed in any order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.data.features import IGNORED_ID

if TYPE_CHECKING:
    import tensorflow as tf

# The strengths were chosen by hand; not measured.
_ZOOM = (0.7, 1.1)  # share of the height and width that stays in view
_SHIFT = 0.1  # largest shift of the centre, as a share of the height and width
_CONTRAST = (0.8, 1.2)  # factor of each pixel's difference from the image's mean


def pairs(images: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Flips, zooms and shifts each image and its mask alike, and changes the image's contrast.

    Args:
        images: uint8 [batch, H, W, 3].
        masks: uint8 [batch, H, W], label ids.
        seed: int [2]; the same seed gives the same changes, whatever runs beside it.

    Returns:
        (images, masks) of the same shapes and dtypes. Outside the picture, images are black before their contrast
        changes, and masks are `features.IGNORED_ID`. Ids come from the nearest pixel and are never mixed.
    """
    import tensorflow as tf

    batch, size = tf.shape(images)[0], tf.shape(images)[1:3]
    seeds = tf.unstack(tf.random.split(tf.cast(seed, tf.int32), 4))
    boxes = _boxes(batch, seeds[:3])
    indices = tf.range(batch)
    cropped = tf.image.crop_and_resize(images, boxes, indices, size, "bilinear")
    factor = tf.random.stateless_uniform([batch, 1, 1, 1], seeds[3], *_CONTRAST)
    mean = tf.reduce_mean(cropped, axis=(1, 2), keepdims=True)
    pixels = tf.cast(tf.clip_by_value(tf.round((cropped - mean) * factor + mean), 0, 255), tf.uint8)
    ids = tf.image.crop_and_resize(masks[..., tf.newaxis], boxes, indices, size, "nearest", float(IGNORED_ID))
    return tf.ensure_shape(pixels, images.shape), tf.ensure_shape(tf.cast(ids[..., 0], tf.uint8), masks.shape)


def _boxes(batch: tf.Tensor, seeds: list[tf.Tensor]) -> tf.Tensor:
    """Draws the part of each image that stays in view, as top, left, bottom and right: float32 [batch, 4].

    Coordinates run from 0 to 1 across the image; an image is mirrored where left > right.
    """
    import tensorflow as tf

    half = tf.random.stateless_uniform([batch, 1], seeds[0], *_ZOOM) / 2
    centre = 0.5 + tf.random.stateless_uniform([batch, 2], seeds[1], -_SHIFT, _SHIFT)
    mirror = tf.where(tf.random.stateless_uniform([batch, 1], seeds[2]) < 0.5, -1.0, 1.0)
    across = mirror * half
    y, x = centre[:, :1], centre[:, 1:]
    return tf.concat([y - half, x - across, y + half, x + across], axis=1)
