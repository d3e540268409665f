"""How an image is stored, by its EXIF or XMP metadata: TensorFlow graph code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.data.untrusted.binary import shared, tag

if TYPE_CHECKING:
    import tensorflow as tf

_ORIENTATION = 0x0112
_XMP = r"tiff:Orientation(?:=\"|>)([0-9])"
_ANY = r"(?s)\C"  # any byte, of valid UTF-8 or not


def _orientation(exif: tf.Tensor, xmp: tf.Tensor) -> tf.Tensor:
    """EXIF's orientation, 2 to 8, or 1 for upright and for everything else; int32.

    As in Pillow, XMP is looked at only where EXIF says nothing.

    Args:
        exif: scalar string, with or without the name "Exif" in front; "" for none.
        xmp: scalar string, XML; "" for none.
    """
    import tensorflow as tf

    def of_exif() -> tf.Tensor:
        return tag(tf.strings.regex_replace(exif, r"^(?:Exif\x00\x00){1,2}", "", replace_global=False), _ORIENTATION)

    def of_xmp() -> tf.Tensor:
        digit = tf.strings.regex_replace(xmp, rf"^{_ANY}*?{_XMP}{_ANY}*$", r"\1")
        return tf.where(tf.strings.length(digit) == 1, first_digit(digit), 0)

    def first_digit(text: tf.Tensor) -> tf.Tensor:
        is_digit = tf.strings.regex_full_match(text, "[0-9]")
        return tf.strings.to_number(tf.where(is_digit, text, "0"), tf.int32)

    def none() -> tf.Tensor:
        return tf.constant(0)

    stated = tf.cond(tf.strings.length(exif) > 0, of_exif, none)
    stated = tf.cond((stated == 0) & (tf.strings.length(xmp) > 0), of_xmp, lambda: stated)
    return tf.where((stated >= 1) & (stated <= 8), stated, 1)


orientation = shared(_orientation, "string", "string")
