"""What the shards say of the images besides the answers: their properties, and features of a pretrained network."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.data import features, images, properties
from components.data.formats.bad_image import BadImage
from components.evaluation import predictions
from components.evaluation.groups.parts import Neighbours, Seen
from components.evaluation.predictions import Prediction
from components.ingest import manifest
from components.model.features import feature_store
from components.model.features.settings import FeatureSettings

_CHUNK = 64  # encoded images in memory


def look(examples: str, rows: Sequence[Prediction], settings: FeatureSettings | None) -> Seen:
    """Looks at the images of the test split.

    Args:
        examples: folder of the shards.
        rows: the predictions for them.
        settings: a pretrained network, or None: no features.

    Raises:
        ConfigError: the network cannot be loaded.
        ImagegateError: the shards changed since ingest.
    """
    place = {(row["path"], row["sha256"]): i for i, row in enumerate(rows)}
    if manifest.read(examples).arrays is not None:  # their values are no brightness
        return Seen()
    measured = np.full((len(rows), len(properties.NAMES)), np.nan)
    order = np.zeros(len(rows), np.intp)
    found = -1
    with ThreadPoolExecutor() as pool:  # the decoders release the interpreter lock
        records = _records(examples, "test")
        for chunk in iter(lambda: list(itertools.islice(records, _CHUNK)), []):
            values = pool.map(_properties, [_image(record) for record in chunk])
            for record, of_image in zip(chunk, values, strict=True):
                found += 1
                order[found] = place[predictions.identity(record)]
                measured[order[found]] = of_image
    by_name = {name: measured[:, i] for i, name in enumerate(properties.NAMES) if np.isfinite(measured[:, i]).any()}
    if settings is None:
        return Seen(by_name)
    described = _features(examples, "test", settings)
    rows_of = np.empty_like(described)
    rows_of[order] = described
    return Seen(by_name, rows_of)


def neighbours(examples: str, labels: Sequence[str], settings: FeatureSettings) -> Neighbours:
    """The images of train whose labels are known, with their features; see `look`."""
    import tensorflow as tf

    read = (tf.train.Example.FromString(record).features.feature for record in _records(examples, "train"))
    known = [{name.decode() for name in one[features.LABEL].bytes_list.value} for one in read]
    applies = np.array([[label in names for label in labels] for names in known], bool)
    there = applies.any(axis=1)
    return Neighbours(_features(examples, "train", settings)[there], applies[there])


def _features(examples: str, split: str, settings: FeatureSettings) -> NDArray[np.float32]:
    """Features [n, F] of a split, in the order of the shards; from the store of the Trainer, where they are there."""
    from components.model.features import backbone

    digests = [feature_store.digest(_image(record)) for record in _records(examples, split)]

    def encoded(indices: Sequence[int]) -> Iterable[tuple[int, bytes]]:
        wanted = set(indices)
        return ((i, _image(record)) for i, record in enumerate(_records(examples, split)) if i in wanted)

    return backbone.of_images(settings, digests, encoded)


def _records(examples: str, split: str) -> Iterator[bytes]:
    """Yields the serialised examples of a split, in the order of the shards, which are checked first."""
    import tensorflow as tf

    for record in tf.data.TFRecordDataset(manifest.verify(examples, split)):
        yield record.numpy()


def _image(record: bytes) -> bytes:
    import tensorflow as tf

    encoded: Any = tf.train.Example.FromString(record).features.feature[features.IMAGE].bytes_list.value[0]
    return bytes(encoded)


def _properties(encoded: bytes) -> tuple[float, ...]:
    """The properties of an image that ingest stored."""
    try:
        return images.glance(encoded, sys.maxsize).properties
    except BadImage:  # ingest decoded it with TensorFlow; Pillow also reads what follows the pixels, and may fail there
        return (np.nan,) * len(properties.NAMES)
