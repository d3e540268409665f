"""Compares the accuracy of imagegate with fastai and Keras's guides on labelled images, or on images with masks.

`python -m benchmarks.accuracy IMAGES --backbone FILE --size H W --epochs N --seeds 1 2 3 --fastai PYTHON` reads a
folder with a folder for each label. With `--table CSV`, whose first column names files in IMAGES and whose others are
labels with 0 or 1, an image has any number of labels. Images are split at random for each seed, those of folders label
by label. Every side trains on the same train images with the same backbone, size and epochs, may look at eval, and its
probabilities on test are judged here, by scikit-learn. `--fastai` is the Python of an environment of its own, with
`pip install -r benchmarks/accuracy/fastai.txt`.

With `--masks MASKS --names LABEL ...`, each image in IMAGES has a mask of ids in MASKS, which has its name; pixels of
`--ignored ID` do not count. `--test IMAGES MASKS` are held out, whatever the seed. Every side has 4 epochs of the
decoder alone (Keras's guide, which starts from random weights, 4 more epochs) and then N of everything, each of at
least 25 batches of 8.

Seconds are of training with all cores, ours with the start of the stage, calibration and export. Compare them within
one run only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import labelled, masked, ours
from benchmarks.accuracy.labelled import Labelled
from benchmarks.accuracy.masked import Masked

_RECIPES = ("fast", "good", "best")
_PEERS = ("keras", "fastai")


def main() -> None:
    """Prints a line for each side and seed, then mean and standard deviation over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="a folder with a folder for each label, or with files")
    parser.add_argument("--table", type=Path, help="CSV: file name, then a column of 0 and 1 for each label")
    parser.add_argument("--masks", type=Path, help="folder of masks, with the names of the images")
    parser.add_argument("--names", nargs="+", default=(), help="names of ids 0, 1, …, or a text file of them")
    parser.add_argument("--ignored", type=int, help="id of pixels that do not count")
    parser.add_argument("--test", type=Path, nargs=2, metavar=("IMAGES", "MASKS"), help="images with masks to judge on")
    parser.add_argument("--backbone", required=True, help="path of a .keras file")
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224), metavar=("H", "W"))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3))
    parser.add_argument("--shares", type=float, nargs=2, default=(0.1, 0.1), metavar=("EVAL", "TEST"))
    parser.add_argument("--most", type=int, help="take so many images at most, the same ones for every side")
    parser.add_argument("--sides", nargs="+", default=(*_RECIPES, *_PEERS), choices=(*_RECIPES, *_PEERS))
    parser.add_argument("--fastai", default="", help="Python of fastai's environment")
    options = parser.parse_args()
    data: Labelled | Masked
    if options.masks:
        data = Masked.read((options.images, options.masks), options.test, options.names, options.ignored)
    else:
        data = Labelled.read(options.images, options.table, options.most)
    sides = [side for side in options.sides if side != "fastai" or options.fastai]
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for seed in options.seeds:
        splits = data.split(options.shares, seed)
        for side in sides:
            with tempfile.TemporaryDirectory() as work:
                seconds, answers = _trained(side, Path(work), data, splits, options, seed)
            result = data.judged(answers, splits["test"], options.size)
            found[side].append(result | {"seconds": seconds})
            print(side, seed, json.dumps(found[side][-1]), flush=True)
    print(f"| | {' | '.join(found[sides[0]][0])} |")
    for side, results in found.items():
        print(f"| {side} | {' | '.join(ours.spread([result[name] for result in results]) for name in results[0])} |")


def _trained(
    side: str,
    work: Path,
    data: Labelled | Masked,
    splits: dict[str, list[int]],
    options: argparse.Namespace,
    seed: int,
) -> tuple[float, NDArray[Any]]:
    """Seconds of training, and what is answered to the test images, in the order of the split."""
    told = {
        "labels": data.labels,
        "size": options.size,
        "epochs": options.epochs,
        "seed": seed,
        "backbone": os.path.abspath(options.backbone),
        "answers": str(work / "answers.npy"),
        **data.told(splits, work),
    }
    if side in _RECIPES:
        return _ours(side, work, data, told)
    (work / "told.json").write_text(json.dumps(told))
    script = (masked if isinstance(data, Masked) else labelled).PEERS[side]
    python = options.fastai if side == "fastai" else sys.executable
    command = [python, str(Path(__file__).with_name(script)), str(work / "told.json")]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(printed.split()[-1]), np.load(work / "answers.npy")


def _ours(recipe: str, work: Path, data: Labelled | Masked, told: dict[str, Any]) -> tuple[float, NDArray[Any]]:
    """Runs the pipeline, and reads the answers of its model."""
    training = {"backbone": told["backbone"], "image_size": told["size"], "seed": told["seed"], "recipe": recipe}
    training = training if recipe == "fast" else training | {"epochs": told["epochs"]}
    found = ours.run(work, {"training": training, **data.config(told, work)})
    return found.seconds, data.answers(found.evaluation, told, work)


if __name__ == "__main__":
    main()
