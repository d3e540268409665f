"""Compares evaluation with what one would write without this project: `model.predict`, and scikit-learn's figures.

`python -m benchmarks.side_by_side.answering --backbone FILE --counts 300 1500` runs two pipelines on generated photos,
half of which are in test, and evaluates as many photos with a network of the same backbone and head. It feeds
them by `keras.utils.image_dataset_from_directory`, and computes accuracy, a report for each label, the confusion
matrix, ROC AUC, mean average precision and the loss. The difference between both counts is free of what each
side needs anyway. Ours also calibrates, decides, judges familiarity, compares slices, and writes each answer.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from benchmarks import photos
from pipeline import cli, stages

_SIZE = 224
_BATCH = 32
_TEST = 0.5


def main() -> None:
    """Prints the rate of each side, and the ratio."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.side_by_side.answering", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--backbone", required=True, help="file of a Keras model")
    parser.add_argument("--counts", type=int, nargs=2, default=(300, 1500), help="numbers of photos, fewer first")
    options = parser.parse_args()
    few, many = options.counts
    with tempfile.TemporaryDirectory() as folder:
        roots = [photos.folder(folder, count) for count in (few, many)]
        ours = [_ours(Path(folder, str(number)), root, options.backbone) for number, root in enumerate(roots)]
        theirs = _theirs(roots, options.backbone)
    images = _TEST * (many - few)
    rates = [images / (after - before) for before, after in (ours, theirs)]
    print(f"imagegate {rates[0]:8.1f} images a second, with all that is beside the answers")
    print(f"Keras and scikit-learn {rates[1]:8.1f} images a second")
    print(f"ours is {rates[0] / rates[1]:.2f} times as fast")


def _ours(folder: Path, root: str, backbone: str) -> float:
    """Seconds of the Evaluator of a run, by the clock."""
    folder.mkdir()
    rest = (1 - _TEST) / 2
    config = {
        "name": "photos",
        "task": "single_label",
        "data": {"root": root, "split": {"train": rest, "eval": rest, "test": _TEST}},
        "balance": {"near_duplicate_distance": None, "min_examples": 1, "max_split_drift": None},
        "output": str(folder / "out"),
        "push": {"destination": str(folder / "models")},
        "training": {"recipe": "fast", "image_size": [_SIZE, _SIZE], "backbone": os.path.abspath(backbone)},
        "evaluation": {"thresholds": [{"metric": "ece", "max": 1}]},
    }
    path = folder / "imagegate.yaml"
    path.write_text(json.dumps(config))
    code = cli.main(["run", str(path)])
    assert code == 0, f"imagegate run ended with {code}"
    told = json.loads((folder / "out" / "latest" / "summary.json").read_text())
    return next(float(stage["seconds"]) for stage in told["stages"] if stage["name"] == stages.EVALUATOR.name)


def _theirs(roots: Sequence[str], backbone: str) -> list[float]:
    """Seconds to evaluate `_TEST` of the photos of each folder, by the clock, after a first batch."""
    import keras

    base = keras.saving.load_model(backbone)
    outputs = keras.layers.Dense(len(photos.LABELS), activation="softmax")(
        keras.layers.GlobalAveragePooling2D()(base.output)
    )
    model = keras.Model(base.input, outputs)
    model.predict(np.zeros((_BATCH, _SIZE, _SIZE, 3), np.float32), verbose=0)
    found = []
    for root in roots:
        started = time.monotonic()
        data = keras.utils.image_dataset_from_directory(
            root,
            validation_split=_TEST,
            subset="validation",
            shuffle=False,
            image_size=(_SIZE, _SIZE),
            batch_size=_BATCH,
            verbose=False,
        )
        labels = [photos.LABELS.index(Path(path).parent.name) for path in data.file_paths]
        _compute(np.array(labels), model.predict(data, verbose=0))
        found.append(time.monotonic() - started)
    return found


def _compute(labels: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
    """Computes what one looks at after training; labels [n], scores [n, L]."""
    decided, known = scores.argmax(axis=1), np.arange(scores.shape[1])
    one_hot = labels[:, None] == known
    seen = one_hot.any(axis=0)
    metrics.accuracy_score(labels, decided)
    metrics.classification_report(labels, decided, labels=known, zero_division=0)
    metrics.confusion_matrix(labels, decided, labels=known)
    metrics.log_loss(one_hot, scores.astype(float) / scores.sum(axis=1, keepdims=True, dtype=float))
    metrics.roc_auc_score(one_hot[:, seen], scores[:, seen], average=None)
    metrics.average_precision_score(one_hot[:, seen], scores[:, seen], average=None)


if __name__ == "__main__":
    main()
