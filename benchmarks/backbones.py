"""Images per second of each listed backbone on one core, relative to the first: `python -m benchmarks.backbones`."""

from __future__ import annotations

import time

_SIZE, _BATCH, _TIMES = 224, 16, 5


def main() -> None:
    """Prints a line for each backbone."""
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import keras

    from components.model.networks import pretrained

    images = np.random.default_rng(1).uniform(0, 255, (_BATCH, _SIZE, _SIZE, 3)).astype(np.float32)
    first = 0.0
    for each in pretrained.LISTED:
        factory = getattr(keras.applications, each.name)
        network = factory(include_top=False, weights=None, input_shape=(_SIZE, _SIZE, 3))
        apply = tf.function(lambda x, network=network: network(x, training=False))
        apply(images)
        seconds = []
        for _ in range(_TIMES):
            begin = time.perf_counter()
            apply(images)
            seconds.append(time.perf_counter() - begin)
        first = first or min(seconds)
        print(f"{each.name:20} {first / min(seconds):5.2f} {network.count_params():12,} parameters", flush=True)


if __name__ == "__main__":
    main()
