"""WebP files (RFC 9649) as the served model reads them: TensorFlow graph code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.data.untrusted.binary import begins, little, numbers, part
from components.data.untrusted.orientation import orientation
from components.data.untrusted.plan import IMAGE, IMAGE_ALPHA, Plan
from components.data.untrusted.walk import walk

if TYPE_CHECKING:
    import tensorflow as tf

_FIRST, _CHUNKS = 12, 256  # where chunks start, and how many are looked at in a file with metadata
_XMP, _EXIF, _ALPHA, _ANIMATED = 4, 8, 16, 2  # flags of an extended file
_LOSSLESS_ALPHA = 0x10  # of the last byte of a lossless file's sizes
_MOVES = "an animated WebP; send its first frame as PNG or JPEG"
_UNKNOWN = "a WebP that begins with neither pixels nor a header"


def plan(encoded: tf.Tensor) -> Plan:
    """Plans to decode a WebP that is not animated."""
    import tensorflow as tf

    head = numbers(encoded, 20, 10)
    extended, lossless, lossy = (begins(encoded, 12, kind) for kind in (b"VP8X", b"VP8L", b"VP8 "))
    packed = little(head[1:5])  # 14 bits of the width, 14 of the height, alpha, version
    width = tf.where(extended, little(head[4:7]) + 1, tf.where(lossless, packed % 2**14 + 1, little(head[6:8]) % 2**14))
    height = tf.where(
        extended, little(head[7:10]) + 1, tf.where(lossless, packed // 2**14 % 2**14 + 1, little(head[8:10]) % 2**14)
    )

    def has(flag: int) -> tf.Tensor:
        return extended & (tf.bitwise.bitwise_and(head[0], flag) > 0)

    alpha = has(_ALPHA) | (lossless & (tf.bitwise.bitwise_and(head[4], _LOSSLESS_ALPHA) > 0))
    turned = tf.cond(has(_EXIF | _XMP), lambda: _orientation(encoded), lambda: tf.constant(1))
    refused = tf.where(has(_ANIMATED), _MOVES, tf.where(extended | lossless | lossy, "", _UNKNOWN))
    return Plan(encoded, tf.where(alpha, IMAGE_ALPHA, IMAGE), turned, width, height, refused)


def _orientation(encoded: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    def after(at: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
        length = tf.minimum(little(head[4:8]), 2**30)
        return at + 8 + length + length % 2  # chunks are padded to an even length

    found = walk(encoded, _FIRST, after, [b"EXIF", b"XMP "], _CHUNKS)

    def content(at: tf.Tensor) -> tf.Tensor:
        return tf.cond(
            at > 0, lambda: part(encoded, at + 8, little(numbers(encoded, at + 4, 4))), lambda: tf.constant("")
        )

    return orientation(content(found.last[0]), content(found.last[1]))
