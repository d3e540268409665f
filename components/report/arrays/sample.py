"""A part of the train split, read for curves and histograms; the whole would take too long and too much memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from components.data import features
from components.data.arrays import stored
from components.data.arrays.curves import Labelled
from components.data.manifest import ArrayFacts, DatasetManifest
from components.ingest.stored import index
from components.report import pictures

SPLIT = "train"
MOST, MOST_BYTES = 256, 1 << 28  # arrays, and bytes of their values


def read(folder: str, told: DatasetManifest, facts: ArrayFacts, bands: int, masks: bool) -> list[Labelled]:
    """Some arrays of train, evenly spread over the records of all shards.

    Args:
        folder: of the shards.
        told, facts: what the manifest says of them.
        bands: the first ones, which are kept; the values of the others are dropped.
        masks: whether each pixel has a label of its own.

    Raises:
        ImagegateError: one of their records is not as ingest wrote it.
    """
    records = sum(shard.records for shard in told.files if shard.split == SPLIT)
    size = (facts.frames or 1) * facts.height * facts.width * bands * np.dtype(facts.dtype).itemsize
    count = min(records, MOST, max(1, MOST_BYTES // size))
    numbers = {i * records // count for i in range(count)}
    return [_labelled(record, told.labels, bands, masks) for record in index.numbered(folder, SPLIT, numbers)]


def _labelled(serialised: bytes, labels: Sequence[str], bands: int, masks: bool) -> Labelled:
    import tensorflow as tf

    record: Any = tf.train.Example.FromString(serialised).features.feature
    array = stored.restored(record[features.IMAGE].bytes_list.value[0])
    if array.pixels.shape[-1] > bands:
        array = replace(array, pixels=array.pixels[..., :bands].copy())
    if masks:
        return Labelled(array, mask=pictures.stored_mask(record))
    return Labelled(array, tuple(labels.index(name.decode()) for name in record[features.LABEL].bytes_list.value))
