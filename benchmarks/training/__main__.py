"""Measures training on the data of a finished run: against steps on a batch in memory, and in parts of a batch.

`python -m benchmarks.training OUTPUT --backbone FILE --size H W` takes the shards and the transform graph below OUTPUT.
Each row is the median of three epochs in a process of its own, after one that compiles the network and, where decoded
images are kept, decodes them. An epoch of one batch in memory has eight steps. "speed" is images per second relative to
the row that is named.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

_GIB = 1 << 20  # ru_maxrss is in KiB
_BATCH = 32
_STEPS = 8
_EPOCHS = 3
_WHOLE = "whole batches, one batch in memory"
_PARTS = "parts, one batch in memory"
# name -> part of a batch; epochs of the training that reads images, 0: one batch in memory; the row to compare with.
# A training of a single epoch keeps no decoded images.
_ROWS: dict[str, tuple[int | None, int, str]] = {
    _WHOLE: (_BATCH, 0, ""),
    _PARTS: (None, 0, _WHOLE),
    "parts, images decoded each epoch": (None, 1, _PARTS),
    "parts, decoded images kept": (None, 2, _PARTS),
}


def main() -> None:
    """Prints a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output")
    parser.add_argument("--backbone", default="small")
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224))
    parser.add_argument("--task", default="single_label")
    parser.add_argument("--row", help="measure this one here, and print JSON")
    options = parser.parse_args()
    if options.row:
        print(json.dumps(_measured(options)))
        return
    speeds: dict[str, float] = {}
    for name, (_, _, other) in _ROWS.items():
        command = [sys.executable, "-m", "benchmarks.training", *sys.argv[1:], "--row", name]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(answer.stdout.splitlines()[-1])
        speeds[name] = found["speed"]
        ratio = f"  speed {speeds[name] / speeds[other]:.2f} of {other}" if other else ""
        print(f"{name:<36} parts of {found['part']:>3}  {found['gib']:.2f} GiB{ratio}", flush=True)


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    import keras
    import tensorflow as tf
    import tensorflow_transform as tft

    from components.data import schema
    from components.labels import kinds
    from components.labels.learning.heads import head_of
    from components.model.fitting import memory
    from components.model.fitting.accumulation import InParts
    from components.model.fitting.batches import Batches, ready
    from components.model.fitting.phases import Phases
    from components.model.networks import network
    from pipeline import stages

    part, epochs, _ = _ROWS[options.row]
    size = tuple(options.size)
    folder = os.path.join(options.output, "pipeline")
    [shards] = glob.glob(os.path.join(folder, stages.INGEST.name, "examples", "*"))
    [graph] = glob.glob(os.path.join(folder, stages.TRANSFORM.name, "transform_graph", "*"))
    [told] = glob.glob(os.path.join(folder, stages.SCHEMA.name, "*", "*"))
    names = schema.labels(told)
    kind = kinds.kind(options.task)
    given: dict[str, Any] = {"kind": kind, "image_size": size, "seed": 1}
    transform = tft.TFTransformOutput(graph)
    data = Batches(shards, transform, batch_size=_BATCH, epochs=epochs, **given)
    parts = network.build(options.backbone, weights=None, classes=len(names), augment=True, **given)
    plan = memory.plan(parts.model, parts.activations, batch=_BATCH, cached=data.kept_bytes(), statistics=False)
    model = InParts(parts.model.input, parts.model.output, part=part or plan.part)
    train, images = data.train(), data.count("train")
    if not epochs:
        [first] = train.take(1)
        train, images = ready(tf.data.Dataset.from_tensors(first).repeat(_STEPS)), _BATCH * _STEPS
    phases = Phases("", "", learning_rate=1e-4, loss=lambda: None, metrics=list, strategy=None, jit=False, average=True)
    model.compile(optimizer=phases.optimizer(10, 2), loss=head_of(kind).loss("cross_entropy"), jit_compile=False)
    ends: list[float] = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))
    model.fit(train, epochs=1 + _EPOCHS, verbose=0, callbacks=[clock])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _GIB
    return {"speed": images / statistics.median(np.diff(ends)), "gib": peak, "part": model.part}


if __name__ == "__main__":
    main()
