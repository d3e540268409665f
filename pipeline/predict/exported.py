"""Prediction with an exported file, by the runtime of its format."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence

import numpy as np

from components.base.artifact_files import EXPORTS_FOLDER, PUSHED_MANIFEST
from components.base.digests import of_file
from components.base.errors import ImagegateError
from components.data import images, storage
from components.data.arrays.stored import Array
from components.exports import formats, runtimes
from components.exports.metadata import FORMAT, Metadata
from components.labels import kinds, outputs
from components.labels.kind import Answer
from components.push import versions
from components.push.manifest import PushedManifest
from components.push.served import Served

_open = functools.cache(runtimes.open_file)


def is_file(model: str) -> bool:
    """Whether MODEL names an exported file."""
    return formats.is_export(model) and not os.path.isdir(model)


def find(path: str) -> Served:
    """Finds out what an exported file is, from its own metadata.

    Raises:
        ImagegateError: it is not there, its runtime is not installed or cannot open it, imagegate did not write it, or
            it is in the folder of a version whose manifest has another digest for it.
    """
    if storage.is_url(path) or not os.path.isfile(path):
        raise ImagegateError(
            f"{path}: no exported file here; expected a local file, such as VERSION/exports/litert.tflite"
        )
    # A link in a version stands for its file, and a link elsewhere may lead to a version.
    for place in {os.path.abspath(path), os.path.realpath(path)}:
        _require_pushed(place)
    path = os.path.abspath(path)
    ending = os.path.splitext(path)[1].lower()
    name = next(one.name for one in formats.FORMATS.values() if one.endings[0] == ending)
    if lacking := next(formats.missing([name]), None):
        raise ImagegateError(f"{path}: {lacking}")
    try:
        told = Metadata.model_validate(_open(path).metadata)
    except Exception as error:
        why = f"its runtime says: {next(iter(str(error).splitlines()), '')[:300] or type(error).__name__}"
        raise ImagegateError(f"{path} is damaged, or imagegate did not write it; {why}") from error
    if told.format != FORMAT or told.task not in kinds.KINDS:
        raise ImagegateError(f"{path}: another release wrote this file; its task is {told.task!r}")
    manifest = PushedManifest(
        name=told.name, task=told.task, labels=told.labels, image_size=told.image_size, bits=told.bits
    )
    return Served("", path, manifest)


def _require_pushed(path: str) -> None:
    """Compares a file, and that of its weights if there is one, with the manifest of its version, if it is in one."""
    folder = os.path.dirname(os.path.dirname(path))
    if os.path.basename(os.path.dirname(path)) != EXPORTS_FOLDER or not os.path.exists(
        os.path.join(folder, PUSHED_MANIFEST)
    ):
        return
    served = versions.read(folder)
    known = served.manifest.files if served else {}
    stem = os.path.splitext(path)[0]
    for ending in (os.path.splitext(path)[1], ".bin"):
        name = f"{EXPORTS_FOLDER}/{os.path.basename(stem)}{ending}"
        if os.path.exists(stem + ending) and known.get(name) != of_file(stem + ending):
            raise versions.Damaged(f"{stem}{ending} does not match the model's {PUSHED_MANIFEST}; it is not loaded")


def answers(served: Served) -> Callable[[Sequence[bytes | Array]], Answer]:
    """Opens an exported file: checked images -> name of an output of the SavedModel -> array, without familiarity."""
    import tensorflow as tf

    opened = _open(served.path)
    told = Metadata.model_validate(opened.metadata)
    names = np.array([label.encode() for label in told.labels], object)

    def answered(contents: Sequence[bytes | Array]) -> Answer:
        pixels = np.stack([images.decode(tf.constant(content), told.image_size).numpy() for content in contents])
        arrays = opened.ask(pixels)
        rest = {outputs.LABELS: np.tile(names, (len(contents), 1)), outputs.ERROR: np.full(len(contents), b"", object)}
        if outputs.PROBABILITIES in arrays:
            decided = np.array(told.thresholds, np.float32)
            rest[outputs.DECISIONS] = arrays[outputs.PROBABILITIES] >= decided
        return {**arrays, **rest}

    return answered
