"""Warm-up requests: real images that TensorFlow Serving asks a new model for before it answers any client with it.

They are `PredictionLog` records, see https://www.tensorflow.org/tfx/serving/saved_model_warmup. A server that cannot
answer one of them does not load the model, so the serving check asks the model for exactly these records.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.gates.requests import Inputs

SIZES = (1, 2, 4, 8, 16, 32)  # images of each request; a GPU chooses its kernels anew for each
_MOST_BYTES = 16_000_000  # of all requests together, because each version holds them. Chosen by hand; not measured.


def choose(inputs: Inputs) -> list[Sequence[int]]:
    """Chooses the rows of each request: the smallest images, so that the file stays small.

    Args:
        inputs: name of an input of a signature -> n rows.

    Returns:
        one request for each of `SIZES`, up to n images; fewer where more would take too many bytes, but at least one.
    """
    weights = [sum(sizes) for sizes in zip(*map(_bytes, inputs.values()), strict=True)]
    order = sorted(range(len(weights)), key=weights.__getitem__)
    chosen: list[Sequence[int]] = []
    total = 0
    for size in SIZES:
        total += sum(weights[row] for row in order[:size])
        if size > len(order) or (chosen and total > _MOST_BYTES):
            break
        chosen.append(order[:size])
    return chosen


def write(path: str, signature: str, inputs: Inputs, chosen: Sequence[Sequence[int]]) -> None:
    """Writes the requests as TFRecords of `PredictionLog`; equal requests give equal bytes.

    Args:
        path: of the file; its folder is made.
        signature: that they ask.
        inputs: name of an input of the signature -> rows.
        chosen: the rows of each request.
    """
    import tensorflow as tf

    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tf.io.TFRecordWriter(path) as out:
        for record in _records(signature, inputs, chosen):
            out.write(record)


def _records(signature: str, inputs: Inputs, chosen: Sequence[Sequence[int]]) -> Iterator[bytes]:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    for rows in chosen:
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.model_spec.signature_name = signature
        for name, values in inputs.items():
            taken = [values[row] for row in rows]
            tensor = tf.make_tensor_proto(taken if isinstance(values, list) else np.stack(taken))
            log.predict_log.request.inputs[name].CopyFrom(tensor)
        yield log.SerializeToString(deterministic=True)


def _bytes(rows: list[bytes] | NDArray[Any]) -> list[int]:
    return [len(row) if isinstance(row, bytes) else row.nbytes for row in rows]
