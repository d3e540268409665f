"""`imagegate init`: a commented configuration for a task, and with --demo a small data set to try it on."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace

from components.base.errors import ConfigError
from components.base.values import Value
from components.gates.settings import Balance
from components.ingest.settings import Data, Split
from components.model.settings import Training
from pipeline.init import shapes

_TEMPLATE = """\
# docs/configuration.md describes every key. Relative paths start at this file's folder.
name: "{name}"
task: {task}

data:
  root: data/{name}
{data}
  # Assigned by a hash of each image's content. Not used if the data set names train, eval and test itself.
  split: {{train: {split.train}, eval: {split.eval}, test: {split.test}}}
  max_bad_fraction: {data_defaults.max_bad_fraction}  # the data gate refuses a larger share of broken files
{labels}
balance:  # the limits of the data gate; null turns a limit off
  min_examples: {balance.min_examples}  # images per label in train
  min_eval_examples: {balance.min_eval_examples}  # images per label in eval, and in test
  max_ratio: {balance.max_ratio}  # most frequent / least frequent label
  max_drift: {balance.max_drift}  # distance of the label shares from those of the served model's data
  max_property_drift: {balance.max_property_drift}  # distance of image properties from those of the served model's data
  allow_new_labels: {balance.allow_new_labels}  # labels that the served model does not know

training:
  backbone: {training.backbone}  # small | a keras.applications name | a path to a .keras file
  image_size: {training.image_size}  # height, width
  epochs: {training.epochs}  # upper limit; training stops early
  batch_size: {training.batch_size}
  learning_rate: {training.learning_rate}
  label_weights: {training.label_weights}
  augment: {training.augment}  # random flips and shifts; turn off where left and right matter
  seed: {training.seed}

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
        demo_training: the section `training` of the demo, as far as it differs from the defaults.
        write_demo: function that writes the demo's data into a folder.
    """

    task: str
    data: str
    labels: str
    thresholds: str
    demo: str
    values: Mapping[str, tuple[object, object]]
    demo_training: Training
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
    defaults = {
        "split": _as_yaml(Split()),
        "data_defaults": _as_yaml(Data(root="")),
        "balance": _as_yaml(Balance()),
        "training": _as_yaml(kind.demo_training if demo else Training()),
    }
    return "".join(f"{_aligned(line)}\n" for line in _TEMPLATE.format(**values | parts | defaults).splitlines())


def _as_yaml(settings: Value) -> SimpleNamespace:
    """Returns the settings with each value as YAML text."""
    fields = json.loads(settings.to_json()).items()
    return SimpleNamespace(**{key: value if isinstance(value, str) else json.dumps(value) for key, value in fields})


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
        "accuracy": (0.80, 0.97),
        "recall": (0.50, 0.80),
    },
    demo_training=Training(image_size=(16, 16), epochs=30, augment=False),
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
        "binary_accuracy": (0.80, 0.90),
        "average_precision": (0.50, 0.80),
    },
    demo_training=Training(image_size=(48, 48), epochs=12, batch_size=16),
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
        "mean_iou": (0.50, 0.70),
        "iou": (0.20, 0.50),
    },
    demo_training=Training(image_size=(64, 64), epochs=10, batch_size=4),
    write_demo=shapes.write_masks,
)

_KINDS = MappingProxyType({"single_label": _SINGLE, "multi_label": _MULTI, "segmentation": _MASKS})
