"""Files as clients send them, which the serving check sends to the exported model beside images of the test split."""

from __future__ import annotations

import dataclasses
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.data import images
from components.data.arrays import stored
from components.data.decoding import MAX_PIXELS

_LARGEST = 64  # pixels of the longer side: a few kilobytes each
_ORIENTATION = 0x0112  # EXIF tag
_GARBAGE = 1e6  # stands where pixels are invalid
_HUGE = 60_000  # pixels of each side
# Ends in the middle of what it announces; the first four are no images at all.
_JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
BROKEN = (b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(64), _JPEG, b"GIF89a\xff\xff\xff\xff\x00\x00\x00")


Inputs = dict[str, list[bytes] | NDArray[Any]]  # name of an input of a signature -> its rows
Frames = int | Literal["photos"] | None  # most moments of the arrays that a model takes; None: of single images
PHOTOS: Literal["photos"] = "photos"


@dataclass(frozen=True)
class Asked:
    """What a model is asked for.

    Attributes:
        files: what clients may send.
        read: those of them that can be read.
        batches: inputs of `serving_default`: "mixed", an image, the files, and the image again; "read", those that can
            be read, as they are read; "serving_default", the images.
    """

    files: list[str]
    read: list[str]
    batches: dict[str, Inputs]


def of_photos(images_: list[bytes], bits: int | None) -> Asked:
    """Files as clients send them, and the images of the test split.

    Args:
        images_: as ingest stored them.
        bits: see `images.check`.
    """
    files = of(images_[0])
    there = read(files, bits)
    batches = {"mixed": [images_[0], *files.values(), images_[0]], "read": list(there.values())}
    named: dict[str, Inputs] = {name: {"image_bytes": rows} for name, rows in batches.items()}
    return Asked(list(files), list(there), named | {"serving_default": {"image_bytes": images_}})


def of_arrays(encoded: list[bytes], frames: int | None) -> Asked:
    """Arrays as clients may send them, of which not a pixel is valid, or with anything in the invalid ones.

    Args:
        encoded: as ingest stored them.
        frames: most moments of a sequence; None: single images.
    """
    arrays = [stored.restored(one) for one in encoded]
    first = arrays[0]
    floats = dataclasses.replace(first, pixels=first.pixels.astype(np.float32))
    nothing = np.zeros_like(first.valid)
    noise = np.where(first.valid[..., np.newaxis], floats.pixels, np.float32(_GARBAGE))
    files = {
        "no pixel valid": dataclasses.replace(floats, valid=nothing),
        "nothing but NaN": dataclasses.replace(floats, pixels=np.full_like(floats.pixels, np.nan)),
        "other values where pixels are invalid": dataclasses.replace(floats, pixels=noise),
    }
    read_ = ["other values where pixels are invalid"]
    batches = {"mixed": [floats, *files.values(), floats], "read": [floats], "serving_default": arrays}
    return Asked(list(files), read_, {name: dict(stored.stacked(rows, frames)) for name, rows in batches.items()})


def of(encoded: bytes) -> dict[str, bytes]:
    """Saves an image in every format that clients are known to send, and breaks some.

    Args:
        encoded: an image that ingest stored.

    Returns:
        what the file is -> its bytes.
    """
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        image.thumbnail((_LARGEST, _LARGEST))
        rgb = image.convert("RGB")
    files = dict(_saved(rgb))
    png, jpeg = files["PNG with alpha"], files["JPEG turned by EXIF"]
    size = struct.pack(">II", _HUGE, _HUGE)
    header = png[12:16] + size + png[24:29]
    return files | {
        "PNG that claims 60,000 x 60,000 pixels": png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:],
        "PNG cut off": png[: len(png) * 2 // 3],
        "JPEG cut off": jpeg[: len(jpeg) * 2 // 3],
        **{f"broken file {number}": data for number, data in enumerate(BROKEN, 1)},
    }


def read(files: dict[str, bytes], bits: int | None) -> dict[str, bytes]:
    """What `imagegate predict` would send for these files, without those that it cannot read."""
    found = {}
    for name, data in files.items():
        try:
            found[name] = images.check(data, MAX_PIXELS, bits).encoded
        except images.BadImage:
            continue
    return found


def _saved(rgb: object) -> Iterator[tuple[str, bytes]]:
    from PIL import Image

    assert isinstance(rgb, Image.Image)
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    clear = rgb.convert("RGBA")
    clear.putalpha(rgb.convert("L"))
    palette, grey = rgb.quantize(16), rgb.convert("L")
    yield "PNG of 1 bit", _bytes(rgb.convert("1"), "PNG")
    yield "PNG with a palette of 4 bits", _bytes(palette, "PNG", bits=4)
    yield "PNG with a transparent colour", _bytes(palette, "PNG", bits=4, transparency=3)
    yield "PNG of 16 bits", _bytes(grey.convert("I").point(lambda level: level * 256).convert("I;16"), "PNG")
    yield "PNG with alpha", _bytes(clear, "PNG")
    yield "PNG turned by EXIF", _bytes(rgb, "PNG", exif=exif)
    yield "grey JPEG", _bytes(grey, "JPEG")
    yield "JPEG turned by EXIF", _bytes(rgb, "JPEG", exif=exif)
    yield "progressive JPEG", _bytes(rgb, "JPEG", progressive=True)
    yield "CMYK JPEG", _bytes(rgb.convert("CMYK"), "JPEG")
    yield "GIF", _bytes(palette, "GIF")
    yield "BMP of 24 bits", _bytes(rgb, "BMP")
    yield "BMP with a palette", _bytes(palette, "BMP")
    yield "TIFF", _bytes(rgb, "TIFF")
    yield "WebP", _bytes(rgb, "WEBP")
    yield "WebP with alpha", _bytes(clear, "WEBP", lossless=True)
    yield "animated WebP", _bytes(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(180)])


def _bytes(image: object, kind: str, **told: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **told)  # type: ignore[attr-defined]
    return out.getvalue()
