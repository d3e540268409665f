"""Script that asks an exported model as a server would: from its files alone, without the code of imagegate.

Usage: `probe.py MODEL REQUEST ANSWER`. Asks every signature for the images of the JSON file REQUEST, and writes the
answers to ANSWER.npz and measurements to ANSWER.json. It must not import anything of this project.
"""

from __future__ import annotations

import base64
import io
import json
import sys
import time
from collections.abc import Callable
from typing import Any

# Number of calls: untimed ones first, then with one image, then with all. Chosen by hand; not measured.
_WARM_UP, _SINGLE, _BATCHES = 3, 20, 5


def main(model: str, request: str, answer: str) -> None:
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

    arrays = {
        f"{name}/{output}": array
        for name, (signature, inputs) in calls.items()
        if signature in signatures
        for output, array in ask(signature, inputs).items()
    }
    wanted = dict(calls.values())
    every = wanted["serving_default"]
    single = _seconds(lambda: ask("serving_default", _first(every, 1)), _SINGLE)
    batch = _seconds(lambda: ask("serving_default", every), _BATCHES)
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


def _first(inputs: dict[str, Any], count: int) -> dict[str, Any]:
    return {name: rows[:count] for name, rows in inputs.items()}


def _seconds(call: Callable[[], object], times: int) -> list[float]:
    """Times a call repeatedly, after a warm-up; seconds."""
    for _ in range(_WARM_UP):
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
    main(*sys.argv[1:])
