"""`imagegate init`: a commented configuration, and with --demo a small real data set to try it on."""

from __future__ import annotations

import os
from collections import Counter

from components.errors import ConfigError

_TEMPLATE = """\
# Every key with its meaning: docs/configuration.md. Relative paths count from this file's folder.
name: "{name}"
task: single_label              # each image has exactly one label

data:
  root: {root}{root_pad}# one folder per label with its images inside
  layout: folders
  # By hash of each image's content. Not used where train/, eval/ and test/ stand above the label folders.
  split: {{train: 0.8, eval: 0.1, test: 0.1}}
  max_bad_fraction: 0.01        # more broken files than this: the data gate refuses

balance:                        # the data gate; null turns a limit off
  min_examples: 10              # per label in train
  min_eval_examples: 1          # per label in eval and in test
  max_ratio: 100                # most frequent / least frequent label

training:
  backbone: small               # small | a keras.applications name | a path to a .keras file
  image_size: {image_size}
  epochs: {epochs}                    # at most; stops early
  batch_size: 32
  learning_rate: 1.0e-3
  label_weights: median_frequency
  augment: {augment}               # flips and shifts: not for images where left and right matter
  seed: 1

evaluation:
  slices: [label]
  thresholds:                   # all must hold on the test split, or nothing is pushed
    - {{metric: accuracy, min: {accuracy}}}
    - {{metric: recall, label: "*", min: {recall}}}          # every label
    - {{metric: macro_f1, max_drop: 0.02}}                # against the model now served

push:
  destination: models/{name}{name_pad}# TensorFlow Serving's layout: numbered versions below it
"""


def write(folder: str, *, demo: bool) -> str:
    """Makes `folder` with an `imagegate.yaml` and, for the demo, `data/digits/`. Returns the configuration's path.

    Raises:
        ConfigError: there is one already, or the folder cannot be written.
    """
    path = os.path.join(folder, "imagegate.yaml")
    if os.path.exists(path):
        raise ConfigError(f"{path} exists already; remove it, or choose another folder")
    name = "digits" if demo else _name(folder)
    text = _TEMPLATE.format(
        name=name,
        root=f"data/{name}",
        root_pad=" " * max(1, 19 - len(name)),
        name_pad=" " * max(1, 11 - len(name)),
        image_size="[16, 16]" if demo else "[224, 224]",
        epochs=30 if demo else 20,
        augment="false" if demo else "true ",
        accuracy=0.97 if demo else 0.80,
        recall=0.90 if demo else 0.50,
    )
    try:
        os.makedirs(folder, exist_ok=True)
        if demo:
            _write_digits(os.path.join(folder, "data", name))
        with open(path, "x", encoding="utf-8") as f:
            f.write(text)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: {error.strerror}") from None
    return path


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
