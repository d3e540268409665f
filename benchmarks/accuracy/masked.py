"""Images with masks: how they are read and split, what each side is told, and how its masks are judged."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import confusion_matrix

PEERS = {"keras": "keras_masks.py", "fastai": "fastai_masks.py"}
# As of our defaults: epochs of the decoder alone, images of a batch, and the least steps of an epoch.
_DECODER_EPOCHS, _BATCH, _STEPS = 4, 8, 25
_IGNORED = 255  # in the masks that every side gets


@dataclass(frozen=True)
class Masked:
    """Images and their masks.

    Attributes:
        files, masks: (image, mask) by index.
        tests: how many of them, the last ones, are for test only; 0: a share of all.
        labels: names of ids 0, 1, …
        ignored: id in the files of pixels that do not count, or None.
    """

    files: Sequence[tuple[Path, Path]]
    tests: int
    labels: Sequence[str]
    ignored: int | None

    @classmethod
    def read(
        cls, folders: Sequence[Path], test: Sequence[Path] | None, labels: Sequence[str], ignored: int | None
    ) -> Masked:
        """Pairs the images of one folder with the masks of another that have their names, for test likewise.

        Args:
            folders, test: a folder of images and one of masks.
            labels: names of the ids, or the path of a text file with one in each line.
            ignored: id of pixels that do not count.
        """
        if len(labels) == 1:
            labels = Path(labels[0]).read_text(encoding="utf-8").split("\n")
        held_out = _paired(*test) if test else []
        return cls([*_paired(*folders), *held_out], len(held_out), [name for name in labels if name], ignored)

    def split(self, shares: Sequence[float], seed: int) -> dict[str, list[int]]:
        """Split -> indices of its images, drawn from all but those for test only."""
        rest = len(self.files) - self.tests
        order = np.random.default_rng(seed).permutation(rest)
        first = max(1, round(shares[0] * rest))
        second = first if self.tests else first + max(1, round(shares[1] * rest))
        evaluation, test, train = (sorted(part.tolist()) for part in np.split(order, [first, second]))
        return {"eval": evaluation, "test": test or list(range(rest, len(self.files))), "train": train}

    def told(self, splits: dict[str, list[int]], work: Path) -> dict[str, Any]:
        """What every side is told of the images, which are written to `work` with masks of ids and 255."""
        files: dict[str, list[str]] = {}
        masks: dict[str, list[str]] = {}
        for split, indices in splits.items():
            images, truths = work / split, work / "masks" / split
            images.mkdir()
            truths.mkdir(parents=True)
            files[split] = [
                str(shutil.copyfile(self.files[i][0], images / f"{i}{self.files[i][0].suffix}")) for i in indices
            ]
            masks[split] = [str(truths / f"{i}.png") for i in indices]
            for i, path in zip(indices, masks[split], strict=True):
                Image.fromarray(self._mask(i)).save(path)
        passes = -(-_STEPS * _BATCH // len(files["train"]))  # through the images in each epoch
        return {
            "files": files,
            "masks": masks,
            "ignored": _IGNORED,
            "batch": _BATCH,
            "passes": passes,
            "decoder_epochs": _DECODER_EPOCHS,
        }

    def _mask(self, index: int, size: Sequence[int] | None = None) -> NDArray[np.uint8]:
        """Ids of a mask, 255 for ignored pixels; with `size`, those of the nearest pixels."""
        with Image.open(self.files[index][1]) as image:
            found = image if size is None else image.resize((size[1], size[0]), Image.Resampling.NEAREST)
            ids = np.asarray(found, np.uint8)
        return ids if self.ignored is None else np.where(ids == self.ignored, _IGNORED, ids).astype(np.uint8)

    def config(self, told: dict[str, Any], work: Path) -> dict[str, Any]:
        """The part of our configuration that says what the data is."""
        splits = told["files"]
        return {
            "task": "segmentation",
            "data": {
                "root": str(work),
                "layout": "masks",
                "images": {split: split for split in splits},
                "masks": {split: f"masks/{split}" for split in splits},
            },
            "labels": {"names": told["labels"], "ignore": _IGNORED},
            "evaluation": {"thresholds": [{"metric": "mean_iou", "min": 0.0}]},
        }

    def answers(self, evaluation: str, told: dict[str, Any], work: Path) -> NDArray[np.uint8]:
        """The masks [N, H, W] of our pushed model for the test images."""
        import tensorflow as tf

        [model] = (work / "served").rglob("saved_model.pb")
        answer = tf.saved_model.load(str(model.parent)).signatures["serving_default"]
        encoded = [Path(file).read_bytes() for file in told["files"]["test"]]
        return np.concatenate([answer(image_bytes=tf.constant([one]))["mask"].numpy() for one in encoded])

    def judged(self, answers: NDArray[Any], test: Sequence[int], size: Sequence[int]) -> dict[str, float]:
        """Mean IoU over the labels in the truth, with the pixels of all images added up, and pixel accuracy."""
        truth = np.stack([self._mask(index, size) for index in test])
        known = truth != _IGNORED
        pixels = confusion_matrix(truth[known], answers[known], labels=range(len(self.labels)))
        correct, present = np.diag(pixels), pixels.sum(1) > 0
        iou = correct[present] / (pixels.sum(0) + pixels.sum(1) - correct)[present]
        return {"mean IoU": float(iou.mean()), "pixel accuracy": float(correct.sum() / pixels.sum())}


def _paired(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    named = {mask.stem: mask for mask in masks.iterdir()}
    return [(image, named[image.stem]) for image in sorted(images.iterdir()) if image.stem in named]
