"""`imagegate init`: a commented configuration for a task, and with --demo a small data set to try it on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from components.base.errors import ConfigError
from pipeline.init import shapes

_TEMPLATE = """\
# docs/configuration.md describes every key. Relative paths start at this file's folder.
name: "{name}"
task: {task}

data:
  root: data/{name}
{data}
  # Assigned by a hash of each image's content. Not used if the data set names train, eval and test itself.
  split: {{train: 0.8, eval: 0.1, test: 0.1}}
  max_bad_fraction: 0.01  # the data gate refuses a larger share of broken files
{labels}
balance:  # the limits of the data gate; null turns a limit off
  min_examples: 10  # images per label in train
  min_eval_examples: 1  # images per label in eval, and in test
  max_ratio: 100  # most frequent / least frequent label
  max_drift: 0.2  # distance of the label shares from those of the served model's data
  max_property_drift: 0.4  # distance of image properties from those of the served model's data
  allow_new_labels: false  # labels that the served model does not know

training:
  backbone: small  # small | a keras.applications name | a path to a .keras file
  image_size: {image_size}  # height, width
  epochs: {epochs}  # upper limit; training stops early
  batch_size: {batch_size}
  learning_rate: 1.0e-3
  label_weights: median_frequency
  augment: {augment}  # random flips and shifts; turn off where left and right matter
  seed: 1

evaluation:
  thresholds:  # the model is pushed only if all hold on the test split
{thresholds}

push:
  destination: models/{name}  # receives numbered versions, as TensorFlow Serving expects
"""


@dataclass(frozen=True)
class _Kind:
    """The parts of the template and the demo that depend on the task.

    Attributes:
        task, data, labels, thresholds: lines of the template.
        demo: name of the demo.
        values: placeholder in braces -> its values without and with the demo.
        write_demo: function that writes the demo's data into a folder.
    """

    task: str
    data: str
    labels: str
    thresholds: str
    demo: str
    values: Mapping[str, tuple[object, object]]
    write_demo: Callable[[str], None]


def write(folder: str, *, task: str = "single_label", demo: bool) -> str:
    """Writes `imagegate.yaml` and, for the demo, `data/` into `folder`. Returns the configuration's path.

    Args:
        folder: created if missing.
        task: the `task` of the configuration.
        demo: whether to write a demo data set too, with a configuration that fits it.

    Raises:
        ConfigError: there already is an `imagegate.yaml`, or the folder cannot be written.
    """
    path = os.path.join(folder, "imagegate.yaml")
    if os.path.exists(path):
        raise ConfigError(f"{path} exists already; remove it, or choose another folder")
    kind = _KINDS[task]
    name = kind.demo if demo else _name(folder)
    try:
        os.makedirs(folder, exist_ok=True)
        if demo:
            kind.write_demo(os.path.join(folder, "data", name))
        with open(path, "x", encoding="utf-8") as f:
            f.write(_text(kind, name, demo=demo))
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: {error.strerror}") from None
    return path


def _text(kind: _Kind, name: str, *, demo: bool) -> str:
    values = {key: pair[demo] for key, pair in kind.values.items()} | {"name": name}
    lines = {"task": kind.task, "data": kind.data, "labels": kind.labels, "thresholds": kind.thresholds}
    parts = {key: text.format(**values) for key, text in lines.items()}
    return "".join(f"{_aligned(line)}\n" for line in _TEMPLATE.format(**values | parts).splitlines())


def _aligned(line: str) -> str:
    """Aligns a trailing comment at column 31, or at column 56 behind longer lines."""
    code, mark, comment = line.partition("  # ")
    width = 31 if len(code) < 32 else 56
    return f"{code:<{width}} # {comment}" if mark and code.strip() else line


def _name(folder: str) -> str:
    base = os.path.basename(os.path.abspath(folder))
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "-" for c in base).lstrip("_.-")
    return kept or "images"


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


_SINGLE = _Kind(
    task="single_label  # each image has exactly one label",
    data="  layout: folders  # one folder per label; or manifest: a table with one row per image",
    labels="",
    thresholds="""\
    - {{metric: accuracy, min: {accuracy}}}
    - {{metric: recall, label: "*", min: {recall}}}  # for every label
    - {{metric: macro_f1, max_drop: 0.02}}  # compared with the served model""",
    demo="digits",
    values={
        "image_size": ("[224, 224]", "[16, 16]"),
        "epochs": (20, 30),
        "batch_size": (32, 32),
        "augment": ("true", "false"),
        "accuracy": (0.80, 0.97),
        "recall": (0.50, 0.80),
    },
    write_demo=_write_digits,
)

_MULTI = _Kind(
    task="multi_label  # each image has any number of labels, or none",
    data="""\
  layout: manifest  # a table, one row per image; or coco
  manifest: labels.csv  # or a .jsonl file
  images: images  # the folder that file names are relative to
  columns:
    image: file_name
    # 0/1 columns named like the labels, where an empty cell is unknown; or one column of names, as in labels: tags
    labels: {columns}""",
    labels="",
    thresholds="""\
    - {{metric: binary_accuracy, min: {binary_accuracy}}}  # over all pairs of image and label
    - {{metric: average_precision, label: "*", min: {average_precision}}}  # for every label
    - {{metric: macro_f1, max_drop: 0.02}}  # compared with the served model""",
    demo="shapes",
    values={
        "columns": ("[cat, dog]", "[circle, square, triangle]"),
        "image_size": ("[224, 224]", "[48, 48]"),
        "epochs": (20, 12),
        "batch_size": (32, 16),
        "augment": ("true", "true"),
        "binary_accuracy": (0.80, 0.90),
        "average_precision": (0.50, 0.80),
    },
    write_demo=shapes.write_labels,
)

_MASKS = _Kind(
    task="segmentation  # each pixel has one label",
    data="""\
  layout: masks  # an image and its mask share a name; or coco
  images: images
  masks: masks  # pixel values are label ids; for colours see labels.colors""",
    labels="""
labels:
  names: {names}  # id 0, id 1, ...
  ignore: 255  # a name or an id to exclude from loss, weights and metrics
""",
    thresholds="""\
    - {{metric: mean_iou, min: {mean_iou}}}
    - {{metric: iou, label: "*", min: {iou}}}  # for every label
    - {{metric: mean_iou, max_drop: 0.02}}  # compared with the served model""",
    demo="regions",
    values={
        "names": ("[background, cat, dog]", f"[{', '.join((shapes.GROUND, *shapes.SHAPES))}]"),
        "image_size": ("[224, 224]", "[64, 64]"),
        "epochs": (20, 10),
        "batch_size": (32, 4),
        "augment": ("true", "true"),
        "mean_iou": (0.50, 0.70),
        "iou": (0.20, 0.50),
    },
    write_demo=shapes.write_masks,
)

_KINDS = MappingProxyType({"single_label": _SINGLE, "multi_label": _MULTI, "segmentation": _MASKS})
