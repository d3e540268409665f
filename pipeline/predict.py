"""`imagegate predict`: images through a pushed model's own serving signature."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from components import images, push
from components.errors import ImagegateError

_BATCH = 32
_MAX_PIXELS = 100_000_000


def predict(model: str, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields, for each path in order, {image, label, probabilities} or {image, error}.

    The images go through the same check as at ingest, so that a rotated photo or a palette means the same here.

    Args:
        model: a version's folder, or the push destination: its newest version.
        paths: image files.

    Raises:
        ImagegateError: there is no model, or its files are not those that were pushed.
    """
    served = _find(model)
    push.verify(served)
    import tensorflow as tf

    loaded = tf.saved_model.load(served.path)
    signature = loaded.signatures["serving_default"]
    for start in range(0, len(paths), _BATCH):
        results = [_read(path) for path in paths[start : start + _BATCH]]
        good = [r for r in results if "encoded" in r]
        if good:
            answer = signature(image_bytes=tf.constant([r.pop("encoded") for r in good]))
            names, probabilities = answer["labels"].numpy(), answer["probabilities"].numpy()
            for result, row_names, row in zip(good, names, probabilities, strict=True):
                labels = [name.decode() for name in row_names]
                result["label"] = labels[int(row.argmax())]
                result["probabilities"] = {label: float(p) for label, p in zip(labels, row, strict=True)}
        yield from results


def _find(model: str) -> push.Served:
    served = push.current(model) or push.read(os.path.abspath(model))
    if served is None:
        raise ImagegateError(
            f"{model}: no model here; expected a folder with {push.MANIFEST}, or one of numbered versions with it"
        )
    return served


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as f:
            data = f.read(images.max_file_bytes(_MAX_PIXELS) + 1)
        return {"image": path, "encoded": images.check(data, _MAX_PIXELS).encoded}
    except OSError as error:
        return {"image": path, "error": f"cannot be read: {error.strerror}"}
    except images.BadImage as error:
        return {"image": path, "error": str(error)}
