"""Measures how fast sequences of images with six bands are ingested, and whether training waits for them.

python -m benchmarks.arrays --count 400

Ingest is compared with a plain loop that reads each file, compresses its values as the records do, and writes them
one after the other: all that nobody can leave out. Training is compared with its input alone.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.data.arrays import stored
from components.data.arrays.spec import Bands
from components.data.dataset import Dataset, Record
from components.data.manifest import ArrayFacts
from components.ingest import shards
from components.labels import kinds
from components.labels.learning import pixels as masks
from components.model.fitting.batches import ready
from components.model.networks.bands import parts
from components.model.networks.bands.inputs import given, shape
from pipeline.init import fields

_BATCH = 8
_BANDS = Bands(names=fields.BANDS, frames=fields.MOMENTS, invalid="zero")


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=400)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fields.write(folder, options.count)
        images = sorted(Path(folder, "images").iterdir())
        records = [Record(f"images/{p.name}", (), "train", p.stat().st_size, "") for p in images]
        dataset = Dataset(folder, (), tuple(records), {"train": 0.8, "eval": 0.1, "test": 0.1})
        job, plan = shards.job(dataset, 10_000_000, bands=_BANDS), shards.plan(records)

        def ingest() -> None:
            for i, part in enumerate(plan):
                shards.write(os.path.join(folder, "shards"), i, len(plan), part, job, lambda _: None)

        loop, ours = (_seconds(one) for one in (lambda: _loop(images, os.path.join(folder, "plain")), ingest))
        print(
            f"ingest of {len(images)} sequences: {ours:.1f} s, a plain loop {loop:.1f} s, {loop / ours:.2f} times that"
        )
        _training(sorted(map(str, Path(folder, "shards").rglob("*train*/*.tfrecord"))))


def _loop(images: list[Path], to: str) -> None:
    with tf.io.TFRecordWriter(to) as writer:
        for path in images:
            pixels = np.load(io.BytesIO(path.read_bytes()))
            writer.write(zlib.compress(pixels.data, 1))


def _training(paths: list[str]) -> None:
    """Times a step with real input, the same step on a batch that is there, and the input alone."""
    told = ArrayFacts(
        bands=fields.BANDS,
        frames=fields.MOMENTS,
        dtype="uint16",
        height=fields.SIDE,
        width=fields.SIDE,
        mean=(1000.0,) * len(fields.BANDS),
        deviation=(1000.0,) * len(fields.BANDS),
    )
    kind = kinds.kind("segmentation")
    model = parts.build(told, "temporal_attention", classes=len(fields.CROPS), augment=False, kind=kind).model
    model.compile(optimizer=keras.optimizers.Adam(), loss=masks.loss(), jit_compile=False)
    truth = tf.zeros([_BATCH, fields.SIDE, fields.SIDE], tf.uint8)

    def parsed(record: tf.Tensor) -> dict[str, tf.Tensor]:
        wanted = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
        encoded = tf.io.parse_single_example(record, wanted)["image/encoded"]
        return given(stored.decode(encoded, told.dtype, shape(told)), told)

    data = ready(tf.data.TFRecordDataset(paths).map(parsed, os.cpu_count()).batch(_BATCH, drop_remainder=True))
    first = next(iter(data))
    model.train_on_batch(first, truth)  # traces the graph
    steps = sum(1 for _ in data)
    alone = _seconds(lambda: [None for _ in data]) / steps
    there = _seconds(lambda: [model.train_on_batch(first, truth) for _ in range(steps)]) / steps
    both = _seconds(lambda: [model.train_on_batch(batch, truth) for batch in data]) / steps
    print(
        f"a step of {_BATCH}: {1000 * both:.0f} ms, on a batch in memory {1000 * there:.0f} ms, its input alone "
        f"{1000 * alone:.0f} ms"
    )


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
