"""GIF files (GIF89a) as the served model reads them: the first frame. TensorFlow graph code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.data.untrusted.binary import little, numbers, part
from components.data.untrusted.plan import GIF, Plan

if TYPE_CHECKING:
    import tensorflow as tf

_BLOCKS = 64  # extensions before the first frame
_PARTS = 1 << 16  # of at most 255 bytes each, of a frame or an extension
_EXTENSION, _IMAGE, _CONTROL = 0x21, 0x2C, 0xF9
_NO_FRAME = "a GIF without a frame"
_PARTIAL = "a GIF with transparency, or whose first frame does not fill it; save it as PNG"


def plan(encoded: tf.Tensor) -> Plan:
    """Plans to decode the first frame of a GIF."""
    import tensorflow as tf

    screen = numbers(encoded, 6, 4)
    at, transparent, found = _first_frame(encoded)
    place = numbers(encoded, at + 1, 9)
    fills = tf.reduce_all(place[:4] == 0) & tf.reduce_all(place[4:8] == screen)
    # TensorFlow would decode every frame, which for a small file may be gigabytes.
    alone = tf.strings.join([part(encoded, 0, _behind_parts(encoded, at + 11 + _table(place[8]))), b";"])
    refused = tf.where(found, tf.where(fills & ~transparent, "", _PARTIAL), _NO_FRAME)
    return Plan(alone, tf.constant(GIF), tf.constant(1), little(screen[:2]), little(screen[2:]), refused)


def _table(flags: tf.Tensor) -> tf.Tensor:
    """Bytes of the colour table that flags announce."""
    import tensorflow as tf

    return tf.where(flags >= 128, 3 * tf.bitwise.left_shift(2, flags % 8), 0)


def _first_frame(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Where the first frame is described, whether a colour of it is transparent, and whether there is one."""
    import tensorflow as tf

    def is_extension(at: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        return numbers(encoded, at, 1)[0] == _EXTENSION

    def step(at: tf.Tensor, transparent: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        head = numbers(encoded, at, 4)
        states = (head[1] == _CONTROL) & (head[3] % 2 == 1)
        return _behind_parts(encoded, at + 2), transparent | states

    start = (13 + _table(numbers(encoded, 10, 1)[0]), tf.constant(False))
    at, transparent = tf.while_loop(is_extension, step, start, maximum_iterations=_BLOCKS, parallel_iterations=1)
    return at, transparent, numbers(encoded, at, 1)[0] == _IMAGE


def _behind_parts(encoded: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """The place behind a chain of parts, each with its length in front, that ends with one of length 0."""
    import tensorflow as tf

    def goes_on(at: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        return length > 0

    def step(at: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        after = at + length + 1
        return after, numbers(encoded, after, 1)[0]

    start = (at, numbers(encoded, at, 1)[0])
    return tf.while_loop(goes_on, step, start, maximum_iterations=_PARTS, parallel_iterations=1)[0] + 1
