"""Opens images of every format that is read here, without decoding pixels."""

from __future__ import annotations

import functools
import io

from PIL import Image as Pillow
from PIL import UnidentifiedImageError, features

from components.data.formats import foreign, netpbm, tiff
from components.data.formats.bad_image import BadImage

# A multi-picture JPEG (MPO) is opened as JPEG and then recognised.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "JPEG2000")
NAMES = {
    "HEIF": "HEIC",
    "JPEG2000": "JPEG 2000",
    "PPM": "PPM, PGM or PBM",
}  # Pillow's name of a format -> that of people


def open_image(data: bytes) -> Pillow.Image:
    """Reads the header of an image.

    Raises:
        BadImage: it is not an image of a format that is read here; says what it is instead.
    """
    try:
        return Pillow.open(io.BytesIO(data), formats=_formats(data))
    except UnidentifiedImageError:
        pass
    except ValueError:
        if not netpbm.MAGIC.match(data):
            raise
    raise BadImage(tiff.describe(data) or foreign.reason(data))


def _formats(data: bytes) -> tuple[str, ...]:
    brand = foreign.brand(data)
    if brand in foreign.HEIF_BRANDS:
        if not _registers_heif():
            raise BadImage("HEIC, which needs the library pillow-heif; install it, or save the image as JPEG or PNG")
        return ("HEIF",)
    if brand in foreign.AVIF_BRANDS:
        if not _single_threaded_avif():
            raise BadImage("AVIF, which this build of Pillow cannot read; save the image as JPEG or PNG")
        return ("AVIF",)
    if netpbm.MAGIC.match(data):  # Pillow knows more of the kind, which no one else does
        if not netpbm.has_header(data):
            raise BadImage(foreign.reason(data))
        return ("PPM",)
    if data.startswith((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")) and not features.check("jpg_2000"):
        raise BadImage("JPEG 2000, which this build of Pillow cannot read; save the image as JPEG or PNG")
    return FORMATS


# Ingest decodes many images at once, so threads within one image would only compete.
@functools.cache
def _registers_heif() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    pillow_heif.options.DECODE_THREADS = 1
    return True


@functools.cache
def _single_threaded_avif() -> bool:
    if not features.check("avif"):
        return False
    from PIL import AvifImagePlugin

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    return True
