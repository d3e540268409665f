"""Checking and decoding of images: `check` runs once at ingest, `decode` in training, evaluation and serving.

`decode` is the only function that turns bytes into pixels after ingest. `check` makes sure that `decode` will return
the pixels that the file means: an image that TensorFlow decodes to other pixels is re-encoded, all others are kept byte
for byte.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from components.data import perceptual, properties

if TYPE_CHECKING:
    import tensorflow as tf

# A multi-picture JPEG (MPO) is opened as JPEG and then recognised.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")

# `check` applies a limit of its own, given per call; Pillow's is global to the process.
Pillow.MAX_IMAGE_PIXELS = None

# Odd metadata does not concern the user as long as the pixels decode. (catch_warnings is not safe in threads.)
warnings.filterwarnings("ignore", module=r"PIL\..*")

_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
}
_ORIENTATION = 0x0112  # EXIF tag
_WHITE = (255, 255, 255, 255)
# Properties and perceptual hash are computed after the image is reduced by a whole number to at least this many pixels
# on its shorter side: networks do not see finer detail either, and a JPEG decodes faster at 1/2, 1/4 or 1/8. Chosen by
# hand; not measured.
_REDUCED = 80
_LONGEST = 4096  # pixels of the longer side at most, however short the other becomes; bounds the memory
# TensorFlow puts the name of the op around its message.
_TENSORFLOW_NOISE = re.compile(r"\{\{.*?\}\} *|\[Op:.*?\].*", re.DOTALL)


class BadImage(ValueError):
    """The file is not a usable image. The message is the reason, without the name of the file."""


@dataclass(frozen=True, slots=True)
class Checked:
    """An image that decodes.

    Attributes:
        encoded: bytes to store: those of the file, or a PNG (8-bit RGB) of the same pixels.
        format: of `encoded`: "jpeg", "png", "bmp" or "webp".
        width, height: pixels, upright.
        changed: why the bytes were re-encoded ("EXIF orientation 6", "palette", …), or "".
        properties: [P] in the order of `properties.NAMES`.
        perceptual: uint64 [4], see `perceptual.perceptual_hash`; None for an image that is too small.
    """

    encoded: bytes
    format: str
    width: int
    height: int
    changed: str = ""
    properties: tuple[float, ...] = field(default=(), compare=False)
    perceptual: NDArray[np.uint64] | None = field(default=None, compare=False)


def max_file_bytes(max_pixels: int) -> int:
    """Largest plausible file of `max_pixels`, in bytes: uncompressed 16-bit RGBA, and 1 MiB for everything else.

    >>> max_file_bytes(1_000_000)
    9048576
    """
    return 8 * max_pixels + (1 << 20)


def check(data: bytes, max_pixels: int) -> Checked:
    """Fully decodes an image once and returns the bytes to store and its properties.

    Args:
        data: the file's content; untrusted.
        max_pixels: larger images are refused from their header, before any pixel is decoded.

    Raises:
        BadImage: the file is empty, of an unknown format, too large, broken or truncated.
    """
    if not data:
        raise BadImage("empty file")
    if len(data) > max_file_bytes(max_pixels):
        raise BadImage(f"{len(data):,} bytes are more than an image of {max_pixels:,} pixels needs")
    try:
        return _check(data, max_pixels)
    except BadImage:
        raise
    except UnidentifiedImageError:
        kind = next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)
        if kind:
            raise BadImage(f"starts like a {kind} file, but its header is broken") from None
        raise BadImage(f"no image of a known format ({', '.join(FORMATS)})") from None
    except MemoryError:
        raise BadImage("decoding it needs more memory than there is") from None
    except Exception as error:
        raise BadImage(f"cannot be decoded: {error or type(error).__name__}") from error


def _check(data: bytes, max_pixels: int) -> Checked:
    with Pillow.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width < 1 or height < 1:
            raise BadImage(f"{width} x {height} pixels")
        if width * height > max_pixels:
            raise BadImage(f"{width:,} x {height:,} pixels are more than data.max_pixels ({max_pixels:,})")
        kind = image.format or ""
        reason = _why_reencode(image, data)
        # Pillow fills missing parts of a PNG with black and checks no checksum, so TensorFlow decodes every PNG.
        if not reason or kind == "PNG":
            try:
                pixels = _proven(data, kind, width, height)
            except BadImage:
                if kind == "PNG":
                    raise
                reason = f"{kind} of a rare kind"
            else:
                if not reason:
                    return _described(Checked(data, kind.lower(), width, height), Pillow.fromarray(pixels))
        rgb = _to_rgb(image, data)
        out = io.BytesIO()
        rgb.save(out, "PNG", compress_level=1)
        return _described(Checked(out.getvalue(), "png", rgb.width, rgb.height, reason), rgb)


def _described(checked: Checked, rgb: Pillow.Image) -> Checked:
    """Adds properties and perceptual hash; `rgb` is the image, whole or reduced to no less than `_REDUCED`."""
    factor = max(min(rgb.size) // _REDUCED, max(rgb.size) // _LONGEST)
    small = rgb.reduce(factor) if factor > 1 else rgb
    luma = small.convert("L")
    comparable = min(checked.width, checked.height) >= perceptual.SMALLEST
    return replace(
        checked,
        properties=properties.measure(small, luma, checked.width, checked.height),
        perceptual=perceptual.perceptual_hash(luma) if comparable else None,
    )


def _why_reencode(image: Pillow.Image, data: bytes) -> str:
    """The reason why `decode` would return other pixels than the file means, or ""."""
    kind = image.format
    if kind in ("TIFF", "MPO", "GIF"):
        return kind
    if getattr(image, "n_frames", 1) > 1:
        return f"animated {kind}"
    if image.mode == "P":
        return "palette"
    if image.mode == "CMYK":
        return "CMYK"
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return "alpha"
    if kind == "PNG" and data[24] != 8:  # bit depth in the header chunk
        return f"{data[24]} bit"
    if image.mode not in ("RGB", "L") or (kind in ("BMP", "WEBP") and image.mode != "RGB"):
        return f"mode {image.mode}"
    if kind == "BMP" and data[28:30] != b"\x18\0":
        return "BMP of other than 24 bit"
    if kind == "WEBP" and data[12:16] == b"VP8X" and data[20] & 2:  # of one frame
        return "animated WEBP"
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  unreadable EXIF states no orientation
        orientation = 1
    if orientation in range(2, 9):
        return f"EXIF orientation {orientation}"
    return ""


def _proven(data: bytes, kind: str, width: int, height: int) -> NDArray[np.uint8]:
    """Decodes the pixels [h, w, 3] with TensorFlow, which will decode them later, too.

    A JPEG is decoded at a fraction of its size: this reads every byte and saves most of the arithmetic.

    Raises:
        BadImage: TensorFlow refuses the file.
    """
    import tensorflow as tf

    try:
        if kind == "JPEG":
            ratio = next((r for r in (8, 4, 2) if min(width, height) >= r * _REDUCED), 1)
            pixels = tf.io.decode_jpeg(data, channels=3, ratio=ratio)
        elif kind == "PNG":
            pixels = tf.io.decode_png(data, channels=4)
        else:
            pixels = tf.io.decode_image(data, channels=3, expand_animations=False)
    except tf.errors.InvalidArgumentError as error:
        refused = _TENSORFLOW_NOISE.sub("", error.message).strip()
        raise BadImage(f"cannot be decoded: {refused}") from None
    array: NDArray[np.uint8] = pixels.numpy()
    return (array if array.ndim == 3 else array[0])[..., :3]  # WebP comes with a leading dimension of frames


def _to_rgb(image: Pillow.Image, data: bytes) -> Pillow.Image:
    """Converts the first frame to upright 8-bit RGB, with alpha blended over white."""
    image.load()
    if image.format == "PNG" and isinstance(image.info.get("transparency"), (int, tuple)):
        _scale_transparent(image, data[24])
    with contextlib.suppress(Exception):  # unreadable EXIF states no orientation
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        # The high byte, as PNG decoders strip 16 bit; Pillow's own conversion clips at 255 instead.
        wide = np.asarray(image).astype(np.uint16)
        grey = (wide >> 8).astype(np.uint8)
        if "transparency" in image.info:
            grey[wide == image.info["transparency"]] = 255
        image = Pillow.fromarray(grey)
    elif image.mode in ("I", "F"):
        image = _from_wide(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        front = image.convert("RGBA")
        image = Pillow.alpha_composite(Pillow.new("RGBA", front.size, _WHITE), front)
    return image.convert("RGB")


def _scale_transparent(image: Pillow.Image, depth: int) -> None:
    """Converts the transparent colour of a PNG to 8 bit; Pillow converts only the pixels."""
    colour = image.info["transparency"]
    if depth == 16 and image.mode == "RGB":
        image.info["transparency"] = tuple(level >> 8 for level in colour)
    elif depth < 8 and image.mode == "L":
        image.info["transparency"] = colour * 255 // (2**depth - 1)


def _from_wide(image: Pillow.Image) -> Pillow.Image:
    """Converts 32-bit grey levels that fit in 16 bit, as which Pillow opens some 16-bit files, to 8 bit."""
    pixels = np.asarray(image)
    if image.mode == "F" or pixels.min() < 0 or pixels.max() > 0xFFFF:
        raise BadImage(f"32-bit pixels (mode {image.mode}) have no stated range; convert it to 8 or 16 bit")
    return Pillow.fromarray((pixels >> 8).astype(np.uint8))


def decode(encoded: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Decodes and resizes one image; TensorFlow graph code.

    A JPEG much larger than `size` is decoded at the smallest of the DCT's scales (1/2, 1/4, 1/8) that is no smaller
    than `size`, which costs less and averages pixels instead of skipping them.

    Args:
        encoded: scalar string: JPEG, PNG, BMP, GIF (first frame) or WebP.
        size: height and width in pixels of the result.

    Returns:
        uint8 [height, width, 3], RGB, with alpha blended over white.

    Raises:
        InvalidArgumentError: at run time, if `encoded` is not such an image.
    """
    import tensorflow as tf

    def jpeg() -> tf.Tensor:
        shape = tf.io.extract_jpeg_shape(encoded)
        scale = tf.minimum(shape[0] // size[0], shape[1] // size[1])
        index = tf.searchsorted([2, 4, 8], [scale], side="right")[0]

        # Pillow's decoder uses this transform; TensorFlow's default is a faster, coarser one.
        def at(ratio: int):  # type: ignore[no-untyped-def]
            return lambda: tf.io.decode_jpeg(encoded, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")

        return tf.switch_case(index, [at(1), at(2), at(4), at(8)])

    def png() -> tf.Tensor:
        rgba = tf.io.decode_png(encoded, channels=4)

        def over_white() -> tf.Tensor:
            colour, alpha = tf.cast(rgba[..., :3], tf.int32), tf.cast(rgba[..., 3:], tf.int32)
            return tf.cast((colour * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)

        # Ingest stores opaque images, for which the conversion to int32 would only cost gigabytes of memory.
        return tf.cond(tf.reduce_all(rgba[..., 3] == 255), lambda: rgba[..., :3], over_white)

    def other() -> tf.Tensor:
        pixels = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        # An animated or WebP image comes with a leading dimension of frames.
        return tf.cond(tf.rank(pixels) > 3, lambda: pixels[0], lambda: pixels)

    is_png = tf.strings.substr(encoded, 0, 4) == b"\x89PNG"
    pixels = tf.cond(tf.io.is_jpeg(encoded), jpeg, lambda: tf.cond(is_png, png, other))
    pixels.set_shape([None, None, 3])
    return _resize(pixels, size)


def _resize(pixels: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """uint8 [h, w, 3] -> uint8 [*size, 3], bilinear; averages where it shrinks by 2 or more."""
    import tensorflow as tf

    shape = tf.shape(pixels)

    def resized(antialias: bool):  # type: ignore[no-untyped-def]
        def run() -> tf.Tensor:
            result = tf.image.resize(pixels, size, antialias=antialias)
            return tf.cast(tf.clip_by_value(tf.round(result), 0, 255), tf.uint8)

        return run

    same = tf.reduce_all(shape[:2] == size)
    shrinks = tf.reduce_any(shape[:2] >= 2 * tf.constant(size))
    result = tf.cond(same, lambda: pixels, lambda: tf.cond(shrinks, resized(True), resized(False)))
    result.set_shape([*size, 3])
    return result
