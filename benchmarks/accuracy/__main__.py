"""Compares the accuracy of imagegate with fastai's `fine_tune` and Keras's guide on labelled images.

`python -m benchmarks.accuracy IMAGES --backbone FILE --size H W --epochs N --seeds 1 2 3 --fastai PYTHON` reads a
folder with a folder for each label. With `--table CSV`, whose first column names files in IMAGES and whose others are
labels with 0 or 1, an image has any number of labels. Images are split at random for each seed, those of folders label
by label. Every side trains on the same train images with the same backbone, size and epochs, may look at eval, and its
probabilities on test are judged here, by scikit-learn. `--fastai` is the Python of an environment of its own, with
`pip install -r benchmarks/accuracy/fastai.txt`.

Seconds are of training with all cores, ours with the start of the stage, calibration and export. Compare them within
one run only.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, log_loss

from components.evaluation import predictions
from pipeline import stages

_RECIPES = ("fast", "good", "best")
_PEERS = {"keras": "keras_guide.py", "fastai": "fastai_side.py"}


@dataclass(frozen=True)
class Examples:
    """Labelled images: their files, [N, K] of 0 and 1, and the names of the K labels."""

    files: Sequence[Path]
    targets: NDArray[np.int64]
    labels: Sequence[str]
    exclusive: bool


def main() -> None:
    """Prints a line for each side and seed, then mean and standard deviation over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="a folder with a folder for each label, or with the files of --table")
    parser.add_argument("--table", type=Path, help="CSV: file name, then a column of 0 and 1 for each label")
    parser.add_argument("--backbone", required=True, help="path of a .keras file")
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224), metavar=("H", "W"))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3))
    parser.add_argument("--shares", type=float, nargs=2, default=(0.1, 0.1), metavar=("EVAL", "TEST"))
    parser.add_argument("--most", type=int, help="take so many images at most, the same ones for every side")
    parser.add_argument("--sides", nargs="+", default=(*_RECIPES, *_PEERS), choices=(*_RECIPES, *_PEERS))
    parser.add_argument("--fastai", default="", help="Python of fastai's environment")
    options = parser.parse_args()
    read = _table(options.table, options.images) if options.table else _folders(options.images)
    examples = _thinned(read, options.most)
    sides = [side for side in options.sides if side != "fastai" or options.fastai]
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for seed in options.seeds:
        splits = _split(examples, options.shares, seed)
        for side in sides:
            with tempfile.TemporaryDirectory() as work:
                seconds, answers = _trained(side, Path(work), examples, splits, options, seed)
            result = _judged(answers, examples.targets[splits["test"]], exclusive=examples.exclusive)
            found[side].append(result | {"seconds": seconds})
            print(side, seed, json.dumps(found[side][-1]), flush=True)
    print(f"| | {' | '.join(found[sides[0]][0])} |")
    for side, results in found.items():
        print(f"| {side} | {' | '.join(_spread([result[name] for result in results]) for name in results[0])} |")


def _folders(images: Path) -> Examples:
    labels = sorted(folder.name for folder in images.iterdir() if folder.is_dir())
    files = [(file, place) for place, label in enumerate(labels) for file in sorted((images / label).iterdir())]
    targets = np.eye(len(labels), dtype=np.int64)[[place for _, place in files]]
    return Examples([file for file, _ in files], targets, labels, exclusive=True)


def _table(table: Path, images: Path) -> Examples:
    with table.open(encoding="utf-8", newline="") as f:
        (_, *labels), *rows = csv.reader(f)
    targets = np.array([[int(value) for value in row[1:]] for row in rows])
    return Examples([images / row[0] for row in rows], targets, labels, exclusive=False)


