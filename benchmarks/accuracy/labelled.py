"""Labelled images: how they are read and split, what each side is told, and how its probabilities are judged."""

from __future__ import annotations

import csv
import os
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, log_loss

from components.evaluation import predictions

PEERS = {"keras": "keras_guide.py", "fastai": "fastai_side.py"}


@dataclass(frozen=True)
class Labelled:
    """Labelled images: their files, [N, K] of 0 and 1, and the names of the K labels."""

    files: Sequence[Path]
    targets: NDArray[np.int64]
    labels: Sequence[str]
    exclusive: bool

    @classmethod
    def read(cls, images: Path, table: Path | None, most: int | None) -> Labelled:
        """Reads a folder with a folder for each label, or a table; takes `most` of the images at most."""
        found = _table(table, images) if table else _folders(images)
        step = 1 if most is None else -(-len(found.files) // most)
        return cls(found.files[::step], found.targets[::step], found.labels, found.exclusive)

    def split(self, shares: Sequence[float], seed: int) -> dict[str, list[int]]:
        """Split -> indices of its images; of each label the same share, if an image has one label."""
        rng, splits = np.random.default_rng(seed), {"eval": list[int](), "test": list[int](), "train": list[int]()}
        groups = self.targets.argmax(1) if self.exclusive else np.zeros(len(self.files), int)
        for group in np.unique(groups):
            order = rng.permutation(np.flatnonzero(groups == group))
            first, second = np.cumsum([max(1, round(share * len(order))) for share in shares])
            for split, part in zip(splits, np.split(order, [first, second]), strict=True):
                splits[split] += sorted(part.tolist())
        return splits

    def told(self, splits: dict[str, list[int]], work: Path) -> dict[str, Any]:
        """What every side is told of the images, which are copied to `work`."""
        return {
            "exclusive": self.exclusive,
            "files": {split: [self.copied(i, work / split) for i in indices] for split, indices in splits.items()},
            "targets": {split: self.targets[indices].tolist() for split, indices in splits.items()},
        }

    def copied(self, index: int, to: Path) -> str:
        """Copies an image to a folder, under its number; returns its path there."""
        to.mkdir(exist_ok=True)
        return str(shutil.copyfile(self.files[index], to / f"{index}{self.files[index].suffix}"))

    def config(self, told: dict[str, Any], work: Path) -> dict[str, Any]:
        """The part of our configuration that says what the data is."""
        with (work / "labels.csv").open("w", encoding="utf-8", newline="") as f:
            rows = csv.writer(f)
            rows.writerow(["file", "split", "labels"])
            for split, files in told["files"].items():
                for file, target in zip(files, told["targets"][split], strict=True):
                    applying = [label for label, applies in zip(told["labels"], target, strict=True) if applies]
                    rows.writerow([os.path.relpath(file, work), split, "|".join(applying)])
        return {
            "task": "single_label" if self.exclusive else "multi_label",
            "data": {
                "root": str(work),
                "layout": "manifest",
                "manifest": "labels.csv",
                "columns": {"image": "file", "split": "split", "labels": "labels"},
            },
            "labels": {"names": told["labels"]},
            "evaluation": {"thresholds": [{"metric": "loss", "max": 1000.0}]},
        }

    def answers(self, evaluation: str, told: dict[str, Any], work: Path) -> NDArray[np.float64]:
        """The probabilities [N, K] of our model for the test images, from the artifact of the evaluation."""
        rows_of = {row["path"]: row for row in predictions.read(evaluation, predictions.CANDIDATE)}
        named = [os.path.relpath(file, work) for file in told["files"]["test"]]
        found = np.array([rows_of[name]["probabilities"] for name in named], np.float64)
        return found / found.sum(axis=1, keepdims=True) if self.exclusive else found  # the file has rounded numbers

    def judged(self, answers: NDArray[Any], test: Sequence[int], size: Sequence[int]) -> dict[str, float]:
        """Accuracies and macro F1, or means over the labels of accuracy at 0.5 and average precision; and the loss."""
        targets = self.targets[test]
        if self.exclusive:
            truth, chosen = targets.argmax(1), answers.argmax(1)
            return {
                "accuracy": float((chosen == truth).mean()),
                "balanced accuracy": float(balanced_accuracy_score(truth, chosen)),
                "macro F1": float(f1_score(truth, chosen, average="macro")),
                "loss": float(log_loss(truth, answers, labels=range(targets.shape[1]))),
            }
        return {
            "binary accuracy": float(((answers > 0.5) == (targets > 0)).mean()),
            "mean average precision": float(average_precision_score(targets, answers, average="macro")),
            "loss": statistics.mean(log_loss(t, a, labels=[0, 1]) for t, a in zip(targets.T, answers.T, strict=True)),
        }


def _folders(images: Path) -> Labelled:
    labels = sorted(folder.name for folder in images.iterdir() if folder.is_dir())
    files = [(file, place) for place, label in enumerate(labels) for file in sorted((images / label).iterdir())]
    targets = np.eye(len(labels), dtype=np.int64)[[place for _, place in files]]
    return Labelled([file for file, _ in files], targets, labels, exclusive=True)


def _table(table: Path, images: Path) -> Labelled:
    with table.open(encoding="utf-8", newline="") as f:
        (_, *labels), *rows = csv.reader(f)
    targets = np.array([[int(value) for value in row[1:]] for row in rows])
    return Labelled([images / row[0] for row in rows], targets, labels, exclusive=False)
