"""Script that asks an exported model as a server would: from its files alone, without the code of imagegate.

Usage: `probe.py MODEL REQUEST ANSWER`. Asks every signature for the images of the JSON file REQUEST, and writes the
answers to ANSWER.npz and measurements to ANSWER.json. It must not import anything of this project.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

# Number of calls: untimed ones first, then with one image, then with all. Chosen by hand; not measured.
_WARM_UP, _SINGLE, _BATCHES = 3, 20, 5


def main(model: str, request: str, answer: str) -> None:
    """Asks the model and writes the answers. Any error ends the process, and the caller reads its exit code and log."""
    import numpy as np
    import tensorflow as tf

    with open(request, encoding="utf-8") as f:
        inputs = {name: [base64.b64decode(text) for text in texts] for name, texts in json.load(f).items()}
    signatures = tf.saved_model.load(model).signatures

    def ask(signature: str, name: str, data: Sequence[bytes]) -> dict[str, Any]:
        tensors = signatures[signature](**{name: tf.constant(data, tf.string)})
        arrays = {output: tensor.numpy() for output, tensor in tensors.items()}
        # Strings are arrays of objects, which npz could only pickle.
        return {output: a.astype("S") if a.dtype == object else a for output, a in arrays.items()}

    calls = (("serving_default", "image_bytes"), ("examples", "examples"), ("evaluate", "examples"))
    one, every = inputs["image_bytes"][:1], inputs["image_bytes"]
    # First, so that broken files would change later answers, too, if they changed any.
    asked = {"mixed": one + inputs["files"] + one, "read": inputs["read"]}
    arrays = {
        f"{batch}/{output}": array
        for batch, images in asked.items()
        if "serving_default" in signatures
        for output, array in ask("serving_default", "image_bytes", images).items()
    }
    arrays |= {
        f"{signature}/{output}": array
        for signature, name in calls
        if signature in signatures
        for output, array in ask(signature, name, inputs[name]).items()
    }
    single = _seconds(lambda: ask("serving_default", "image_bytes", one), _SINGLE)
    batch = _seconds(lambda: ask("serving_default", "image_bytes", every), _BATCHES)
    report = {
        "missing": [signature for signature, _ in calls if signature not in signatures],
        "forms": {
            signature: {o: [t.dtype.name, t.shape.rank] for o, t in signatures[signature].structured_outputs.items()}
            for signature in signatures
        },
        "empty": {
            signature: {o: len(array) for o, array in ask(signature, name, []).items()}
            for signature, name in calls
            if signature in signatures
        },
        "latency_ms": {"median": 1000 * float(np.median(single)), "p95": 1000 * float(np.quantile(single, 0.95))},
        "images_per_second": len(every) / float(np.median(batch)),
    }
    np.savez(f"{answer}.npz", **arrays)
    with open(f"{answer}.json", "w", encoding="utf-8") as f:
        json.dump(report, f)


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
    main(*sys.argv[1:])
