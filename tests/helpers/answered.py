"""What a model answered, as arrays, without a model; and small data sets in shards."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from prepared import ingest
from trees import tree

from components.data.dataset import Dataset, Record
from components.metrics.curves import CALIBRATION_BINS
from components.report.answers import Answers


def answers(
    truth: Sequence[Sequence[int]],
    probabilities: Sequence[Sequence[float]],
    decided: Sequence[Sequence[bool]] | None = None,
    familiarity: Sequence[float] | None = None,
) -> Answers:
    """Images "0", "1", …; without `decided` the most probable label is the answer."""
    p = np.array(probabilities, np.float32)
    n, k = p.shape
    said = p.argmax(axis=1)[:, np.newaxis] == np.arange(k) if decided is None else np.array(decided)
    return Answers(
        paths=[str(i) for i in range(n)],
        sha256=["0a"] * n,
        truth=np.array(truth, np.int8),
        decided=said & np.isfinite(p).all(axis=1, keepdims=True),
        familiarity=np.array(familiarity if familiarity is not None else [1.0] * n, np.float32),
        probabilities=p,
        confusion=np.zeros((n, 0, 0), np.float32),
        calibration=np.zeros((n, 0, 0, 0), np.float32),
    )


def masked(confusion: Any, calibration: Any = None) -> Answers:
    """Of masks; `confusion` [n, K, K]."""
    counts = np.array(confusion, np.float32)
    n = len(counts)
    sure = np.zeros((n, 2, 3, CALIBRATION_BINS)) if calibration is None else calibration
    return Answers(
        paths=[str(i) for i in range(n)],
        sha256=["0a"] * n,
        truth=(counts.sum(axis=2) > 0).astype(np.int8),
        decided=counts.sum(axis=1) > 0,
        familiarity=np.ones(n, np.float32),
        probabilities=np.zeros((n, 0), np.float32),
        confusion=counts,
        calibration=np.array(sure, np.float32),
    )


def one_hot(labels: Sequence[int], classes: int) -> list[list[int]]:
    return np.eye(classes, dtype=int)[list(labels)].tolist()


def ingested(base: Path, files: Mapping[str, bytes]) -> str:
    """The folder of the shards of files named SPLIT/LABEL/NAME, which lie below `base`/data."""
    tree(base / "data", files)
    records = []
    for path, content in sorted(files.items()):
        split, label, _ = path.split("/")
        records.append(Record(path, (label,), split, len(content), ""))
    labels = tuple(sorted({record.labels[0] for record in records}))
    ingest(Dataset(str(base / "data"), labels, tuple(records), {}), base / "examples")
    return os.fspath(base / "examples")
