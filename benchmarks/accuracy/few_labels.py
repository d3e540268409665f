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
import math
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from benchmarks.accuracy import ours
from benchmarks.accuracy.labelled import Labelled

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
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in options.seeds:
        splits = data.split(options.shares, seed)
        few = {**splits, "train": kept(data, splits["train"], options.labels, seed)}
        ways = {_ALONE: "none"} | {method: method for method in options.methods}
        results = _figures(data, few, set(splits["train"]) - set(few["train"]), ways, options, seed)
        results |= _figures(data, splits, set(), {_ALL: "none"}, options, seed)
        alone, whole = results[_ALONE][figure], results[_ALL][figure]
        for name, result in results.items():
            result["closed"] = (result[figure] - alone) / (whole - alone) if whole != alone else math.nan
            found.setdefault(name, []).append(result)
            print(name, seed, json.dumps(result), flush=True)
    columns = [name for name in found[_ALONE][0] if name != "told"]
    print(f"| | {' | '.join(columns)} |")
    for name, of_seeds in found.items():
        print(f"| {name} | {' | '.join(ours.spread([one[column] for one in of_seeds]) for column in columns)} |")


def kept(data: Labelled, train: Sequence[int], count: int, seed: int) -> list[int]:
    """Draws images of train until each label has `count` of them, or no more: the rarest label in train first."""
    order = np.random.default_rng(seed).permutation(np.asarray(train))
    chosen: list[int] = []
    for label in np.argsort(data.targets[order].sum(axis=0), kind="stable"):
        applying = [int(i) for i in order if data.targets[i, label]]
        missing = count - sum(i in applying for i in chosen)
        chosen += [i for i in applying if i not in chosen][: max(0, missing)]
    return sorted(chosen)


def _figures(
    data: Labelled,
    splits: dict[str, list[int]],
    others: Iterable[int],
    ways: Mapping[str, str],
    options: argparse.Namespace,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Runs the pipeline in each of the ways, with `others` as images without labels; returns the figures of each."""
    found: dict[str, dict[str, Any]] = {}
    backbone = options.backbone if options.backbone == "small" else os.path.abspath(options.backbone)
    training = {"backbone": backbone, "image_size": options.size, "seed": seed, "recipe": options.recipe}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        told = {"labels": data.labels, **data.told(splits, work)}
        config = data.config(told, work)
        for index in others:
            data.copied(index, work / "unlabelled")
            config["data"]["unlabelled"] = str(work / "unlabelled")
        for name, method in ways.items():
            run = ours.run(work, {"training": training | {"unlabelled": method}, **config})
            answers = data.answers(run.evaluation, told, work)
            found[name] = dict(data.judged(answers, splits["test"], options.size))
            if data.exclusive:
                truth = data.targets[splits["test"]].argmax(1)
                found[name]["balanced accuracy"] = float(balanced_accuracy_score(truth, answers.argmax(1)))
            found[name]["seconds"] = run.seconds
            found[name]["told"] = [one["reason"] for one in (run.summary["unlabelled"] or {}).get("tried", [])]
    return found


if __name__ == "__main__":
    main()
