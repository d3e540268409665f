"""Walks through the segments or chunks of a file and notes where those of a kind stand: TensorFlow graph code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import tensorflow as tf

ANY = -1  # in a pattern: a byte that may be anything
_HEAD = 40  # bytes at the start of a segment that patterns are held against


class Found(NamedTuple):
    """Of n patterns.

    Attributes:
        last: int32 [n], where the last segment starts that matches each pattern; 0 for none.
        count: int32 [n], how many match.
        ended: whether the walk came to its end.
    """

    last: tf.Tensor
    count: tf.Tensor
    ended: tf.Tensor


def walk(
    data: tf.Tensor,
    start: int,
    after: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    patterns: Sequence[Sequence[int]],
    limit: int,
) -> Found:
    """Walks from segment to segment.

    Args:
        data: scalar string.
        start: where the first segment starts, above 0.
        after: from the start of a segment and its first bytes, int32 [40], zeros behind the end of the file, to the
            start of the next one; below 0 at the end of the walk.
        patterns: n sequences of at most 40 bytes, or `ANY`.
        limit: segments at most.
    """
    import tensorflow as tf

    raw = tf.io.decode_raw(tf.strings.join([data, bytes(_HEAD)]), tf.uint8)
    total = tf.strings.length(data)
    wanted = tf.constant([[*pattern, *[ANY] * (_HEAD - len(pattern))] for pattern in patterns])
    free = wanted == ANY

    def goes_on(at: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return (at >= 0) & (at < total)

    def step(at: tf.Tensor, last: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, ...]:
        head = tf.ensure_shape(tf.cast(raw[at : at + _HEAD], tf.int32), [_HEAD])
        matches = tf.reduce_all((head == wanted) | free, axis=1)
        return after(at, head), tf.where(matches, at, last), count + tf.cast(matches, tf.int32)

    none = tf.zeros([len(patterns)], tf.int32)
    state = (tf.constant(start), none, none)
    at, last, count = tf.while_loop(goes_on, step, state, maximum_iterations=limit, parallel_iterations=1)
    return Found(last, count, at < 0)
