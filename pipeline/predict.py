"""`imagegate predict`: images through a pushed model's own serving signature."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components import images, push, storage
from components.errors import ImagegateError

_BATCH = 32
_MAX_PIXELS = 100_000_000


def predict(model: str, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields, for each path in order, {image, error}, or what the model's task gives.

    single_label: {image, label, probabilities}; multi_label: {image, labels, probabilities}, labels those that the
    model decides on at its own thresholds; segmentation: {image, shares}, each label's share of the pixels.
    Probabilities and shares are by label, in the model's order. Besides, for all: familiarity, the share of the eval
    split that is no more like the training images, and abstain, whether that is too little to answer.

    The images go through the same check as at ingest, so that a rotated photo or a palette means the same here.

    Args:
        model: a version's folder or fsspec URL, or those of the push destination: its newest version.
        paths: image files.

    Raises:
        ImagegateError: there is no model, or its files are not those that were pushed.
    """
    served = _find(model)
    task = served.manifest.get("task")
    if not isinstance(task, str) or task not in _ANSWERS:
        raise ImagegateError(f"{served.path}: the model's task is {task!r}; expected one of {', '.join(_ANSWERS)}")
    import tensorflow as tf

    with push.local(served) as folder:
        loaded = tf.saved_model.load(folder)
        signature = loaded.signatures["serving_default"]
        for start in range(0, len(paths), _BATCH):
            results = [_read(path) for path in paths[start : start + _BATCH]]
            good = [r for r in results if "encoded" in r]
            if good:
                answer = signature(image_bytes=tf.constant([r.pop("encoded") for r in good]))
                arrays = {name: tensor.numpy() for name, tensor in answer.items()}
                likeness = zip(arrays["familiarity"], arrays["abstain"], strict=True)
                for result, said, (familiarity, abstain) in zip(good, _ANSWERS[task](arrays), likeness, strict=True):
                    result.update(said, familiarity=float(familiarity), abstain=bool(abstain))
            yield from results


def line(result: Mapping[str, Any]) -> str:
    """A result of `predict` that is no error, for people: what applies, the likeliest or largest first."""
    if "shares" in result:
        said = [f"{label} {share:.1%}" for label, share in _descending(result["shares"]) if share > 0]
    else:
        best = _descending(result["probabilities"])
        said = [f"{label} {p:.3f}" for label, p in best if label in result.get("labels", (label,))]
        if "label" in result:
            said = said[:3]
        elif not said:
            said = [f"none of the labels; the likeliest is {best[0][0]} {best[0][1]:.3f}"]
    unlike = " (abstains: unlike all that the model knows)" if result["abstain"] else ""
    return f"{result['image']}: {', '.join(said)}{unlike}"


def _descending(numbers: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(numbers.items(), key=lambda item: -item[1])


def _single(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for by_label in _probabilities(answer):
        yield {"label": max(by_label, key=by_label.__getitem__), "probabilities": by_label}


def _multi(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for by_label, decided in zip(_probabilities(answer), answer["decisions"], strict=True):
        applies = [label for label, yes in zip(by_label, decided, strict=True) if yes]
        yield {"labels": applies, "probabilities": by_label}


def _probabilities(answer: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    for names, row in zip(answer["labels"], answer["probabilities"], strict=True):
        yield {name.decode(): float(p) for name, p in zip(names, row, strict=True)}


def _masks(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    names = [name.decode() for name in answer["labels"]]
    for mask in answer["mask"]:
        yield {"shares": {name: float((mask == i).mean()) for i, name in enumerate(names)}}


_ANSWERS = {"single_label": _single, "multi_label": _multi, "segmentation": _masks}


def _find(model: str) -> push.Served:
    served = push.current(model) or push.read(model if storage.is_url(model) else os.path.abspath(model))
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
