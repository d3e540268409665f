"""The network that both sides train. It is small, so that the benchmark measures the pipeline instead of Keras."""

from __future__ import annotations

import sys

IMAGE_SIZE = (128, 128)
BATCH = 32


def write(path: str) -> None:
    """Saves the backbone, which maps images in 0-255 to feature maps, as a `.keras` file."""
    import keras

    keras.utils.set_random_seed(1)
    keras.Sequential(
        [
            keras.Input((*IMAGE_SIZE, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
        ]
    ).save(path)


if __name__ == "__main__":
    write(sys.argv[1])
