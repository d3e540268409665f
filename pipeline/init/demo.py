"""`imagegate init --demo`: a small data set, and a configuration that fits it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from components.base.errors import ConfigError
from pipeline.init import document, fields, shapes

_COMMENTS = {
    "data": "an image belongs to train, eval or test by a hash of its content",
    "data.columns.labels": "0/1 columns named like the labels; an empty cell is unknown",
    "data.bands": "in the order of the files",
    "data.frames": "moments of a sequence, at most",
    "data.invalid": "pixels that are 0 in all bands, here under clouds",
    "data.display": "shown as red, green and blue",
    "labels.names": "of id 0, id 1, ...",
    "labels.ignore": "a name or an id to exclude from loss, weights and metrics",
    "training.backbone": "small | a keras.applications name | a path to a .keras file",
    "training.image_size": "height, width",
    "training.epochs": "upper limit; training stops early",
    "training.augment": "random flips and shifts; turn off where left and right matter",
    "evaluation": "the model is pushed only if all of these hold on the test split",
    "push.destination": "receives numbered versions, as TensorFlow Serving expects",
}


@dataclass(frozen=True)
class _Demo:
    """A demo of one task.

    Attributes:
        name: of the pipeline and of the folder of the data.
        write: writes the data into a folder.
        data, labels, training: keys of these sections.
        thresholds: comment -> entry of `evaluation.thresholds`.
    """

    name: str
    write: Callable[[str], None]
    data: Mapping[str, Any]
    training: Mapping[str, Any]
    thresholds: Mapping[str, Mapping[str, Any]]
    labels: Mapping[str, Any] = field(default_factory=dict)


def write(folder: str, task: str = "single_label", *, bands: bool = False) -> str:
    """Writes `imagegate.yaml` and `data/` into `folder`. Returns the configuration's path.

    Args:
        folder: created if missing.
        task: the `task` of the configuration.
        bands: whether images are sequences with several bands; for the tasks in `OF_BANDS`.

    Raises:
        ConfigError: there already is an `imagegate.yaml`, or the folder cannot be written.
    """
    path = os.path.join(folder, "imagegate.yaml")
    if os.path.exists(path):
        raise ConfigError(f"{path} exists already; remove it, or choose another folder")
    demo = (OF_BANDS if bands else _DEMOS)[task]
    try:
        os.makedirs(folder, exist_ok=True)
        demo.write(os.path.join(folder, "data", demo.name))
        with open(path, "x", encoding="utf-8") as f:
            f.write(_text(task, demo))
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: {error.strerror}") from None
    return path


def _text(task: str, demo: _Demo) -> str:
    comments = {f"evaluation.thresholds.{i}": why for i, why in enumerate(demo.thresholds)}
    values = {
        "name": demo.name,
        "task": task,
        "data": {"root": f"data/{demo.name}", **demo.data},
        **({"labels": demo.labels} if demo.labels else {}),
        "training": {"backbone": "small"} | dict(demo.training),
        "evaluation": {"thresholds": list(demo.thresholds.values())},
        "push": {"destination": f"models/{demo.name}"},
    }
    head = ["docs/configuration.md describes every key. Relative paths start at this file's folder."]
    return document.text(values, _COMMENTS | comments, head)


def _write_digits(root: str) -> None:
    """Writes scikit-learn's 1,797 handwritten digits (8x8 pixels, 17 grey levels) as PNG, one folder per digit."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    written: Counter[int] = Counter()
    for pixels, digit in zip(digits.images, digits.target, strict=True):
        folder = os.path.join(root, str(digit))
        os.makedirs(folder, exist_ok=True)
        grey = np.round(pixels * (255 / 16)).astype(np.uint8)
        Image.fromarray(grey).save(os.path.join(folder, f"{written[digit]:03d}.png"))
        written[digit] += 1


_NO_DROP = "compared with the served model"

_DEMOS = MappingProxyType(
    {
        "single_label": _Demo(
            name="digits",
            write=_write_digits,
            data={"layout": "folders"},
            training={"image_size": [16, 16], "epochs": 30, "augment": False},
            thresholds={
                "over all images": {"metric": "accuracy", "min": 0.97},
                "for every label": {"metric": "recall", "label": "*", "min": 0.8},
                _NO_DROP: {"metric": "macro_f1", "max_drop": 0.02},
            },
        ),
        "multi_label": _Demo(
            name="shapes",
            write=shapes.write_labels,
            data={
                "layout": "manifest",
                "manifest": "labels.csv",
                "images": "images",
                "columns": {"image": "file_name", "labels": list(shapes.SHAPES)},
            },
            training={"image_size": [48, 48], "epochs": 12, "batch_size": 16},
            thresholds={
                "over all pairs of image and label": {"metric": "binary_accuracy", "min": 0.9},
                "for every label": {"metric": "average_precision", "label": "*", "min": 0.8},
                _NO_DROP: {"metric": "macro_f1", "max_drop": 0.02},
            },
        ),
        "segmentation": _Demo(
            name="regions",
            write=shapes.write_masks,
            data={"layout": "masks", "images": "images", "masks": "masks"},
            labels={"names": [shapes.GROUND, *shapes.SHAPES], "ignore": 255},
            training={"image_size": [64, 64], "epochs": 10, "batch_size": 4},
            thresholds={
                "over all labels": {"metric": "mean_iou", "min": 0.7},
                "for every label": {"metric": "iou", "label": "*", "min": 0.5},
                _NO_DROP: {"metric": "mean_iou", "max_drop": 0.02},
            },
        ),
    }
)

# task -> its demo with bands.
OF_BANDS = MappingProxyType(
    {
        "segmentation": _Demo(
            name="fields",
            write=fields.write,
            data={
                "layout": "masks",
                "images": "images",
                "masks": "masks",
                "bands": list(fields.BANDS),
                "frames": fields.MOMENTS,
                "invalid": "zero",
                "display": ["nir", "red", "green"],
            },
            labels={"names": list(fields.CROPS), "ignore": fields.UNKNOWN},
            training={"backbone": "temporal_attention", "learning_rate": 0.003, "epochs": 15},
            thresholds={
                "over all labels": {"metric": "mean_iou", "min": 0.85},
                "for every label": {"metric": "iou", "label": "*", "min": 0.6},
                _NO_DROP: {"metric": "mean_iou", "max_drop": 0.02},
            },
        ),
    }
)
