"""Phases of training: what ends one."""

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


def test_a_step_that_needs_too_much_memory_is_one_sentence(tmp_path: Path) -> None:
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(2)(Greedy()(inputs)))
    data = tf.data.Dataset.from_tensors((tf.ones([4, 2]), tf.ones([4, 2])))
    phases = Phases(
        str(tmp_path / "checkpoints"),
        str(tmp_path / "logs"),
        learning_rate=0.1,
        loss=lambda: keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=list,
        strategy=tf.distribute.get_strategy(),
        jit=False,
        average=False,
    )
    expected = r"^training: a step needs more memory than there is \(.*OOM.*\); lower training\.batch_size or "
    with pytest.raises(ImagegateError, match=expected):
        phases.run("all", model, data, data, 1)
