"""JPEG files (ITU-T T.81) as the served model reads them: TensorFlow graph code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.data.untrusted.binary import numbers, part, tag
from components.data.untrusted.orientation import orientation
from components.data.untrusted.plan import RATIOS, Plan
from components.data.untrusted.walk import ANY, walk

if TYPE_CHECKING:
    import tensorflow as tf

_SEGMENTS = 1000  # looked at before the pixels; a photo has about 10, and one of the largest metadata below 300
_START_OF_SCAN = 0xDA
_PICTURES = 0xB001  # tag of a multi-picture file
_EXIF, _XMP, _MPF = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"MPF\0"
_METADATA = [[0xFF, app, ANY, ANY, *name] for app, name in ((0xE1, _EXIF), (0xE1, _XMP), (0xE2, _MPF))]
_NUMBERS = [i for i in range(16) if i not in (4, 8, 12)]
_FRAMES = [[0xFF, 0xC0 + i] for i in _NUMBERS]
_GAIN_MAP = r"(?s)\C* hdrgm:Version=\"\C*"
_SPLIT = "a JPEG with several blocks of EXIF metadata; save it with one or none"
_UNREADABLE = "a JPEG whose pixels are not found behind its metadata; it is damaged or cut off"
_SCANS = "a JPEG of so many scans that it would take very long to decode; save it again"
_MOST_PIXELS = 20_000_000_000  # of all scans; more than at ingest, since a film behind the image may look like scans
_PROGRESSIVE = (2, 6, 10, 14)
_CMYK = "a JPEG with CMYK inks, whose colours differ between decoders; save it as RGB"


def plan(encoded: tf.Tensor, to: tuple[int, int]) -> Plan:
    """Plans to decode a JPEG for the size `to`."""
    import tensorflow as tf

    found = walk(encoded, 2, _after, [*_FRAMES, *_METADATA, [0xFF, _START_OF_SCAN]], _SEGMENTS)
    frame = numbers(encoded, tf.reduce_max(found.last[: len(_FRAMES)]), 10)
    exif, xmp, pictures, scan = tf.unstack(found.last)[len(_FRAMES) :]
    turned = orientation(_content(encoded, exif, len(_EXIF)), _content(encoded, xmp, len(_XMP)))
    several = _is_several(encoded, pictures, scan)
    *_, high, low, wide, narrow, inks = tf.unstack(frame)
    height, width = high * 256 + low, wide * 256 + narrow
    scale = tf.minimum(height // to[0], width // to[1])
    ratio = tf.searchsorted(list(RATIOS[1:]), [scale], side="right", out_type=tf.int32)[0]
    refused = tf.where(inks == 4, _CMYK, tf.where(found.count[len(_FRAMES)] > 1, _SPLIT, ""))
    refused = tf.where(found.ended, refused, _UNREADABLE)
    progressive = tf.reduce_any(tf.stack([found.last[i] > 0 for i, n in enumerate(_NUMBERS) if n in _PROGRESSIVE]))
    scans = tf.cond(progressive | (numbers(encoded, scan + 4, 1)[0] < inks), lambda: _scans(encoded, scan), _one)
    slow = scans * tf.cast(width, tf.int64) * tf.cast(height, tf.int64) > _MOST_PIXELS
    refused = tf.where((refused == "") & slow, _SCANS, refused)
    # Ingest stores what it has turned, and the first of several pictures, at full size.
    return Plan(encoded, tf.where((turned > 1) | several, 0, ratio), turned, width, height, refused)


def _after(at: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    first, marker, upper, lower = tf.unstack(head[:4])
    is_marker = (first == 0xFF) & (marker != 0xFF) & (marker >= 0xC0)  # others begin no segment
    alone = (marker >= 0xD0) & (marker <= 0xD9)
    length = tf.where(is_marker, tf.where(alone, 2, 2 + upper * 256 + lower), 1)
    return tf.where(is_marker & (marker == _START_OF_SCAN), -1, at + length)


def _content(encoded: tf.Tensor, at: tf.Tensor, name: int) -> tf.Tensor:
    """What a segment holds behind its name of that length; "" if there is none."""
    import tensorflow as tf

    def read() -> tf.Tensor:
        upper, lower = tf.unstack(numbers(encoded, at + 2, 2))
        return part(encoded, at + 4 + name, upper * 256 + lower - 2 - name)

    return tf.cond(at > 0, read, lambda: tf.constant(""))


def _scans(encoded: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """How often something that looks like the start of a scan stands in the file from a place on; int64."""
    import tensorflow as tf

    raw = tf.io.decode_raw(tf.strings.substr(encoded, at, tf.strings.length(encoded) - at), tf.uint8)
    starts = (raw[:-1] == 0xFF) & (raw[1:] == _START_OF_SCAN)
    return tf.math.count_nonzero(starts)


def _one() -> tf.Tensor:
    import tensorflow as tf

    return tf.constant(1, tf.int64)


def _is_several(encoded: tf.Tensor, at: tf.Tensor, scan: tf.Tensor) -> tf.Tensor:
    """Whether the file is read as several pictures; one with a gain map is not."""
    import tensorflow as tf

    def read() -> tf.Tensor:
        several = tag(_content(encoded, at, len(_MPF)), _PICTURES) > 1
        return several & ~tf.strings.regex_full_match(part(encoded, 0, scan), _GAIN_MAP)

    return tf.cond(at > 0, read, lambda: tf.constant(False))
