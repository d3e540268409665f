"""Numbers and tags in the bytes of a file, read in a TensorFlow graph. What lies behind the end counts as zero bytes.

Nothing here can fail: an op that fails in a graph fails the whole batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

_shared: list[Callable[[], Any]] = []  # what builds the functions that `shared` gave, in the order of their definition
_ENTRY = 12  # bytes of an entry of a TIFF directory
_WIDTHS = {1: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4, 13: 4}  # type of whole numbers in TIFF -> bytes


def part(data: tf.Tensor, at: tf.Tensor | int, count: tf.Tensor | int) -> tf.Tensor:
    """Up to `count` bytes from `at` on, fewer at the end of `data`: scalar string. No int is below 0."""
    import tensorflow as tf

    # Numbers that are known here need fewer nodes, and there are many of them.
    if isinstance(at, int):
        start = tf.minimum(at, tf.strings.length(data)) if at else 0
    else:
        start = tf.clip_by_value(at, 0, tf.strings.length(data))
    return tf.strings.substr(data, start, count if isinstance(count, int) else tf.maximum(count, 0))


def begins(data: tf.Tensor, at: tf.Tensor | int, text: bytes) -> tf.Tensor:
    """Whether `text` stands at `at`."""
    import tensorflow as tf

    return tf.equal(part(data, at, len(text)), text)


def numbers(data: tf.Tensor, at: tf.Tensor | int, count: int) -> tf.Tensor:
    """The values of `count` bytes from `at` on: int32 [count]."""
    import tensorflow as tf

    taken = tf.strings.substr(tf.strings.join([part(data, at, count), bytes(count)]), 0, count)
    return tf.ensure_shape(tf.cast(tf.io.decode_raw(taken, tf.uint8), tf.int32), [count])


def little(values: tf.Tensor) -> tf.Tensor:
    """The number that bytes stand for, lowest first; int32."""
    return _sum(values, [256**i for i in range(int(values.shape[0]))])


def big(values: tf.Tensor) -> tf.Tensor:
    """The number that bytes stand for, highest first; int32."""
    return _sum(values, [256**i for i in reversed(range(int(values.shape[0])))])


def _sum(values: tf.Tensor, places: list[int]) -> tf.Tensor:
    import tensorflow as tf

    # A fourth byte of 128 or more would be a number above 2^31: no size, length or offset of a file that is accepted.
    return tf.cast(tf.minimum(tf.reduce_sum(tf.cast(values, tf.int64) * places), 2**31 - 1), tf.int32)


def shared(function: Callable[..., tf.Tensor], *types: str) -> Callable[..., tf.Tensor]:
    """A function of scalar tensors of these types, whose graph is built once and called wherever it is used.

    The readers of several formats look for the same. A copy of its nodes in each of them would take time to build, to
    load, and to optimise before the first answer.
    """

    @functools.cache
    def built() -> Any:
        import tensorflow as tf

        signature = [tf.TensorSpec([], tf.as_dtype(name)) for name in types]
        with tf.init_scope():  # or it would keep the graph that uses it first in memory
            return tf.function(function, input_signature=signature, autograph=False).get_concrete_function()

    _shared.append(built)

    @functools.wraps(function)
    def call(*arguments: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        return built()(*(tf.convert_to_tensor(a, tf.as_dtype(t)) for a, t in zip(arguments, types, strict=True)))

    return call


def build_shared() -> None:
    """Builds these functions before any that calls them, in the same order in every process.

    TensorFlow numbers functions as they are built, and the identity of a model depends on the order of the numbers.
    """
    for built in _shared:
        built()


def _tag(tiff: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """The whole number that the first directory of a TIFF structure (EXIF is one) states for a tag, or 0; int32.

    Args:
        tiff: scalar string from the header "II*" or "MM*" on; anything else states nothing.
        number: of the tag; int32.
    """
    import tensorflow as tf

    is_little = begins(tiff, 0, b"II*\0")
    length = tf.strings.length(tiff)

    def number_at(values: tf.Tensor) -> tf.Tensor:
        places = tf.constant([256**i for i in range(int(values.shape[-1]))], tf.int64)
        wide = tf.cast(values, tf.int64)
        return tf.reduce_sum(wide * tf.where(is_little, places, places[::-1]), axis=-1)

    def read() -> tf.Tensor:
        start = number_at(numbers(tiff, 4, 4))
        return tf.cond(start + 2 <= tf.cast(length, tf.int64), lambda: search(tf.cast(start, tf.int32)), nothing)

    def search(start: tf.Tensor) -> tf.Tensor:
        stated = tf.cast(number_at(numbers(tiff, start, 2)), tf.int32)
        count = tf.minimum(stated, (length - start - 2) // _ENTRY)
        raw = tf.io.decode_raw(tf.strings.substr(tiff, start + 2, count * _ENTRY), tf.uint8)
        entries = tf.reshape(tf.cast(raw, tf.int32), [-1, _ENTRY])
        kind, values = number_at(entries[:, 2:4]), number_at(entries[:, 4:8])
        found = tf.zeros_like(kind)
        for width in sorted(set(_WIDTHS.values())):
            kinds = [k for k, w in _WIDTHS.items() if w == width]
            is_kind = tf.reduce_any(kind[:, tf.newaxis] == tf.constant(kinds, tf.int64), axis=1)
            found = tf.where(is_kind, number_at(entries[:, 8 : 8 + width]), found)
        wanted = (number_at(entries[:, :2]) == tf.cast(number, tf.int64)) & (values == 1)
        # Of a tag that is there twice the last is read, as Pillow does.
        last = tf.boolean_mask(found, wanted)[-1:]
        return tf.cast(tf.minimum(tf.reduce_sum(last), 2**31 - 1), tf.int32)

    def nothing() -> tf.Tensor:
        return tf.constant(0)

    known = is_little | begins(tiff, 0, b"MM\0*")
    return tf.cond(known & (length >= 8), read, nothing)


tag = shared(_tag, "string", "int32")
