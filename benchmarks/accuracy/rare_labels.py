"""Measures what methods for rare labels do, on test.

`python -m benchmarks.accuracy.rare_labels IMAGES --ratio 50 --backbone FILE --size H W --seeds 1 2 3` reads images as
`python -m benchmarks.accuracy` does, and splits them in the same way. With `--ratio`, train and eval are cut: the
images of the labels fall, from label to label, by the same factor, until the last label has a fiftieth of those of the
first. Test stays as it is. For each seed, the pipeline runs with each of `--methods`. Scikit-learn judges the
probabilities for test.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.accuracy import ours
from benchmarks.accuracy.labelled import Labelled


def main() -> None:
    """Prints a line for each method and seed, then mean and standard deviation over the seeds."""
    parser = ours.arguments(str(__doc__))
    parser.add_argument("--ratio", type=float, default=1.0, help="images of the first label for one of the last")
    parser.add_argument("--methods", nargs="+", default=("none", "weights", "logit_adjustment"))
    options = parser.parse_args()
    data = Labelled.read(options.images, options.table, options.most)
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in options.seeds:
        splits = data.split(options.shares, seed)
        for split in ("train", "eval"):
            splits[split] = cut(data, splits[split], options.ratio, seed)
        ways = {name: {"imbalance": name, "unlabelled": "none"} for name in options.methods}
        for name, result in ours.figures(data, splits, ways, options, seed).items():
            found.setdefault(name, []).append(result)
            print(name, seed, json.dumps(result), flush=True)
    print(ours.table(found))


def cut(data: Labelled, indices: Sequence[int], ratio: float, seed: int) -> list[int]:
    """Draws images so that those of label k of K are ratio^(-k / (K - 1)) of what they were, and one at least."""
    order = np.random.default_rng(seed).permutation(np.asarray(indices))
    labels = data.targets[order].argmax(axis=1)
    last = max(1, len(data.labels) - 1)
    chosen: list[int] = []
    for label in range(len(data.labels)):
        own = order[labels == label]
        chosen += own[: max(1, round(len(own) * ratio ** (-label / last)))].tolist()
    return sorted(chosen)


if __name__ == "__main__":
    main()
