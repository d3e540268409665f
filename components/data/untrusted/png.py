"""PNG files (https://www.w3.org/TR/png-3) as the served model reads them: TensorFlow graph code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.data.untrusted.binary import begins, big, numbers, part
from components.data.untrusted.orientation import orientation
from components.data.untrusted.plan import PNG, PNG_DEEP, PNG_OPAQUE, Plan
from components.data.untrusted.walk import ANY, walk

if TYPE_CHECKING:
    import tensorflow as tf

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNKS = 1 << 16  # looked at; libpng writes one for 8 KB of pixels
_XMP, _PROFILE = b"XML:com.adobe.xmp\0", b"Raw profile type exif\0"
_PATTERNS = [
    [*[ANY] * 4, *name]
    for name in (b"IDAT", b"tRNS", b"eXIf", b"iTXt" + _XMP, b"tEXt" + _PROFILE, b"zTXt" + _PROFILE, b"iTXt" + _PROFILE)
]
_HIDDEN = "a PNG whose metadata cannot be read here, so that it may be stored turned; save it without metadata"
_HEADLESS = "a PNG that does not begin with its header"
_ENDLESS = "a PNG without its end; it is damaged or cut off"


def plan(encoded: tf.Tensor) -> Plan:
    """Plans to decode a PNG."""
    import tensorflow as tf

    header = numbers(encoded, 16, 9)
    depth = header[8]
    found = walk(encoded, len(SIGNATURE), _after, _PATTERNS, _CHUNKS)
    pixels, transparent, exif, xmp, *profiles = tf.unstack(found.last)
    text = _content(encoded, xmp)
    turned = orientation(_content(encoded, exif), text)
    hidden = begins(text, len(_XMP), b"\1") | ((exif == 0) & tf.reduce_any(tf.stack(profiles) > 0))
    # Below 8 bits TensorFlow fills a missing alpha with the largest value of that depth, not with 255.
    opaque = (depth < 8) & ((transparent == 0) | (transparent > pixels))
    decoder = tf.where(depth > 8, PNG_DEEP, tf.where(opaque, PNG_OPAQUE, PNG))
    refused = tf.where(begins(encoded, 12, b"IHDR"), tf.where(hidden, _HIDDEN, ""), _HEADLESS)
    refused = tf.where(found.ended, refused, _ENDLESS)
    return Plan(encoded, decoder, turned, big(header[:4]), big(header[4:8]), refused)


def _after(at: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    is_last = tf.reduce_all(head[4:8] == list(b"IEND"))
    # Longer than any file, but without overflow.
    return tf.where(is_last | (head[0] >= 64), tf.where(is_last, -1, 2**31 - 1), at + 12 + big(head[:4]))


def _content(encoded: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """What a chunk holds; "" if there is none."""
    import tensorflow as tf

    return tf.cond(at > 0, lambda: part(encoded, at + 8, big(numbers(encoded, at, 4))), lambda: tf.constant(""))
