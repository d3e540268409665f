"""A pushed model as its server meets it: loaded from its files alone, in a process that knows nothing of imagegate.

Run as a script, `probe.py MODEL REQUEST ANSWER`: it asks every signature for the images of the JSON file REQUEST and
writes what came to ANSWER.npz and ANSWER.json. Imports nothing of this project.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

_WARM_UP, _SINGLE, _BATCHES = 3, 20, 5  # calls


def main(model: str, request: str, answer: str) -> None:
    """See the module. Whatever goes wrong ends the process, which is what the caller looks at."""
    import numpy as np
    import tensorflow as tf

    with open(request, encoding="utf-8") as f:
        asked = {name: [base64.b64decode(text) for text in texts] for name, texts in json.load(f).items()}
    signatures = tf.saved_model.load(model).signatures

    def ask(signature: str, name: str, data: Sequence[bytes]) -> dict[str, Any]:
        found = signatures[signature](**{name: tf.constant(data)})
        arrays = {output: tensor.numpy() for output, tensor in found.items()}
        # Strings come as objects, which npz holds only as pickles.
        return {output: a.astype("S") if a.dtype == object else a for output, a in arrays.items()}

    calls = (("serving_default", "image_bytes"), ("examples", "examples"), ("evaluate", "examples"))
    refused = [_refuses(partial(ask, "serving_default", "image_bytes", [data])) for data in asked["broken"]]
    # After the broken ones: a model must answer as if nothing had been.
    arrays = {
        f"{signature}/{output}": array
        for signature, name in calls
        if signature in signatures
        for output, array in ask(signature, name, asked[name]).items()
    }
    one, every = asked["image_bytes"][:1], asked["image_bytes"]
    single = _seconds(lambda: ask("serving_default", "image_bytes", one), _SINGLE)
    batch = _seconds(lambda: ask("serving_default", "image_bytes", every), _BATCHES)
    told = {
        "missing": [signature for signature, _ in calls if signature not in signatures],
        "refused": refused,
        "latency_ms": {"median": 1000 * float(np.median(single)), "p95": 1000 * float(np.quantile(single, 0.95))},
        "images_per_second": len(every) / float(np.median(batch)),
    }
    np.savez(f"{answer}.npz", **arrays)
    with open(f"{answer}.json", "w", encoding="utf-8") as f:
        json.dump(told, f)


def _refuses(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except Exception:  # noqa: BLE001  an error of whichever kind is what is asked for
        return True
    return False


def _seconds(call: Callable[[], object], times: int) -> list[float]:
    for _ in range(_WARM_UP):
        call()
    found = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
