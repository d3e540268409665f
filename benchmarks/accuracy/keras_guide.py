"""Keras's guide "Transfer learning & fine-tuning" (keras.io/guides/transfer_learning), with another backbone.

The head on the frozen backbone with Adam, then everything at a rate of 1e-5, batch statistics kept; random flips and
rotations. `python keras_guide.py TOLD` reads what `__main__` wrote, writes the probabilities of the test images, and
prints the seconds.
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

_BATCH, _FINE_TUNING = 32, 1e-5


def _batches(told: dict[str, Any], split: str) -> tf.data.Dataset:
    """What `keras.utils.image_dataset_from_directory` would yield, which takes no several labels."""

    def read(file: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_image(tf.io.read_file(file), channels=3, expand_animations=False)
        return tf.ensure_shape(tf.image.resize(image, told["size"]), (*told["size"], 3)), target

    files, targets = told["files"][split], np.array(told["targets"][split], np.float32)
    found = tf.data.Dataset.from_tensor_slices((files, targets))
    if split == "train":
        found = found.shuffle(len(files), seed=told["seed"])
    return found.map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(_BATCH).prefetch(tf.data.AUTOTUNE)


def main(path: str) -> None:
    """Trains in the two steps of the guide."""
    told = json.loads(Path(path).read_text())
    keras.utils.set_random_seed(told["seed"])
    train, evaluation, test = (_batches(told, split) for split in ("train", "eval", "test"))
    base = keras.saving.load_model(told["backbone"], compile=False)
    inputs = keras.Input((*told["size"], 3))
    x = keras.layers.RandomFlip("horizontal")(inputs)
    x = base(keras.layers.RandomRotation(0.1)(x), training=False)
    x = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, keras.layers.Dense(len(told["labels"]))(x))
    losses = keras.losses
    loss = losses.CategoricalCrossentropy if told["exclusive"] else losses.BinaryCrossentropy
    started = time.perf_counter()
    for trainable, rate in ((False, 1e-3), (True, _FINE_TUNING)):
        base.trainable = trainable
        model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss(from_logits=True))
        model.fit(train, validation_data=evaluation, epochs=told["epochs"], verbose=0)
    seconds = time.perf_counter() - started
    activation = keras.activations.softmax if told["exclusive"] else keras.activations.sigmoid
    np.save(told["answers"], np.asarray(activation(keras.ops.cast(model.predict(test, verbose=0), "float32"))))
    print(seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
