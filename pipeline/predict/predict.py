"""`imagegate predict`: images through a pushed model's own serving signature."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from components.base import progress
from components.base.artifact_files import PUSHED_MANIFEST
from components.base.errors import ConfigError, ImagegateError
from components.data import images, storage
from components.push import versions
from pipeline.predict.inputs import Input
from pipeline.predict.overlays import Overlays

_BATCH = 32
_THREADS = 8  # that read images; each holds one, decoded
_MAX_PIXELS = 100_000_000


def find(model: str) -> versions.Served:
    """The version that `model` names: a version's folder or fsspec URL, or those of the push destination: its newest.

    Raises:
        ImagegateError: there is no model, or none that this command knows the answers of.
    """
    served = versions.current(model) or versions.read(model if storage.is_url(model) else os.path.abspath(model))
    if served is None:
        raise ImagegateError(
            f"{model}: no model here; expected a folder with {PUSHED_MANIFEST}, or one of numbered versions with it"
        )
    task = served.manifest.get("task")
    if not isinstance(task, str) or task not in _ANSWERS:
        raise ImagegateError(f"{served.path}: the model's task is {task!r}; expected one of {', '.join(_ANSWERS)}")
    return served


def overlays_for(served: versions.Served, folder: str, inputs: Sequence[Input]) -> Overlays:
    """Overlays of the model's masks. Raises ConfigError: it gives none, or they cannot go to `folder`."""
    task = served.manifest["task"]
    if task != "segmentation":
        raise ConfigError(f"--overlay: the model's task is {task}; expected segmentation, which gives masks to draw")
    return Overlays(folder, inputs)


def predict(
    served: versions.Served, inputs: Sequence[Input], overlays: Overlays | None = None
) -> Iterator[list[dict[str, Any]]]:
    """Yields, batch by batch and for each input in order, {image, error}, or what the model's task gives.

    single_label: {image, label, probabilities}; multi_label: {image, labels, probabilities}, labels those that the
    model decides on at its own thresholds; segmentation: {image, shares}, each label's share of the pixels, and with
    `overlays` overlay, the path of the file written. Probabilities and shares are by label, in the model's order.
    Besides, for all: familiarity, the share of the eval split that is no more like the training images, and abstain,
    whether that is too little to answer.

    The images go through the same check as at ingest, so that a rotated photo or a palette means the same here. The
    next batch is read while the model answers.

    Raises:
        ImagegateError: the model's files are not those that were pushed.
    """
    progress.report("loading the model", 0)
    import tensorflow as tf

    with versions.local(served) as folder, ThreadPoolExecutor(_THREADS) as pool:
        loaded = tf.saved_model.load(folder)
        signature = loaded.signatures["serving_default"]
        progress.report("images", 0, len(inputs))
        ahead = pool.map(_read, inputs[:_BATCH])
        for start in range(0, len(inputs), _BATCH):
            results = list(ahead)
            ahead = pool.map(_read, inputs[start + _BATCH : start + 2 * _BATCH])
            good = {number: r for number, r in enumerate(results, start) if "encoded" in r}
            if good:
                encoded = [r.pop("encoded") for r in good.values()]
                answer = signature(image_bytes=tf.constant(encoded))
                arrays = {name: tensor.numpy() for name, tensor in answer.items()}
                _tell(good.values(), arrays, served.manifest["task"])
                if overlays is not None:
                    _draw(good, encoded, arrays, overlays)
            progress.report("images", start + len(results), len(inputs))
            yield results


def _tell(results: Iterable[dict[str, Any]], arrays: Mapping[str, Any], task: str) -> None:
    likeness = zip(arrays["familiarity"], arrays["abstain"], strict=True)
    for result, said, (familiarity, abstain) in zip(results, _ANSWERS[task](arrays), likeness, strict=True):
        result.update(said, familiarity=float(familiarity), abstain=bool(abstain))


def _draw(
    results: Mapping[int, dict[str, Any]], encoded: Sequence[bytes], arrays: Mapping[str, Any], overlays: Overlays
) -> None:
    labels = [name.decode() for name in arrays["labels"]]
    overlays.legend(labels)
    for (number, result), image, mask in zip(results.items(), encoded, arrays["mask"], strict=True):
        try:
            result["overlay"] = overlays.draw(number, image, mask, len(labels))
        except OSError as error:
            name = result["image"]
            result.clear()
            result.update(image=name, error=f"{overlays.paths[number]} cannot be written: {error.strerror or error}")
        progress.report("images", number + 1, len(overlays.paths))


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


def _read(item: Input) -> dict[str, Any]:
    try:
        if item.problem:
            return {"image": item.name, "error": item.problem}
        return {"image": item.name, "encoded": images.check(_bytes(item.name), _MAX_PIXELS).encoded}
    except OSError as error:
        return {"image": item.name, "error": f"cannot be read: {error.strerror or error}"}
    except (images.BadImage, ImagegateError) as error:
        return {"image": item.name, "error": str(error)}


def _bytes(name: str) -> bytes:
    if storage.is_url(name):
        folder, _, last = name.rpartition("/")
        return storage.read(folder, last)
    with open(name, "rb") as f:
        return f.read(images.max_file_bytes(_MAX_PIXELS) + 1)
