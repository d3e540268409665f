"""Phases of training: what ends one, and how often a step is traced."""

from pathlib import Path

import keras
import pytest
import tensorflow as tf

from components.base.errors import ImagegateError
from components.model.fitting.phases import Phases


class Greedy(keras.layers.Layer):
    """A layer that wants 2^46 numbers, 256 TiB, when it learns; more than a process can address."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training:
            return x
        return x + tf.reduce_sum(tf.fill([2**23, 2**23 + tf.shape(x)[0]], tf.reduce_sum(x)))


def phases(folder: Path) -> Phases:
    return Phases(
        str(folder / "checkpoints"),
        str(folder / "logs"),
        learning_rate=0.1,
        loss=lambda: keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=list,
        strategy=tf.distribute.get_strategy(),
        jit=False,
        average=True,
    )


def batches(*sizes: int) -> tf.data.Dataset:
    data = tf.data.Dataset.from_generator(
        lambda: ((tf.ones([n, 2]), tf.ones([n, 2])) for n in sizes),
        output_signature=(tf.TensorSpec([None, 2]), tf.TensorSpec([None, 2])),
    )
    return data.apply(tf.data.experimental.assert_cardinality(len(sizes)))


def test_a_step_that_needs_too_much_memory_is_one_sentence(tmp_path: Path) -> None:
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(2)(Greedy()(inputs)))
    expected = r"^training: a step needs more memory than there is \(.*OOM.*\); lower training\.batch_size or "
    with pytest.raises(ImagegateError, match=expected):
        phases(tmp_path).run("all", model, batches(4), batches(4), 1)


class Counted(keras.layers.Layer):
    """Counts how often its code runs while the network learns."""

    traced = 0

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        self.traced += training
        return x


def test_a_training_step_is_traced_once_for_batches_of_all_sizes(tmp_path: Path) -> None:
    inputs, counted = keras.Input((2,)), Counted()
    model = keras.Model(inputs, keras.layers.Dense(2)(counted(inputs)))
    before = counted.traced
    phases(tmp_path).run("all", model, batches(4, 4, 3), batches(4), 2)
    assert counted.traced - before == 1
