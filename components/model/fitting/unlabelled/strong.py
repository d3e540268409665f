"""Strong random changes of an image, under which a network's answer should stay the same."""

from __future__ import annotations

import functools
from typing import Any

import keras
import tensorflow as tf

_CHANGES = 2  # for each image, as in FixMatch
_RANGE = (0, 255)


def colours(seed: int) -> keras.layers.Layer:
    """Builds changes of colour, which keep every pixel where it is.

    Yang et al., "UniMatch", CVPR 2023, appendix: brightness, contrast and saturation, without its CutMix, which would
    have to mix the pseudo-labels, too. Keras adds brightness where the paper multiplies, so half of its 0.5 is taken,
    and its saturation stays the same at 0.5. The hue is kept, as it tells some labels apart.

    Args:
        seed: of the random numbers.

    Returns:
        a layer: images [batch, H, W, 3] in 0-255 -> the same, float32.
    """
    return keras.layers.RandomColorJitter(
        value_range=_RANGE,
        brightness_factor=0.25,
        contrast_factor=0.5,
        saturation_factor=(0.25, 0.75),
        seed=seed,
        dtype="float32",
    )


class RandAugment(keras.layers.Layer):
    """Two changes for each image, drawn from twelve (Cubuk et al., "RandAugment", NeurIPS 2020).

    The changes and their ranges follow FixMatch (table 12), with Keras's layers. The layer of this name in Keras 3.15
    draws two changes for a whole batch instead of for each image. It computes all changes to keep two, which takes four
    to eleven times as long, and it turns, shifts and brightens in one direction only, by up to half a turn.

    Args:
        seed: of the random numbers.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(dtype="float32")
        layers = keras.layers
        self.changes = [
            layers.AutoContrast(value_range=_RANGE),
            layers.RandomBrightness(0.5, value_range=_RANGE, seed=seed),
            layers.RandomColorDegeneration((0.0, 0.95), value_range=_RANGE, seed=seed),
            layers.RandomContrast((0.95, 0.95), value_range=_RANGE, seed=seed),
            layers.Equalization(value_range=_RANGE),
            layers.Identity(),
            layers.RandomPosterization((4, 8), value_range=_RANGE, seed=seed),
            layers.RandomRotation(30 / 360, seed=seed),
            layers.RandomSharpness((0.0, 0.95), value_range=_RANGE, seed=seed),
            layers.RandomShear((0.0, 0.3), (0.0, 0.3), seed=seed),
            layers.Solarization(threshold_factor=(0.0, 1.0), value_range=_RANGE, seed=seed),
            layers.RandomTranslation(0.3, 0.3, seed=seed),
        ]
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = True) -> Any:
        """Changes images [batch, H, W, 3] in 0-255; returns float32."""
        count = keras.ops.shape(images)[0]
        drawn = keras.random.randint((count, _CHANGES), 0, len(self.changes), seed=self.generator)

        def changed(one: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            image = one[0][tf.newaxis]
            for number in tf.unstack(one[1], _CHANGES):
                image = tf.switch_case(number, [functools.partial(_changed, change, image) for change in self.changes])
            return image[0]

        floats = tf.cast(images, tf.float32)
        # One image at a time, because the random numbers of images that overtake each other could not be repeated.
        return tf.map_fn(
            changed, (floats, drawn), fn_output_signature=tf.TensorSpec(floats.shape[1:]), parallel_iterations=1
        )


def _changed(change: keras.layers.Layer, image: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(change(image, training=True), image.shape)
