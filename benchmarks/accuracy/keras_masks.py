"""Keras's guide "Image segmentation with a U-Net-like architecture" (keras.io/examples/vision), for any labels.

A small Xception-like U-Net from random weights, Adam at 1e-4, no changes of the images; the weights of the epoch with
the least loss on eval. Ignored pixels have no loss, and images are padded until they can be halved four times.
`python keras_masks.py TOLD` reads what `__main__` wrote, writes the masks of the test images, and prints the seconds.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import tensorflow as tf
from keras import layers

_RATE, _HALVED = 1e-4, 16


def _batches(told: dict[str, Any], split: str) -> tf.data.Dataset:
    def read(file: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_image(tf.io.read_file(file), channels=3, expand_animations=False)
        ids = tf.io.decode_png(tf.io.read_file(mask), channels=1)
        resized = tf.ensure_shape(tf.image.resize(image, told["size"]), (*told["size"], 3))
        return resized, tf.image.resize(ids, told["size"], method="nearest")

    files, masks = told["files"][split], told["masks"][split]
    found = tf.data.Dataset.from_tensor_slices((files, masks)).map(read, num_parallel_calls=tf.data.AUTOTUNE).cache()
    if split == "train":
        found = found.repeat(told["passes"]).shuffle(len(files) * told["passes"], seed=told["seed"])
    return found.batch(told["batch"]).prefetch(tf.data.AUTOTUNE)


def _block(x: keras.KerasTensor, convolution: type[layers.Layer], filters: int) -> keras.KerasTensor:
    for _ in range(2):
        x = layers.Activation("relu")(x)
        x = layers.BatchNormalization()(convolution(filters, 3, padding="same")(x))
    return x


def _network(size: tuple[int, int], classes: int) -> keras.Model:
    inputs = keras.Input((*size, 3))
    below, right = (-length % _HALVED for length in size)
    x = layers.ZeroPadding2D(((0, below), (0, right)))(inputs)
    x = layers.BatchNormalization()(layers.Conv2D(32, 3, strides=2, padding="same")(x))
    before = x = layers.Activation("relu")(x)
    for filters in (64, 128, 256):
        x = layers.MaxPooling2D(3, strides=2, padding="same")(_block(x, layers.SeparableConv2D, filters))
        before = x = layers.add([x, layers.Conv2D(filters, 1, strides=2, padding="same")(before)])
    for filters in (256, 128, 64, 32):
        x = layers.UpSampling2D(2)(_block(x, layers.Conv2DTranspose, filters))
        before = x = layers.add([x, layers.Conv2D(filters, 1, padding="same")(layers.UpSampling2D(2)(before))])
    x = layers.Conv2D(classes, 3, activation="softmax", padding="same")(x)
    return keras.Model(inputs, layers.Cropping2D(((0, below), (0, right)))(x))


def main(path: str) -> None:
    """Trains for as many epochs as the other sides, with those of their decoders."""
    told = json.loads(Path(path).read_text())
    keras.utils.set_random_seed(told["seed"])
    train, evaluation, test = (_batches(told, split) for split in ("train", "eval", "test"))
    model = _network(tuple(told["size"]), len(told["labels"]))
    best = str(Path(told["answers"]).with_name("best.keras"))
    started = time.perf_counter()
    model.compile(
        optimizer=keras.optimizers.Adam(_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=told["ignored"]),
    )
    kept = keras.callbacks.ModelCheckpoint(best, save_best_only=True)
    epochs = told["decoder_epochs"] + told["epochs"]
    model.fit(train, validation_data=evaluation, epochs=epochs, verbose=0, callbacks=[kept])
    seconds = time.perf_counter() - started
    probabilities = keras.saving.load_model(best).predict(test, verbose=0)
    np.save(told["answers"], probabilities.argmax(-1).astype(np.uint8))
    print(seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
