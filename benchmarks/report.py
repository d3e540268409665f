"""Measures how long a report takes: collecting charts, pictures and label errors, and rendering the page.

python -m benchmarks.report --images 5000 --labels 60

The shards are written by the functions of ingest, from random photos. The predictions have the Evaluator's format and
come from a simulated model that is right in four of five cases. Both single_label and multi_label are measured.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.base.artifact_files import PREDICTIONS
from components.data.dataset import Dataset, Record
from components.ingest import manifest, shards
from components.ingest.counts import census
from components.report import evidence, page
from components.report.run_summary import DataSummary, RunSummary

_SIZE = (500, 375)


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--labels", type=int, default=60)
    options = parser.parse_args()
    labels = tuple(f"label {i}" for i in range(options.labels))
    for task in ("single_label", "multi_label"):
        with tempfile.TemporaryDirectory() as folder:
            counts = _make(folder, options.images, labels, several=task == "multi_label")
            summary = RunSummary(name="benchmark", task=task, status="pushed", data=DataSummary(labels=counts))
            artifacts = {key: os.path.join(folder, key) for key in ("examples", "evaluation", "model")}
            started = time.monotonic()
            collection = evidence.collect(
                summary, artifacts, seed=1, distance=10, contradictions=task == "single_label"
            )
            collected = time.monotonic()
            text = page.render(summary, collection)
            print(
                f"{task}, {options.images} test images, {options.labels} labels: evidence {collected - started:.1f} s, "
                f"page {time.monotonic() - collected:.1f} s, {len(text.encode()) / 1e6:.1f} MB"
            )


def _make(folder: str, images: int, labels: tuple[str, ...], *, several: bool) -> dict[str, dict[str, int]]:
    """Writes shards and predictions below `folder`. Returns the counts of the labels."""
    random = np.random.default_rng(0)
    photos, k = os.path.join(folder, "photos"), len(labels)
    os.makedirs(photos)
    applies = np.eye(k, dtype=bool)[random.integers(0, k, images)]
    if several:
        applies |= random.random((images, k)) < 2 / k
    for i in range(images):
        tiles = Image.fromarray(random.integers(0, 255, (6, 8, 3), dtype=np.uint8))
        tiles.resize(_SIZE, Image.Resampling.BICUBIC).save(os.path.join(photos, f"{i:06}.jpg"))
    records = []
    for i, row in enumerate(applies):
        size = os.path.getsize(os.path.join(photos, f"{i:06}.jpg"))
        names = tuple(labels[j] for j in np.flatnonzero(row))
        records.append(Record(f"{i:06}.jpg", names, "test", size, ""))
    dataset = Dataset(photos, labels, tuple(records), {"train": 0.0, "eval": 0.0, "test": 1.0})
    job, parts = shards.job(dataset, 10_000_000), shards.plan(records)
    examples = os.path.join(folder, "examples")
    reports = [shards.write(examples, i, len(parts), part, job, lambda _: None) for i, part in enumerate(parts)]
    counted, kept = census.merge(dataset, reports)
    kept.write(examples)
    manifest.write(examples, counted)
    _write_predictions(folder, records, [row.tobytes().hex() for row in kept.rows["sha256"]], applies, random)
    return counted.label_counts


def _write_predictions(
    folder: str, records: list[Record], sha256: list[str], applies: NDArray[np.bool_], random: np.random.Generator
) -> None:
    """Writes Parquet files in the format of `predictions.write`, with the images in the order of their paths."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    n, k = applies.shape
    right = np.where(random.random(n) < 0.8, 4.0, 0.0)[:, np.newaxis]
    logits = random.normal(size=(n, k)) + right * applies - 3
    p = (1 / (1 + np.exp(-logits))).astype(np.float32)
    if (applies.sum(axis=1) == 1).all():
        p /= p.sum(axis=1, keepdims=True)
    rows = [
        {
            "path": record.path,
            "sha256": digest,
            "labels": list(record.labels),
            "unknown": [],
            "weight": 1.0,
            "familiarity": float(random.random()),
            "abstain": False,
            "probabilities": own.tolist(),
            "uncalibrated": own.tolist(),
            "decisions": (own >= 0.5).tolist(),
        }
        for record, digest, own in zip(records, sha256, p, strict=True)
    ]
    to = os.path.join(folder, "evaluation", PREDICTIONS, "candidate")
    os.makedirs(to)
    floats = pa.list_(pa.float32())
    schema = pa.Table.from_pylist(rows[:1]).schema
    for name, kind in (("unknown", pa.list_(pa.string())), ("probabilities", floats), ("uncalibrated", floats)):
        schema = schema.set(schema.get_field_index(name), pa.field(name, kind))
    pq.write_table(pa.Table.from_pylist(rows, schema), os.path.join(to, "part.parquet"))


if __name__ == "__main__":
    main()
