"""The predictions for the test split as arrays, from which the page's images are chosen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.base.artifact_files import PREDICTIONS
from components.labels.kind import LabelKind
from components.metrics import curves

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """Predictions for n images, sorted by path.

    Attributes:
        paths, sha256: of each image.
        truth: int8 [n, K]: 1 if the label applies, 0 if not, -1 if unknown; for masks, whether any pixel has it.
        decided: bool [n, K]: the predicted labels; none where the prediction is not finite.
        familiarity: float32 [n].
        probabilities: float32 [n, K]; for masks [n, 0].
        confusion: float32 [n, K, K], pixels by true label and prediction; without masks [n, 0, 0].
        calibration: float32 [n, 2, 3, bins], see `metrics.curves.calibration`: the calibrated, then the uncalibrated
            probabilities of the pixels; without masks [n, 0, 0, 0].
    """

    paths: list[str]
    sha256: list[str]
    truth: NDArray[np.int8]
    decided: NDArray[np.bool_]
    familiarity: Floats
    probabilities: Floats
    confusion: Floats
    calibration: Floats

    def __len__(self) -> int:
        return len(self.paths)


def read(evaluation: str, model: str, kind: LabelKind, labels: Sequence[str]) -> Answers:
    """Reads the predictions of one model from the Parquet files beside the evaluation; see `predictions.row`."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(os.path.join(evaluation, PREDICTIONS, model))
    table = table.take(pc.sort_indices(table, [("path", "ascending"), ("sha256", "ascending")])).combine_chunks()
    n, k = len(table), len(labels)

    def lists(name: str, *shape: int) -> NDArray[Any]:
        values = pc.list_flatten(table[name]).to_numpy()
        return values.reshape(n, *shape)

    masks = kind.per_pixel
    bins = curves.CALIBRATION_BINS
    probabilities = np.zeros((n, 0), np.float32) if masks else lists("probabilities", k)
    confusion = lists("confusion", k, k) if masks else np.zeros((n, 0, 0), np.float32)
    calibration = lists("calibration", 2, 3, bins) if masks else np.zeros((n, 0, 0, 0), np.float32)
    if masks:
        truth, decided = (confusion.sum(axis=2) > 0).astype(np.int8), confusion.sum(axis=1) > 0
    else:
        truth = _states(table["labels"].to_pylist(), table["unknown"].to_pylist(), kind, labels)
        decided = _decided(probabilities, lists("decisions", k), kind)
    return Answers(
        paths=table["path"].to_pylist(),
        sha256=table["sha256"].to_pylist(),
        truth=truth,
        decided=decided,
        familiarity=table["familiarity"].to_numpy(),
        probabilities=probabilities,
        confusion=confusion,
        calibration=calibration,
    )


def _states(
    applies: Sequence[Sequence[str]], unknown: Sequence[Sequence[str]], kind: LabelKind, labels: Sequence[str]
) -> NDArray[np.int8]:
    """The states [n, K] of `Answers.truth`. Without its single label, an image has only unknown labels."""
    index = {name: i for i, name in enumerate(labels)}
    states = np.zeros((len(applies), len(labels)), np.int8)
    for row, names, not_stated in zip(states, applies, unknown, strict=True):
        row[[index[name] for name in not_stated]] = -1
        row[[index[name] for name in names]] = 1
        if kind.exclusive and not names:
            row[:] = -1
    return states


def _decided(probabilities: Floats, decisions: NDArray[np.bool_], kind: LabelKind) -> NDArray[np.bool_]:
    """The predicted labels: the most probable of several exclusive labels, as in the metrics; else the decisions."""
    k = probabilities.shape[1]
    if kind.exclusive and k > 1:
        decisions = np.argmax(probabilities, axis=1)[:, np.newaxis] == np.arange(k)
    return decisions & np.isfinite(probabilities).all(axis=1, keepdims=True)
