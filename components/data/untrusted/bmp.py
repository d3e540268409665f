"""BMP files of 24 bits, the one kind of which TensorFlow gives the colours: TensorFlow graph code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.data.untrusted.binary import little, numbers
from components.data.untrusted.plan import IMAGE, Plan

if TYPE_CHECKING:
    import tensorflow as tf

_HEADERS = (40, 52, 56, 64, 108, 124)  # bytes of the versions of the header that begin alike


def plan(encoded: tf.Tensor) -> Plan:
    """Plans to decode a BMP."""
    import tensorflow as tf

    head = numbers(encoded, 14, 20)
    known = tf.reduce_any(little(head[:4]) == tf.constant(_HEADERS))
    plain = known & (little(head[14:16]) == 24) & (little(head[16:20]) == 0)
    width, height = little(head[4:8]), little(head[8:12])
    # The height of a file whose first row is the upper one is negative.
    height = tf.where(head[11] >= 128, 1 + little(255 - head[8:12]), height)
    refused = tf.where(plain, "", "a BMP of another kind than 24 bits without compression; save it as PNG")
    return Plan(encoded, tf.constant(IMAGE), tf.constant(1), width, height, refused)
