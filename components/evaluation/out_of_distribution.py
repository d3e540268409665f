"""Out-of-distribution images, which belong to none of the labels: how well a model recognises them as unfamiliar."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from components.base import proof
from components.base.artifact_files import OUT_OF_DISTRIBUTION_FILE
from components.data import images, storage
from components.ingest import splits
from components.labels import outputs
from components.metrics import OUT_OF_DISTRIBUTION, OUT_OF_DISTRIBUTION_IMAGES, curves

AUROC, ABSTAINED = OUT_OF_DISTRIBUTION
_BATCH = 32  # images that a model predicts at once


class Measurement(TypedDict, total=False):
    """Results for the out-of-distribution images, as written beside an evaluation."""

    images: int
    unusable: list[dict[str, str]]  # path and reason of each file that is not a usable image
    models: dict[str, dict[str, float]]  # model -> metric or number of images -> value, NaN without images
    compared: dict[str, dict[str, float]]  # likewise, beside the test images that are compared


def fingerprint(root: str | None, max_pixels: int) -> str:
    """A digest of the contents of the files below the folder or URL `root`, or "" for None.

    Files in a store that has checksums are not read, nor are files that are too large to be used.

    Args:
        root: folder or fsspec URL.
        max_pixels: of an image.

    Raises:
        ConfigError: there is no such folder.
    """
    if root is None:
        return ""
    largest, remote = images.max_file_bytes(max_pixels), storage.is_url(root)

    def content(file: storage.File) -> str:
        if file.problem or file.size > largest or (remote and proof.proves(file.version)):
            return f"{file.problem} {file.size} {proof.facts(file.version)}"
        try:
            return splits.digest(storage.read(root, file.path))
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"

    listed = sorted((f.path, content(f)) for f in storage.files(root, "evaluation.out_of_distribution"))
    return splits.digest(json.dumps(listed).encode())


def measure(
    models: Mapping[str, tuple[str, Sequence[float]]],
    root: str,
    max_pixels: int,
    bits: int | None = None,
    compared: Mapping[str, Sequence[float]] = MappingProxyType({}),
) -> Measurement:
    """Measures how familiar each model finds the images below `root`, compared with the test split.

    Args:
        models: name -> (folder of the SavedModel, familiarities of the test split).
        compared: name -> familiarities of the test images that are compared with the served model, if not all are.
        root: folder or fsspec URL, searched recursively.
        max_pixels, bits: of an image; see `images.check`.
    """
    unusable: list[dict[str, str]] = []
    familiarity: dict[str, list[float]] = {name: [] for name in models}
    signatures = {name: _signature(folder) for name, (folder, _) in models.items()}
    abstained = dict.fromkeys(models, 0)
    for batch in _batches(root, max_pixels, bits, unusable):
        for name, signature in signatures.items():
            answer = signature(batch)
            familiarity[name] += answer[outputs.FAMILIARITY].numpy().tolist()
            abstained[name] += int(answer[outputs.ABSTAIN].numpy().sum())

    def metrics(name: str, known: Sequence[float]) -> dict[str, float]:
        unknown = familiarity[name]
        share = _share(abstained[name], len(unknown))
        return {AUROC: auroc(known, unknown), ABSTAINED: share, OUT_OF_DISTRIBUTION_IMAGES: float(len(unknown))}

    return {
        "images": len(next(iter(familiarity.values()))),
        "unusable": unusable,
        "models": {name: metrics(name, known) for name, (_, known) in models.items()},
        "compared": {name: metrics(name, known) for name, known in compared.items()},
    }


def auroc(known: ArrayLike, unknown: ArrayLike) -> float:
    """The area under the ROC curve of known against unknown images by familiarity; NaN if either is empty.

    This is the probability that a known image is more familiar than an unknown one; ties count half.

    >>> auroc([0.9, 0.5], [0.5, 0.1])
    0.875
    """
    scores = np.concatenate([known, unknown]).astype(np.float32)[:, None]
    positive = np.arange(len(scores))[:, None] < np.size(known)
    return float(curves.exact_areas(scores, positive, np.ones(scores.shape))[0, 0])


def write(folder: str, measurement: Measurement) -> None:
    """Writes a measurement into the folder of an evaluation."""
    with open(os.path.join(folder, OUT_OF_DISTRIBUTION_FILE), "w", encoding="utf-8") as f:
        json.dump(measurement, f, indent=1)


def read(folder: str) -> Measurement:
    """Reads the measurement from the folder of an evaluation; empty if there is none."""
    path = os.path.join(folder, OUT_OF_DISTRIBUTION_FILE)
    if not os.path.isfile(path):
        return {}
    with open(path, encoding="utf-8") as f:
        measurement: Measurement = json.load(f)
    return measurement


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _batches(root: str, max_pixels: int, bits: int | None, unusable: list[dict[str, str]]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for file in sorted(storage.files(root, "evaluation.out_of_distribution"), key=lambda f: f.path):
        try:
            if file.problem:
                raise images.BadImage(file.problem)
            if file.size > images.max_file_bytes(max_pixels):
                raise images.BadImage(f"{file.size:,} bytes are more than data.max_pixels allows for")
            batch.append(images.check(storage.read(root, file.path), max_pixels, bits).encoded)
        except (images.BadImage, OSError) as error:
            unusable.append({"path": file.path, "reason": str(error)})
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _signature(folder: str) -> Any:
    import tensorflow as tf

    model = tf.saved_model.load(folder)
    signature = model.signatures["serving_default"]

    def predict(batch: list[bytes]) -> Any:
        _ = model  # keeps the variables that the signature uses
        return signature(image_bytes=tf.constant(batch))

    return predict
