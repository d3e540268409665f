"""The stored images of a split as the pixels that an exported file takes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from components.data import features, images
from components.ingest import manifest
from components.ingest.stored import index


def decode(records: Iterable[bytes], count: int, size: tuple[int, int], path: str) -> NDArray[np.uint8]:
    """Writes decoded images to an array on disk, which may be larger than the memory.

    Args:
        records: serialised tf.Examples.
        count: number of records.
        size: height and width in pixels.
        path: the file to write, of NumPy's format.

    Returns:
        uint8 [count, *size, 3], decoded and resized as the SavedModel does.
    """
    import tensorflow as tf

    array = np.lib.format.open_memmap(path, "w+", np.uint8, (count, *size, 3))
    for i, record in enumerate(records):
        image = tf.train.Example.FromString(record).features.feature[features.IMAGE].bytes_list.value[0]
        array[i] = images.decode(tf.constant(image), size).numpy()
    array.flush()
    return array


def spread(examples: str, split: str, most: int) -> list[bytes]:
    """Reads at most `most` records of a split, evenly spread over its shards."""
    count = manifest.read(examples).counts[split]
    return list(index.numbered(examples, split, np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))))


def every(examples: str, split: str) -> Iterator[bytes]:
    """Reads all records of a split, in the order of the shards."""
    return index.numbered(examples, split, range(manifest.read(examples).counts[split]))


def size_of(paths: Iterable[str]) -> float:
    """Size of files, in 10^6 bytes."""
    return sum(map(os.path.getsize, paths)) / 1e6
