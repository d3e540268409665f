"""Measures what images without labels add, where few of the train images keep their label.

`python -m benchmarks.accuracy.few_labels IMAGES --labels 10 --backbone FILE --size H W --seeds 1 2 3` reads images as
`python -m benchmarks.accuracy` does, and splits them in the same way. So many train images of each label keep it, the
others are in a folder without labels. For each seed, the pipeline runs with these labels alone, with each of
`--methods`, and with all labels of train. Scikit-learn judges the probabilities for test. `closed` is the share of the
distance between those labels alone and all labels, in accuracy or mean average precision, that a method closes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from benchmarks.accuracy.labelled import Labelled
from pipeline import stages

_ALONE, _ALL = "labels alone", "all labels"


def main() -> None:
    """Prints a line for each way to train and seed, then mean and standard deviation over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="a folder with a folder for each label, or with files")
    parser.add_argument("--table", type=Path, help="CSV: file name, then a column of 0 and 1 for each label")
    parser.add_argument("--labels", type=int, default=10, help="train images of each label that keep it")
    parser.add_argument("--methods", nargs="+", default=("auto",), help="values of training.unlabelled")
    parser.add_argument("--backbone", default="small", help="path of a .keras file")
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224), metavar=("H", "W"))
    parser.add_argument("--recipe", default="good", choices=("fast", "good", "best"))
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3))
    parser.add_argument("--shares", type=float, nargs=2, default=(0.1, 0.25), metavar=("EVAL", "TEST"))
    parser.add_argument("--most", type=int, help="take so many images at most")
    options = parser.parse_args()
    data = Labelled.read(options.images, options.table, options.most)
    figure = "accuracy" if data.exclusive else "mean average precision"
    found: dict[str, list[dict[str, float]]] = {}
    for seed in options.seeds:
        splits = data.split(options.shares, seed)
        few = {**splits, "train": kept(data, splits["train"], options.labels, seed)}
        with tempfile.TemporaryDirectory() as work:
            for name, method in ((_ALONE, "none"), *((name, name) for name in options.methods)):
                found.setdefault(name, []).append(_run(data, few, splits["train"], Path(work), method, options, seed))
        with tempfile.TemporaryDirectory() as work:
            found.setdefault(_ALL, []).append(_run(data, splits, (), Path(work), "none", options, seed))
        alone, whole = (found[name][-1][figure] for name in (_ALONE, _ALL))
        for name, results in found.items():
            results[-1]["closed"] = (results[-1][figure] - alone) / (whole - alone)
            print(name, seed, json.dumps(results[-1]), flush=True)
    columns = [name for name in found[_ALONE][0] if name != "told"]
    print(f"| | {' | '.join(columns)} |")
    for name, results in found.items():
        print(f"| {name} | {' | '.join(_spread([result[column] for result in results]) for column in columns)} |")


def kept(data: Labelled, train: Sequence[int], count: int, seed: int) -> list[int]:
    """Draws images of train until each label has `count` of them, or no more: the rarest label in train first."""
    order = np.random.default_rng(seed).permutation(np.asarray(train))
    chosen: list[int] = []
    for label in np.argsort(data.targets[order].sum(axis=0), kind="stable"):
        applying = [int(i) for i in order if data.targets[i, label]]
        missing = count - sum(i in applying for i in chosen)
        chosen += [i for i in applying if i not in chosen][: max(0, missing)]
    return sorted(chosen)


def _run(
    data: Labelled,
    splits: dict[str, list[int]],
    train: Sequence[int],
    work: Path,
    method: str,
    options: argparse.Namespace,
    seed: int,
) -> dict[str, Any]:
    """Runs the pipeline and judges its model; images of `train` that are not in the split are without labels."""
    told = {"labels": data.labels, **data.told(splits, work)}
    config = data.config(told, work)
    others = sorted(set(train) - set(splits["train"]))
    if others:
        for index in others:
            data.copied(index, work / "unlabelled")
        config["data"]["unlabelled"] = str(work / "unlabelled")
    backbone = options.backbone if options.backbone == "small" else os.path.abspath(options.backbone)
    training = {"backbone": backbone, "image_size": options.size, "seed": seed, "recipe": options.recipe}
    config |= {
        "name": "few",
        "balance": {
            "min_examples": 1,
            "max_ratio": 1000,
            "max_split_drift": None,
            "allow_duplicates_across_splits": True,
        },
        "training": training | {"unlabelled": method},
        "output": "runs",
        "push": {"destination": "served"},
    }
    (work / "imagegate.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "pipeline", "run", str(work / "imagegate.yaml"), "--json"]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    summary = json.loads(printed)
    answers = data.answers(str(work / "runs" / summary["artifacts"]["evaluation"]), told, work)
    found: dict[str, Any] = data.judged(answers, splits["test"], options.size)
    if data.exclusive:
        truth = data.targets[splits["test"]].argmax(1)
        found["balanced accuracy"] = float(balanced_accuracy_score(truth, answers.argmax(1)))
    found["seconds"] = next(one["seconds"] for one in summary["stages"] if one["name"] == stages.TRAINER.name)
    return found | {"told": [one["reason"] for one in (summary["unlabelled"] or {}).get("tried", [])]}


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) if len(values) > 1 else 0:.3f}"


if __name__ == "__main__":
    main()
