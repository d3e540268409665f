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
# Every key with its meaning: docs/configuration.md. Relative paths count from this file's folder.
name: "{name}"
task: {task}

data:
  root: data/{name}
{data}
  # By hash of each image's content. Not used where the data set itself names train, eval and test.
  split: {{train: 0.8, eval: 0.1, test: 0.1}}
  max_bad_fraction: 0.01  # more broken files than this: the data gate refuses
{labels}
balance:  # the data gate; null turns a limit off
  min_examples: 10  # images of each label in train
  min_eval_examples: 1  # of each label in eval and in test
  max_ratio: 100  # most frequent / least frequent label
  max_drift: 0.2  # of label shares from those of the served model's data
  max_property_drift: 0.4  # of how images look from those of the served model's data
  allow_new_labels: false  # that the served model does not know

training:
  backbone: small  # small | a keras.applications name | a path to a .keras file
  image_size: {image_size}  # height, width
  epochs: {epochs}  # at most; stops early
  batch_size: {batch_size}
  learning_rate: 1.0e-3
  label_weights: median_frequency
  augment: {augment}  # flips and shifts: not for images where left and right matter
  seed: 1

evaluation:
  thresholds:  # all must hold on the test split, or nothing is pushed
{thresholds}

push:
  destination: models/{name}  # TensorFlow Serving's layout: numbered versions below it
"""


@dataclass(frozen=True)
class _Kind:
    """What a task has of its own in the template.

    Attributes:
        task, data, labels, thresholds: lines.
        demo: name of the demo.
        values: what stands in braces: (without a demo, with it).
        write_demo: writes the demo's data into a folder.
    """

    task: str
    data: str
    labels: str
    thresholds: str
    demo: str
    values: Mapping[str, tuple[object, object]]
    write_demo: Callable[[str], None]


def write(folder: str, *, task: str = "single_label", demo: bool) -> str:
    """Makes `folder` with an `imagegate.yaml` and, for the demo, `data/`. Returns the configuration's path.

    Args:
        folder: made if missing.
        task: as in the configuration.
        demo: whether to write data, too, and a configuration that fits them.

    Raises:
        ConfigError: there is one already, or the folder cannot be written.
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
    parts = {key: getattr(kind, key).format(**values) for key in ("task", "data", "labels", "thresholds")}
    return "".join(f"{_aligned(line)}\n" for line in _TEMPLATE.format(**values | parts).splitlines())


def _aligned(line: str) -> str:
    """Comments behind something stand below one another, long lines' further right."""
    code, mark, comment = line.partition("  # ")
    width = 31 if len(code) < 32 else 56
    return f"{code:<{width}} # {comment}" if mark and code.strip() else line


def _name(folder: str) -> str:
    base = os.path.basename(os.path.abspath(folder))
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "-" for c in base).lstrip("_.-")
    return kept or "images"


def _write_digits(root: str) -> None:
    """The 1,797 handwritten digits that ship in scikit-learn (8x8 pixels, 17 grey levels) as PNG, a folder each."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    seen: Counter[int] = Counter()
    for pixels, digit in zip(digits.images, digits.target, strict=True):
        folder = os.path.join(root, str(digit))
        os.makedirs(folder, exist_ok=True)
        grey = np.round(pixels * (255 / 16)).astype(np.uint8)
        Image.fromarray(grey).save(os.path.join(folder, f"{seen[digit]:03d}.png"))
        seen[digit] += 1


_SINGLE = _Kind(
    task="single_label  # each image has exactly one label",
    data="  layout: folders  # one folder per label with its images inside; or manifest: a table, one row per image",
    labels="",
    thresholds="""\
    - {{metric: accuracy, min: {accuracy}}}
    - {{metric: recall, label: "*", min: {recall}}}  # every label
    - {{metric: macro_f1, max_drop: 0.02}}  # against the model now served""",
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
  images: images  # folder that file names are relative to
  columns:
    image: file_name
    # 0/1 columns named like the labels, an empty cell: nobody said; or one column of names, as in labels: tags
    labels: {columns}""",
    labels="",
    thresholds="""\
    - {{metric: binary_accuracy, min: {binary_accuracy}}}  # of all decisions, one per image and label
    - {{metric: average_precision, label: "*", min: {average_precision}}}  # every label
    - {{metric: macro_f1, max_drop: 0.02}}  # against the model now served""",
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
  layout: masks  # an image and its mask have the same name; or coco
  images: images
  masks: masks  # pixel values are ids; for colours see labels.colors""",
    labels="""
labels:
  names: {names}  # id 0, id 1, ...
  ignore: 255  # a name or an id that takes no part in loss, weights and metrics
""",
    thresholds="""\
    - {{metric: mean_iou, min: {mean_iou}}}
    - {{metric: iou, label: "*", min: {iou}}}  # every label
    - {{metric: mean_iou, max_drop: 0.02}}  # against the model now served""",
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
