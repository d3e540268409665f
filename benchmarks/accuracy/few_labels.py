"""Measures what images without labels add, where few of the train images keep their label.

`python -m benchmarks.accuracy.few_labels IMAGES --labels 10 --backbone FILE --size H W --seeds 1 2 3` reads images as
`python -m benchmarks.accuracy` does, and splits them in the same way. So many train images of each label keep it, the
others are in a folder without labels. For each seed, the pipeline runs with these labels alone, with each of
`--methods`, and with all labels of train. Scikit-learn judges the probabilities for test. `closed` is the share of the
distance between those labels alone and all labels, in accuracy or mean average precision, that a method closes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.accuracy import ours
from benchmarks.accuracy.labelled import Labelled

_ALONE, _ALL = "labels alone", "all labels"


def main() -> None:
    """Prints a line for each way to train and seed, then mean and standard deviation over the seeds."""
    parser = ours.arguments(str(__doc__))
    parser.add_argument("--labels", type=int, default=10, help="train images of each label that keep it")
    parser.add_argument("--methods", nargs="+", default=("auto",), help="values of training.unlabelled")
    options = parser.parse_args()
    data = Labelled.read(options.images, options.table, options.most)
    figure = "accuracy" if data.exclusive else "mean average precision"
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in options.seeds:
        splits = data.split(options.shares, seed)
        few = {**splits, "train": kept(data, splits["train"], options.labels, seed)}
        ways = {_ALONE: {"unlabelled": "none"}} | {method: {"unlabelled": method} for method in options.methods}
        results = ours.figures(data, few, ways, options, seed, set(splits["train"]) - set(few["train"]))
        results |= ours.figures(data, splits, {_ALL: {"unlabelled": "none"}}, options, seed)
        alone, whole = results[_ALONE][figure], results[_ALL][figure]
        for name, result in results.items():
            result["closed"] = (result[figure] - alone) / (whole - alone) if whole != alone else math.nan
            found.setdefault(name, []).append(result)
            print(name, seed, json.dumps(result), flush=True)
    print(ours.table(found))


def kept(data: Labelled, train: Sequence[int], count: int, seed: int) -> list[int]:
    """Draws images of train until each label has `count` of them, or no more: the rarest label in train first."""
    order = np.random.default_rng(seed).permutation(np.asarray(train))
    chosen: list[int] = []
    for label in np.argsort(data.targets[order].sum(axis=0), kind="stable"):
        applying = [int(i) for i in order if data.targets[i, label]]
        missing = count - sum(i in applying for i in chosen)
        chosen += [i for i in applying if i not in chosen][: max(0, missing)]
    return sorted(chosen)


if __name__ == "__main__":
    main()
