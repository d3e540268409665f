"""Compares what feeds a training: our batches, and `keras.utils.image_dataset_from_directory`.

`python -m benchmarks.training.feeding OUTPUT FOLDER --size H W` takes the train split of the finished run below OUTPUT,
and the same photos in FOLDER, which has a folder for each label. Nothing is trained: batches of 32 are taken and thrown
away. The first epoch decodes all images; ours keeps them after that, as far as memory allows. Each side goes first in
every second round, and rates are those of the processor's time, which other work hardly changes, and of the clock.
"""

from __future__ import annotations

import argparse
import glob
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

_BATCH = 32


def main() -> None:
    """Prints the rate of each side, and the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training.feeding", description=__doc__.splitlines()[0])
    parser.add_argument("output")
    parser.add_argument("folder")
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224))
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    sides: dict[str, Callable[[], Any]] = {"ours": lambda: _ours(options), "keras": lambda: _keras(options)}
    rates: dict[str, list[tuple[float, float]]] = {}
    for i in range(options.rounds):
        for side in sorted(sides, reverse=i % 2 == 1):
            data = sides[side]()
            for epoch in ("first", "later"):
                rates.setdefault(f"{side}, {epoch}", []).append(_rate(data))
    found = {name: [statistics.median(each) for each in zip(*rows, strict=True)] for name, rows in rates.items()}
    for name, (clock, processor) in found.items():
        print(f"{name:<14}{clock:8.0f} images a second by the clock,{processor:8.0f} by the processor's time")
    for epoch in ("first", "later"):
        ratios = [a / b for a, b in zip(found[f"ours, {epoch}"], found[f"keras, {epoch}"], strict=True)]
        print(f"{epoch} epoch: ours is {ratios[0]:.2f} times as fast by the clock, {ratios[1]:.2f} by the processor")


def _rate(data: Any) -> tuple[float, float]:
    """Images a second of one epoch, by the clock and by the processor's time."""
    clock, processor, count = time.perf_counter(), time.process_time(), 0
    for images, *_ in data:
        count += int(images.shape[0])
    return count / (time.perf_counter() - clock), count / (time.process_time() - processor)


def _ours(options: argparse.Namespace) -> Any:
    import tensorflow_transform as tft

    from components.labels import kinds
    from components.model.fitting.batches import Batches
    from pipeline import stages

    folder = os.path.join(options.output, "pipeline")
    shards = max(glob.glob(os.path.join(folder, stages.INGEST.name, "examples", "*")), key=os.path.getmtime)
    graph = max(glob.glob(os.path.join(folder, stages.TRANSFORM.name, "transform_graph", "*")), key=os.path.getmtime)
    given: dict[str, Any] = {"kind": kinds.kind("single_label"), "image_size": tuple(options.size), "seed": 1}
    return Batches(shards, tft.TFTransformOutput(graph), batch_size=_BATCH, epochs=2, **given).train()


def _keras(options: argparse.Namespace) -> Any:
    import keras

    return keras.utils.image_dataset_from_directory(
        options.folder, image_size=tuple(options.size), batch_size=_BATCH, seed=1, verbose=False
    ).prefetch(2)


if __name__ == "__main__":
    main()
