"""Decodes a batch of files that nobody has checked: a row of pixels each, or the reason why not."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from components.data.decoding import MAX_PIXELS, max_file_bytes
from components.data.untrusted import bmp, gif, jpeg, plan, png, webp
from components.data.untrusted.binary import begins, build_shared
from components.data.untrusted.plan import Plan

if TYPE_CHECKING:
    import tensorflow as tf

DAMAGED = "damaged or cut off: it begins like an image, but cannot be decoded"
_EMPTY = "empty: no bytes came"
_READ = "the model reads JPEG, PNG, WebP, BMP of 24 bits and GIF"
_UNKNOWN = f"no image of a known format; {_READ}"
# Where a format's name stands in its first 12 bytes, and what people call it.
_OTHERS = (
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (4, b"ftyp", "HEIC, AVIF or a video"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
)


def decode(encoded: tf.Tensor, size: tuple[int, int], bits: int | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes files to the pixels that `images.check` and `decoding.decode` give; TensorFlow graph code.

    Args:
        encoded: string [batch], anything.
        size: height and width in pixels of the result.
        bits: see `images.check`.

    Returns:
        uint8 [batch, height, width, 3], RGB, upright, with alpha blended over white; zeros for a refused row.
        string [batch]: a sentence that says why a row is refused, or "".
    """
    answer: tuple[tf.Tensor, tf.Tensor] = _graph(tuple(size), bits)(encoded)
    return answer


@functools.lru_cache(maxsize=8)
def _graph(size: tuple[int, int], bits: int | None) -> Any:
    """`decode` as a function of the encoded rows alone, whose graph of some thousand nodes takes seconds to build.

    All signatures of a model, and all models of a process, call the one that is built first. It is built outside of any
    graph, so that it keeps none of theirs in memory.
    """
    import tensorflow as tf

    function = tf.function(
        lambda encoded: _decode(encoded, size, bits),
        input_signature=[tf.TensorSpec([None], tf.string, name="encoded")],
        autograph=False,
    )
    with tf.init_scope():
        build_shared()
        return function.get_concrete_function()


def _decode(encoded: tf.Tensor, size: tuple[int, int], bits: int | None) -> tuple[tf.Tensor, tf.Tensor]:
    """`decode` without the cache.

    An op that fails fails its whole call. TensorFlow leaves out what fails only in a data set, so the rows are one. Its
    function is built anew in each call, so it only decodes: what can be told from the headers is told before.
    """
    import tensorflow as tf

    count = tf.shape(encoded, out_type=tf.int64)[0]
    specs = tuple(tf.TensorSpec([], t) for t in (tf.string, tf.int32, tf.int32, tf.string))
    plans = tf.map_fn(lambda data: _plan(data, size), encoded, fn_output_signature=specs, parallel_iterations=32)

    def row(number: tf.Tensor, data: tf.Tensor, decoder: tf.Tensor, turned: tf.Tensor, refused: tf.Tensor):  # type: ignore[no-untyped-def]
        made = Plan(data, decoder, turned, tf.constant(0), tf.constant(0), refused)
        nothing = tf.zeros([*size, 3], tf.uint8)
        pixels, damage = tf.cond(refused == "", lambda: plan.pixels(made, size, bits), lambda: (nothing, refused))
        return number, pixels, damage

    # Row 0 stands for each row that fails.
    first = (b"", 0, 1, DAMAGED)
    columns = (tf.concat([[value], column], axis=0) for value, column in zip(first, plans, strict=True))
    rows = tf.data.Dataset.from_tensor_slices((tf.range(count + 1), *columns))
    rows = rows.map(tf.autograph.experimental.do_not_convert(row)).ignore_errors().batch(count + 1)
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    number, pixels, refused = rows.with_options(options).get_single_element()
    place = tf.scatter_nd(number[:, tf.newaxis], tf.range(tf.size(number)), [count + 1])[1:]
    refused = tf.gather(refused, place)
    fine = tf.reshape(refused == "", [-1, 1, 1, 1])
    return tf.ensure_shape(tf.where(fine, tf.gather(pixels, place), 0), [None, *size, 3]), refused


def _plan(data: tf.Tensor, size: tuple[int, int]) -> tuple[tf.Tensor, ...]:
    """The bytes to decode, the decoder, the orientation, and the reason why the file is refused, or ""."""
    import tensorflow as tf

    formats = (
        (begins(data, 0, b"\xff\xd8\xff"), lambda: jpeg.plan(data, size)),
        (begins(data, 0, png.SIGNATURE), lambda: png.plan(data)),
        (begins(data, 0, b"RIFF") & begins(data, 8, b"WEBP"), lambda: webp.plan(data)),
        (begins(data, 0, b"BM"), lambda: bmp.plan(data)),
        (begins(data, 0, b"GIF87a") | begins(data, 0, b"GIF89a"), lambda: gif.plan(data)),
    )
    found = tf.stack([is_format for is_format, _ in formats] + [tf.constant(True)])
    kind = tf.argmax(found, output_type=tf.int32)
    made = Plan(*tf.switch_case(kind, [*(planned for _, planned in formats), lambda: _foreign(data)]))
    return made.data, made.decoder, made.turned, _first(made.refused, _too_large(made))


def _foreign(data: tf.Tensor) -> Plan:
    import tensorflow as tf

    reason = tf.constant(_UNKNOWN)
    for at, text, name in _OTHERS:
        reason = tf.where(begins(data, at, text), f"{name}, which the model does not read; {_READ}", reason)
    one = tf.constant(1)
    return Plan(data, one, one, one, one, tf.where(tf.strings.length(data) == 0, _EMPTY, reason))


def _too_large(made: Plan) -> tf.Tensor:
    """The reason why a file of this size is refused, or ""."""
    import tensorflow as tf

    pixels = tf.cast(made.width, tf.int64) * tf.cast(made.height, tf.int64)
    stated = tf.strings.join([tf.strings.as_string(made.width), " x ", tf.strings.as_string(made.height), " pixels"])
    large = tf.strings.join([stated, f", more than the {MAX_PIXELS:,} that the model reads"])
    long = tf.strings.length(made.data) > max_file_bytes(MAX_PIXELS)
    return tf.where(
        (made.width < 1) | (made.height < 1),
        stated,
        tf.where(
            pixels > MAX_PIXELS,
            large,
            tf.where(long, f"more bytes than an image of {MAX_PIXELS:,} pixels needs", ""),
        ),
    )


def _first(reason: tf.Tensor, otherwise: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return tf.where(reason == "", otherwise, reason)
