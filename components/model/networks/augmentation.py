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
_DROPPED = 0.1  # share of the moments of a sequence that are left out
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


def arrays(
    given: dict[str, tf.Tensor], target: tf.Tensor, seed: tf.Tensor, *, masks: bool
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Mirrors arrays and their masks alike, and drops moments of sequences; values stay as they are.

    Args:
        given: "pixels" [batch, T, H, W, B], "valid" [batch, T, H, W] and "days", or without T and days.
        target: [batch, H, W] with `masks`; else any labels, which stay.
        seed: int [2]; the same seed gives the same changes.
        masks: whether the targets are masks.

    Returns:
        the same with other values.
    """
    import tensorflow as tf

    pixels, valid = given["pixels"], given["valid"]
    batch = tf.shape(pixels)[0]
    seeds = tf.unstack(tf.random.split(tf.cast(seed, tf.int32), 3))

    def mirrored(tensor: tf.Tensor, chosen: tf.Tensor, axis: int) -> tf.Tensor:
        rank = tensor.shape.rank
        shape = tf.concat([[batch], tf.ones([rank - 1], tf.int32)], 0)
        return tf.where(tf.reshape(chosen, shape), tf.reverse(tensor, [rank + axis]), tensor)

    for own, axis in zip(seeds, (-2, -1), strict=False):  # height, then width
        chosen = tf.random.stateless_uniform([batch], own) < 0.5
        pixels, valid = mirrored(pixels, chosen, axis - 1), mirrored(valid, chosen, axis)
        target = mirrored(target, chosen, axis) if masks else target
    if "days" in given:
        stays = tf.random.stateless_uniform(tf.shape(valid)[:2], seeds[2]) >= _DROPPED
        valid = tf.logical_and(valid, stays[:, :, tf.newaxis, tf.newaxis])
    return {**given, "pixels": pixels, "valid": valid}, target


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
