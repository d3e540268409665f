"""Keras's guide "Transfer learning & fine-tuning" (keras.io/guides/transfer_learning), with another backbone.

The head on the frozen backbone with Adam, then everything at a rate of 1e-5, batch statistics kept; random flips and
rotations. `python keras_guide.py IMAGES HEIGHT WIDTH EPOCHS SEED BACKBONE` prints JSON.
"""

import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras

_BATCH, _FINE_TUNING = 32, 1e-5


def main(images: str, height: str, width: str, epochs: str, seed: str, backbone: str) -> None:
    """Trains in the two steps of the guide."""
    keras.utils.set_random_seed(int(seed))
    size = (int(height), int(width))
    train, evaluation, test = (
        keras.utils.image_dataset_from_directory(
            os.path.join(images, split),
            image_size=size,
            batch_size=_BATCH,
            label_mode="int",
            shuffle=split == "train",
            seed=int(seed),
            verbose=False,
        )
        for split in ("train", "eval", "test")
    )
    base = keras.saving.load_model(backbone, compile=False)
    base.trainable = False
    inputs = keras.Input((*size, 3))
    x = keras.layers.RandomFlip("horizontal")(inputs)
    x = base(keras.layers.RandomRotation(0.1)(x), training=False)
    x = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, keras.layers.Dense(len(train.class_names))(x))
    started = time.perf_counter()
    for trainable, rate in ((False, 1e-3), (True, _FINE_TUNING)):
        base.trainable = trainable
        model.compile(
            optimizer=keras.optimizers.Adam(rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        model.fit(train, validation_data=evaluation, epochs=int(epochs), verbose=0)
    seconds = time.perf_counter() - started
    loss, accuracy = model.evaluate(test, verbose=0)
    print(json.dumps({"accuracy": accuracy, "loss": loss, "seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
