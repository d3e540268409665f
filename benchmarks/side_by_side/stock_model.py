"""The code that a user of stock TFX writes: preprocessing_fn and run_fn, which TFX loads by their dotted names."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from benchmarks import photos
from benchmarks.side_by_side import network

IMAGE, LABEL = "image", "label"
IMAGE_OUT, ONE_HOT = "image_xf", "label_xf"
PROBABILITIES, TRANSFORM = "probabilities", "transform_features"
_SHUFFLE = 2048


def preprocessing_fn(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Computes one-hot labels from a vocabulary, and passes the encoded image through if the schema includes it."""
    index = tft.compute_and_apply_vocabulary(inputs[LABEL], vocab_filename="labels")
    outputs = {ONE_HOT: tf.one_hot(tf.reshape(index, [-1]), len(photos.LABELS))}
    if IMAGE in inputs:
        outputs[IMAGE_OUT] = inputs[IMAGE]
    return outputs


def run_fn(fn_args: FnArgs) -> None:
    """Trains for one epoch on the transformed examples and exports a SavedModel."""
    keras.utils.set_random_seed(1)
    transform = tft.TFTransformOutput(fn_args.transform_output)
    backbone = keras.saving.load_model(fn_args.custom_config["backbone"])
    model = keras.Sequential(
        [
            keras.Input((*network.IMAGE_SIZE, 3)),
            backbone,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(len(photos.LABELS)),
        ]
    )
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    train = _batches(fn_args.train_files, transform, shuffle=True)
    evaluation = _batches(fn_args.eval_files, transform, shuffle=False)
    model.fit(train, validation_data=evaluation, epochs=1, verbose=0)
    served = _Served(model, transform)
    signatures = {"serving_default": served.serving_default, TRANSFORM: served.transform_features}
    tf.saved_model.save(served, fn_args.serving_model_dir, signatures=signatures)


def _batches(patterns: list[str], transform: tft.TFTransformOutput, *, shuffle: bool) -> tf.data.Dataset:
    spec = transform.transformed_feature_spec()

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_single_example(record, spec)
        return _decode(tf.reshape(parsed[IMAGE_OUT], [])), parsed[ONE_HOT]

    files = [file for pattern in patterns for file in tf.io.gfile.glob(pattern)]
    data = tf.data.TFRecordDataset(files, compression_type="GZIP")
    if shuffle:
        data = data.shuffle(_SHUFFLE, seed=1)
    return data.map(parse, tf.data.AUTOTUNE).batch(network.BATCH).prefetch(tf.data.AUTOTUNE)


def _decode(encoded: tf.Tensor) -> tf.Tensor:
    return tf.image.resize(tf.io.decode_jpeg(encoded, channels=3), network.IMAGE_SIZE)


class _Served(tf.Module):
    def __init__(self, model: keras.Model, transform: tft.TFTransformOutput) -> None:
        super().__init__()
        self.model = model
        self.transform = transform.transform_features_layer()
        self._spec: dict[str, Any] = transform.raw_feature_spec()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_default(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Maps serialised tf.Examples to probabilities float32 [batch, K]."""
        encoded = tf.reshape(tf.io.parse_example(examples, {IMAGE: self._spec[IMAGE]})[IMAGE], [-1])
        pixels = tf.map_fn(_decode, encoded, fn_output_signature=tf.TensorSpec((*network.IMAGE_SIZE, 3), tf.float32))
        return {PROBABILITIES: tf.nn.softmax(self.model(pixels, training=False))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Maps serialised tf.Examples to one-hot labels for the Evaluator."""
        return {ONE_HOT: self.transform(tf.io.parse_example(examples, self._spec))[ONE_HOT]}
