"""The form of a record on disk: a tf.Example with the features of `data.features`."""

from __future__ import annotations

from components.data.dataset import Record
from components.data.features import (
    FORMAT,
    HEIGHT,
    IGNORED,
    IMAGE,
    LABEL,
    MASK,
    PATH,
    PIXELS,
    SHA256,
    SLICE,
    UNKNOWN,
    WEIGHT,
    WIDTH,
)
from components.data.images import Checked
from components.data.masks import Mask


def to_example(record: Record, sha256: str, image: Checked, mask: Mask | None) -> bytes:
    """Serialises one image as a tf.Example; the same input gives the same bytes."""
    import tensorflow as tf

    def text(*values: str | bytes) -> tf.train.Feature:
        raw = [v if isinstance(v, bytes) else v.encode("utf-8", "surrogateescape") for v in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=raw))

    def numbers(*values: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    feature = {
        IMAGE: text(image.encoded),
        PATH: text(record.path),
        SHA256: text(sha256),
        FORMAT: text(image.format),
        WIDTH: numbers(image.width),
        HEIGHT: numbers(image.height),
        WEIGHT: tf.train.Feature(float_list=tf.train.FloatList(value=[record.weight])),
        **{SLICE + column: text(value) for column, value in record.slices},
    }
    if mask is None:
        feature |= {LABEL: text(*record.labels), UNKNOWN: text(*record.unknown)}
    else:
        feature |= {MASK: text(mask.encoded), PIXELS: numbers(*mask.pixels), IGNORED: numbers(mask.ignored)}
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    serialised: bytes = example.SerializeToString(deterministic=True)
    return serialised
