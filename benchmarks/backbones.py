"""Measures how fast the networks of `imagegate backbone list` are on one thread, as ratios to one of them.

`python -m benchmarks.backbones` prints what `components.model.networks.catalogue` has as `speed` and `training_speed`.
The weights are random, which changes no duration. The clock is processor time, of which the least counts, so that
other work on the machine hardly matters.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from components.model.networks.catalogue import RECOMMENDED, REFERENCE

_SIZE, _BATCH, _TIMES = 224, 8, 7


def main() -> None:
    """Measures the named networks, or all, and prints a line for each."""
    reference = _seconds(REFERENCE)
    for name in sys.argv[1:] or [network.name for network in RECOMMENDED]:
        forward, train = (ours / other for ours, other in zip(reference, _seconds(name), strict=True))
        print(f"{name:<20} speed={forward:.2f} training_speed={train:.2f}", flush=True)


def _seconds(name: str) -> tuple[float, float]:
    """Returns the processor time of a forward pass and of a step of training."""
    forward, train = _steps(name)
    return _least(forward), _least(train)


def _least(step: Callable[[], object]) -> float:
    step()  # traces it and fills the caches
    found = []
    for _ in range(_TIMES):
        started = time.process_time()
        step()
        found.append(time.process_time() - started)
    return min(found)


def _steps(name: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """Returns a forward pass and a step of training of everything."""
    import keras
    import numpy as np
    import tensorflow as tf

    keras.utils.clear_session()
    factory = getattr(keras.applications, name)
    backbone = factory(include_top=False, weights=None, input_shape=(_SIZE, _SIZE, 3), pooling="avg")
    model = keras.Sequential([backbone, keras.layers.Dense(10)])
    optimizer = keras.optimizers.Adam()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    generator = np.random.default_rng(1)
    images = tf.constant(generator.uniform(0, 255, (_BATCH, _SIZE, _SIZE, 3)).astype(np.float32))
    labels = tf.constant(generator.integers(0, 10, _BATCH))
    optimizer.build(model.trainable_variables)

    @tf.function
    def forward() -> object:
        return model(images, training=False)

    @tf.function
    def train() -> None:
        with tf.GradientTape() as tape:
            value = loss(labels, model(images, training=True))
        optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)

    return forward, train


if __name__ == "__main__":
    os.environ |= {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    os.nice(15)
    main()
