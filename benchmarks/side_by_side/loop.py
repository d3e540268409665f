"""Ingest as a plain single-threaded Python loop without Beam and TFX, to measure the cost of the work itself."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import tensorflow as tf

from components.data import images
from components.data.dataset import SPLITS, Record
from components.ingest import splits
from components.ingest.examples import to_example
from components.ingest.settings import Data, Split

if TYPE_CHECKING:
    from benchmarks.side_by_side.worker import Job


def run(job: Job) -> dict[str, float]:
    """Reads, digests, fully decodes and writes every photo to the same records as our ingest."""
    started = time.perf_counter()
    fractions = dict(Split())
    max_pixels = Data.model_fields["max_pixels"].default
    writers = {split: tf.io.TFRecordWriter(_path(job.work, split)) for split in SPLITS}
    for label in sorted(os.listdir(job.photos)):
        for name in sorted(os.listdir(os.path.join(job.photos, label))):
            with open(os.path.join(job.photos, label, name), "rb") as f:
                data = f.read()
            sha256 = splits.digest(data)
            image = images.check(data, max_pixels)
            record = Record(f"{label}/{name}", (label,), None, len(data), "")
            example = to_example(record, sha256, image, None)
            writers[splits.by_hash(sha256, fractions)].write(example)
    for writer in writers.values():
        writer.close()
    return {"loop": time.perf_counter() - started}


def examples(work: str) -> int:
    """Returns the number of written examples in all splits."""
    return sum(1 for _ in tf.data.TFRecordDataset([_path(work, split) for split in SPLITS]))


def pushed(work: str) -> bool:
    """Returns False, because the loop only ingests."""
    return False


def _path(work: str, split: str) -> str:
    return os.path.join(work, f"{split}.tfrecord")