def _thinned(examples: Examples, most: int | None) -> Examples:
    step = 1 if most is None else -(-len(examples.files) // most)
    return Examples(examples.files[::step], examples.targets[::step], examples.labels, examples.exclusive)


def _split(examples: Examples, shares: Sequence[float], seed: int) -> dict[str, list[int]]:
    """Split -> indices of its images; of each label the same share, if an image has one label."""
    rng, splits = np.random.default_rng(seed), {"eval": list[int](), "test": list[int](), "train": list[int]()}
    groups = examples.targets.argmax(1) if examples.exclusive else np.zeros(len(examples.files), int)
    for group in np.unique(groups):
        order = rng.permutation(np.flatnonzero(groups == group))
        first, second = np.cumsum([max(1, round(share * len(order))) for share in shares])
        for split, part in zip(splits, np.split(order, [first, second]), strict=True):
            splits[split] += sorted(part.tolist())
    return splits


def _trained(
    side: str, work: Path, examples: Examples, splits: dict[str, list[int]], options: argparse.Namespace, seed: int
) -> tuple[float, NDArray[np.float64]]:
    """Seconds of training, and the probabilities [N, K] of the test images in the order of the split."""
    told = {
        "labels": examples.labels,
        "exclusive": examples.exclusive,
        "size": options.size,
        "epochs": options.epochs,
        "seed": seed,
        "backbone": os.path.abspath(options.backbone),
        "answers": str(work / "answers.npy"),
        "files": {split: [_copied(examples, i, work / split) for i in indices] for split, indices in splits.items()},
        "targets": {split: examples.targets[indices].tolist() for split, indices in splits.items()},
    }
    if side in _RECIPES:
        return _ours(side, work, told)
    (work / "told.json").write_text(json.dumps(told))
    python = options.fastai if side == "fastai" else sys.executable
    command = [python, str(Path(__file__).with_name(_PEERS[side])), str(work / "told.json")]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(printed.split()[-1]), np.load(work / "answers.npy")


def _copied(examples: Examples, index: int, to: Path) -> str:
    to.mkdir(exist_ok=True)
    return str(shutil.copyfile(examples.files[index], to / f"{index}{examples.files[index].suffix}"))


def _ours(recipe: str, work: Path, told: dict[str, Any]) -> tuple[float, NDArray[np.float64]]:
    """Runs the pipeline, and reads the answers of its model."""
    with (work / "labels.csv").open("w", encoding="utf-8", newline="") as f:
        rows = csv.writer(f)
        rows.writerow(["file", "split", "labels"])
        for split, files in told["files"].items():
            for file, target in zip(files, told["targets"][split], strict=True):
                applying = [label for label, applies in zip(told["labels"], target, strict=True) if applies]
                rows.writerow([os.path.relpath(file, work), split, "|".join(applying)])
    training = {"backbone": told["backbone"], "image_size": told["size"], "seed": told["seed"], "recipe": recipe}
    config = {
        "name": recipe,
        "task": "single_label" if told["exclusive"] else "multi_label",
        "data": {
            "root": str(work),
            "layout": "manifest",
            "manifest": "labels.csv",
            "columns": {"image": "file", "split": "split", "labels": "labels"},
        },
        "labels": {"names": told["labels"]},
        "balance": {
            "min_examples": 1,
            "max_ratio": 1000,
            "max_split_drift": None,
            "allow_duplicates_across_splits": True,
        },
        "training": training if recipe == "fast" else training | {"epochs": told["epochs"]},
        "evaluation": {"thresholds": [{"metric": "loss", "max": 1000.0}]},
        "output": "runs",
        "push": {"destination": "served"},
    }
    (work / "imagegate.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "pipeline", "run", str(work / "imagegate.yaml"), "--json"]
    summary = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    seconds = next(stage["seconds"] for stage in summary["stages"] if stage["name"] == stages.TRAINER.name)
    evaluation = str(work / "runs" / summary["artifacts"]["evaluation"])
    rows_of = {row["path"]: row for row in predictions.read(evaluation, predictions.CANDIDATE)}
    named = [os.path.relpath(file, work) for file in told["files"]["test"]]
    return seconds, np.array([rows_of[name]["probabilities"] for name in named])


def _judged(answers: NDArray[np.float64], targets: NDArray[np.int64], *, exclusive: bool) -> dict[str, float]:
    """Accuracy, or mean over the labels of accuracy at 0.5 and of average precision; and the loss."""
    if exclusive:
        truth = targets.argmax(1)
        loss = log_loss(truth, answers, labels=range(targets.shape[1]))
        return {"accuracy": float((answers.argmax(1) == truth).mean()), "loss": float(loss)}
    return {
        "binary accuracy": float(((answers > 0.5) == (targets > 0)).mean()),
        "mean average precision": float(average_precision_score(targets, answers, average="macro")),
        "loss": statistics.mean(log_loss(t, a, labels=[0, 1]) for t, a in zip(targets.T, answers.T, strict=True)),
    }


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) if len(values) > 1 else 0:.3f}"


if __name__ == "__main__":
    main()
