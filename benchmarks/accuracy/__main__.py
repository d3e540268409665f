"""Compares the accuracy of imagegate with fastai's `fine_tune` and Keras's guide on a folder of labelled images.

`python -m benchmarks.accuracy IMAGES --backbone FILE --size H W --epochs N --seeds 1 2 3 --fastai PYTHON` splits the
images of each label at random, 80 / 10 / 10 % for train, eval and test, for each seed. Every side trains on the same
train images with the same backbone, size and epochs, may look at eval, and is judged on test. `--fastai` is the Python
of an environment of its own, with `pip install -r benchmarks/accuracy/fastai.txt`.

Seconds are of training with all cores, ours with the start of the stage, calibration and export. Compare them within
one run only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline import stages

_SHARES = {"eval": 0.1, "test": 0.1}
_RECIPES = ("fast", "good", "best")


def main() -> None:
    """Prints a line for each side and seed, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="a folder with a folder for each label")
    parser.add_argument("--backbone", required=True, help="path of a .keras file")
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224), metavar=("H", "W"))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3))
    parser.add_argument("--most", type=int, help="take so many images at most, the same ones for every side")
    parser.add_argument("--sides", nargs="+", default=(*_RECIPES, "keras", "fastai"))
    parser.add_argument("--fastai", default="", help="Python of fastai's environment")
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {}
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as work:
            _split(options.images, Path(work, "images"), seed, options.most)
            for side in options.sides:
                if side == "fastai" and not options.fastai:
                    continue
                result = _measured(side, Path(work), options, seed)
                found.setdefault(side, []).append(result)
                print(side, seed, json.dumps(result), flush=True)
    for side, results in found.items():
        accuracy = [result["accuracy"] for result in results]
        spread = statistics.stdev(accuracy) if len(accuracy) > 1 else 0.0
        seconds = statistics.mean(result["seconds"] for result in results)
        print(f"| {side:<7} | {statistics.mean(accuracy):.3f} ± {spread:.3f} | {seconds:7.0f} |")


def _split(images: Path, to: Path, seed: int, most: int | None) -> None:
    """Copies the images to SPLIT/LABEL, for a random split of each label."""
    labels = sorted(folder.name for folder in images.iterdir() if folder.is_dir())
    for label in labels:
        files = sorted((images / label).iterdir())
        files = files if most is None else files[:: -(-len(files) * len(labels) // most)]
        order = np.random.default_rng(seed).permutation(len(files))
        counts = {split: max(1, round(share * len(files))) for split, share in _SHARES.items()}
        for place, index in enumerate(order):
            split = next(_place(place, counts), "train")
            folder = to / split / label
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(files[index], folder / files[index].name)


def _place(place: int, counts: dict[str, int]) -> Iterator[str]:
    begin = 0
    for split, count in counts.items():
        if begin <= place < begin + count:
            yield split
        begin += count


def _measured(side: str, work: Path, options: argparse.Namespace, seed: int) -> dict[str, float]:
    if side in _RECIPES:
        return _ours(side, work / side, work / "images", options, seed)
    python = options.fastai if side == "fastai" else sys.executable
    script = Path(__file__).with_name(f"{side}_guide.py" if side == "keras" else f"{side}_side.py")
    told = [str(work / "images"), *map(str, options.size), str(options.epochs), str(seed), options.backbone]
    answer = subprocess.run([python, str(script), *told], check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return result


def _ours(recipe: str, work: Path, images: Path, options: argparse.Namespace, seed: int) -> dict[str, float]:
    """Runs the pipeline; the accuracy is that of the report."""
    training = {"backbone": os.path.abspath(options.backbone), "image_size": options.size, "seed": seed}
    training |= {"recipe": recipe} | ({} if recipe == "fast" else {"epochs": options.epochs})
    config = {
        "name": recipe,
        "task": "single_label",
        "data": {"root": str(images), "layout": "folders"},
        "balance": {
            "min_examples": 1,
            "max_ratio": 1000,
            "max_split_drift": None,
            "allow_duplicates_across_splits": True,
        },
        "training": training,
        "evaluation": {"thresholds": [{"metric": "accuracy", "min": 0.0}]},
        "push": {"destination": "served"},
    }
    work.mkdir()
    (work / "imagegate.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "pipeline", "run", str(work / "imagegate.yaml"), "--json"]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    summary = json.loads(answer.stdout)
    seconds = next(stage["seconds"] for stage in summary["stages"] if stage["name"] == stages.TRAINER.name)
    return {"accuracy": summary["metrics"]["accuracy"], "loss": summary["metrics"]["loss"], "seconds": seconds}


if __name__ == "__main__":
    main()
