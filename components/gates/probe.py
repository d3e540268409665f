"""Script that asks an exported model as a server would: from its files alone, without the code of imagegate.

Imports TensorFlow and waits for one line, a JSON list of four paths: MODEL, REQUEST, ANSWER and WARM_UP. Replays the
warm-up requests of the TFRecord file WARM_UP, asks every signature for the images of the JSON file REQUEST, and writes
the answers to ANSWER.npz and measurements to ANSWER.json. Without a line it ends: whoever started it has. It must not
import anything of this project.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

# Number of calls: untimed ones first, then with one image, then with all, and of each warm-up request. Chosen by hand;
# not measured.
_WARM_UP, _SINGLE, _BATCHES, _REPLAYS = 3, 20, 5, 3


def main(model: str, request: str, answer: str, warm_up: str) -> None:
    """Asks the model and writes the answers. Any error ends the process, and the caller reads its exit code and log."""
    import numpy as np
    import tensorflow as tf

    with open(request, encoding="utf-8") as f:
        # Name of a batch -> (signature, its inputs). What is served comes last: broken files come first, so that they
        # would change later answers, too, if they changed any.
        calls = {name: (signature, _inputs(told)) for name, (signature, told) in json.load(f).items()}
    signatures = tf.saved_model.load(model).signatures

    def ask(signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        tensors = signatures[signature](
            **{
                name: tf.constant(rows, tf.string) if isinstance(rows, list) else tf.constant(rows)
                for name, rows in inputs.items()
            }
        )
        arrays = {output: tensor.numpy() for output, tensor in tensors.items()}
        # Strings are arrays of objects, which npz could only pickle.
        return {output: a.astype("S") if a.dtype == object else a for output, a in arrays.items()}

    # A server replays these once it has loaded the model, before anybody else asks it.
    replays = list(_recorded(warm_up, signatures))
    replayed = {f"replayed {i}": ask(*replay) for i, replay in enumerate(replays)}
    arrays = {f"{name}/{output}": array for name, found in replayed.items() for output, array in found.items()}
    arrays |= {
        f"{name}/{output}": array
        for name, (signature, inputs) in calls.items()
        if signature in signatures
        for output, array in ask(signature, inputs).items()
    }
    wanted = dict(calls.values())
    every = wanted["serving_default"]
    single = _seconds(lambda: ask("serving_default", _first(every, 1)), _SINGLE)
    batch = _seconds(lambda: ask("serving_default", every), _BATCHES)
    seconds = [_seconds(functools.partial(ask, *replay), _REPLAYS, warm_up=0) for replay in replays]
    report = {
        "missing": [signature for signature in wanted if signature not in signatures],
        "forms": {
            signature: {o: [t.dtype.name, t.shape.rank] for o, t in signatures[signature].structured_outputs.items()}
            for signature in signatures
        },
        "empty": {
            signature: {o: len(array) for o, array in ask(signature, _first(inputs, 0)).items()}
            for signature, inputs in wanted.items()
            if signature in signatures
        },
        "latency_ms": {"median": 1000 * float(np.median(single)), "p95": 1000 * float(np.quantile(single, 0.95))},
        "images_per_second": len(next(iter(every.values()))) / float(np.median(batch)),
        "replay_seconds": [float(np.median(each)) for each in seconds],
    }
    np.savez(f"{answer}.npz", **arrays)
    with open(f"{answer}.json", "w", encoding="utf-8") as f:
        json.dump(report, f)


def _inputs(told: dict[str, Any]) -> dict[str, Any]:
    """Inputs of a signature: lists of bytes, and arrays, which come as files of NumPy."""
    import numpy as np

    return {
        name: [base64.b64decode(text) for text in rows]
        if isinstance(rows, list)
        else np.load(io.BytesIO(base64.b64decode(rows)), allow_pickle=False)
        for name, rows in told.items()
    }


def _recorded(path: str, signatures: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The signature and inputs of each warm-up request, by the steps of TensorFlow Serving.

    See `RunSavedModelWarmup` and `PreProcessPrediction` in its source: it loads no model of which this fails.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        request = log.predict_log.request
        signature = request.model_spec.signature_name or "serving_default"
        if log.WhichOneof("log_type") != "predict_log" or signature not in signatures:
            raise ValueError(f"a warm-up request is of the signature {signature!r}, which the model does not have")
        wanted = set(signatures[signature].structured_input_signature[1])
        if set(request.inputs) != wanted:
            raise ValueError(f"a warm-up request has the inputs {sorted(request.inputs)}, expected {sorted(wanted)}")
        yield signature, {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}


def _first(inputs: dict[str, Any], count: int) -> dict[str, Any]:
    return {name: rows[:count] for name, rows in inputs.items()}


def _seconds(call: Callable[[], object], times: int, warm_up: int = _WARM_UP) -> list[float]:
    """Times a call repeatedly, after some that are not timed; seconds."""
    for _ in range(warm_up):
        call()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    # A server has no Keras. TensorFlow looks for it, does without, and starts in half the time.
    sys.modules["keras"] = None  # type: ignore[assignment]
    import tensorflow  # noqa: F401
    from tensorflow_serving.apis import prediction_log_pb2  # noqa: F401

    if line := sys.stdin.readline():
        main(*json.loads(line))
