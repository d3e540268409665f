"""Random changes of an image and its mask together, for `tf.data`: TensorFlow graph code.

(Keras's layers take the mask's nearest pixels, too, but fill what comes in from outside with the same value in image
and mask, so never with the mask's own `features.IGNORED_ID`; and parallel calls would draw from one seed in any order.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.data.features import IGNORED_ID

if TYPE_CHECKING:
    import tensorflow as tf

_ZOOM = (0.7, 1.1)  # share of the height and width that stays in view
_SHIFT = 0.1  # of them
_CONTRAST = (0.8, 1.2)


def pairs(images: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mirrors, zooms and shifts each image and its mask alike, and changes the image's contrast.

    Args:
        images: uint8 [batch, H, W, 3].
        masks: uint8 [batch, H, W], label ids.
        seed: int [2]; the same seed gives the same changes, whatever runs beside it.

    Returns:
        (images, masks), as they came. Outside of the picture images are black, before their contrast changes, and masks
        `features.IGNORED_ID`; ids are taken from the nearest pixel and never mixed.
    """
    import tensorflow as tf

    batch, size = tf.shape(images)[0], tf.shape(images)[1:3]
    seeds = tf.unstack(tf.random.split(tf.cast(seed, tf.int32), 4))
    boxes = _boxes(batch, seeds[:3])
    which = tf.range(batch)
    seen = tf.image.crop_and_resize(images, boxes, which, size, "bilinear")
    factor = tf.random.stateless_uniform([batch, 1, 1, 1], seeds[3], *_CONTRAST)
    mean = tf.reduce_mean(seen, axis=(1, 2), keepdims=True)
    pixels = tf.cast(tf.clip_by_value(tf.round((seen - mean) * factor + mean), 0, 255), tf.uint8)
    ids = tf.image.crop_and_resize(masks[..., tf.newaxis], boxes, which, size, "nearest", float(IGNORED_ID))
    return tf.ensure_shape(pixels, images.shape), tf.ensure_shape(tf.cast(ids[..., 0], tf.uint8), masks.shape)


def _boxes(batch: tf.Tensor, seeds: list[tf.Tensor]) -> tf.Tensor:
    """float32 [batch, 4], top, left, bottom, right of what is seen, 0 to 1; mirrored where left > right."""
    import tensorflow as tf

    half = tf.random.stateless_uniform([batch, 1], seeds[0], *_ZOOM) / 2
    centre = 0.5 + tf.random.stateless_uniform([batch, 2], seeds[1], -_SHIFT, _SHIFT)
    mirror = tf.where(tf.random.stateless_uniform([batch, 1], seeds[2]) < 0.5, -1.0, 1.0)
    across = mirror * half
    y, x = centre[:, :1], centre[:, 1:]
    return tf.concat([y - half, x - across, y + half, x + across], axis=1)
