"""Every feature name, once, and the record's form on disk: a tf.Example of these features."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.images import Checked
    from components.layouts import Record
    from components.masks import Mask

IMAGE = "image/encoded"  # bytes: what images.decode takes
PATH = "image/path"  # bytes: relative to data.root, for people
SHA256 = "image/sha256"  # bytes: hexadecimal, of the file as it was found
FORMAT = "image/format"  # bytes: of IMAGE
WIDTH = "image/width"  # int64: pixels, upright
HEIGHT = "image/height"  # int64
WEIGHT = "image/weight"  # float: how much the example counts
LABEL = "label"  # bytes, any number: the names that apply
UNKNOWN = "label/unknown"  # bytes, any number: the names of which nobody said whether they apply
MASK = "mask/encoded"  # bytes: PNG, 8-bit grey, each pixel the index of its label; IGNORED_ID takes part in nothing
PIXELS = "mask/pixels"  # int64 [K]: pixels of each label in MASK
IGNORED = "mask/ignored"  # int64: pixels that take part in nothing
SLICE = "slice/"  # + column, bytes: what the manifest says of the image

IGNORED_ID = 255

# What Transform makes of them.
TARGET = "target"  # float32 [K]: 1 applies, 0 does not, -1 nobody said; for single labels one-hot, or all -1
LABEL_WEIGHTS = "label/weights"  # float32 [K], the same row for every example

# Names that a user may slice the evaluation by, and the feature behind each.
SLICES = {"label": LABEL, "format": FORMAT}


def to_example(record: Record, sha256: str, image: Checked, mask: Mask | None) -> bytes:
    """One image as a serialised tf.Example; the same input gives the same bytes."""
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
