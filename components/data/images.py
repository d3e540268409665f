"""Checking and decoding of images: `check` runs once at ingest, `decode` in training and evaluation.

`decode` is the only function that turns stored bytes into pixels; `untrusted` gives the same in the served model.
`check` makes sure that `decode` will return the pixels that the file means: an image that TensorFlow decodes to other
pixels is re-encoded, all others are kept byte for byte.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from components.data import looks, perceptual, properties
from components.data.decoding import decode, max_file_bytes
from components.data.formats import deep, opening, proof, scans, tiff
from components.data.formats.bad_image import BadImage
from components.data.formats.proof import Undecoded

if TYPE_CHECKING:
    from components.data.arrays.moments import Moments

__all__ = ["FORMATS", "BadImage", "Checked", "check", "decode", "glance", "max_file_bytes", "opened", "steps"]

# Of stored images; `check` reads more.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP")

# `check` applies a limit of its own, given per call; Pillow's is global to the process.
Pillow.MAX_IMAGE_PIXELS = None

# Odd metadata does not concern the user as long as the pixels decode. (catch_warnings is not safe in threads.)
warnings.filterwarnings("ignore", module=r"PIL\..*")

LONGEST_SIDE = 1_000_000  # pixels, of a PNG that TensorFlow reads

_ORIENTATION = 0x0112  # EXIF tag
_SIDEWAYS = range(5, 9)  # orientations that swap width and height
_TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
_WHITE = (255, 255, 255, 255)
_LONGEST = 4096  # pixels of the longer side at most, however short the other becomes; bounds the memory


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
        remarks: what of the file is not in the stored pixels, or was guessed; to be counted and told.
        highest: the highest value of an image of 16 bits, if nothing states how many of them are in use; else 0.
        sideways: whether the file stores the image turned by 90 degrees.
        moments: sums over the valid pixels of each band; None for a photo.
        unseen: bool [H, W], the pixels that are valid at no moment; None if there are none, as in a photo.
        look: bytes of a `looks.LOOK`.
    """

    encoded: bytes
    format: str
    width: int
    height: int
    changed: str = ""
    properties: tuple[float, ...] = field(default=(), compare=False)
    perceptual: NDArray[np.uint64] | None = field(default=None, compare=False)
    remarks: tuple[str, ...] = ()
    highest: int = 0
    sideways: bool = False
    moments: Moments | None = field(default=None, compare=False)
    unseen: NDArray[np.bool_] | None = field(default=None, compare=False)
    look: bytes = field(default=looks.UNKNOWN, compare=False)


def check(data: bytes, max_pixels: int, bits: int | None = None) -> Checked:
    """Fully decodes an image once and returns the bytes to store and its properties.

    Args:
        data: the file's content; untrusted.
        max_pixels: larger images are refused from their header, before any pixel is decoded.
        bits: of the values in files of 16 bits, where they use only the lower ones; None: all.

    Raises:
        BadImage: the file is empty, of an unknown format, too large, broken or truncated, or holds bands or values
            that an image of 8 bits cannot hold.
    """
    return proof.alone(steps(data, max_pixels, bits))


def glance(data: bytes, max_pixels: int, bits: int | None = None) -> Checked:
    """Does what `check` does, with Pillow in place of TensorFlow, whose import takes seconds.

    For an estimate from a few images: it does not find every file that TensorFlow refuses. Only PNG files of 16 bits
    need TensorFlow here, too.
    """
    return proof.alone(steps(data, max_pixels, bits), opened)


def steps(data: bytes, max_pixels: int, bits: int | None = None) -> proof.Steps[Checked]:
    """Does what `check` does, and asks its caller for the pixels; see `proof`."""
    if not data:
        raise BadImage("empty file")
    if len(data) > max_file_bytes(max_pixels):
        raise BadImage(f"{len(data):,} bytes are more than an image of {max_pixels:,} pixels needs")
    try:
        return (yield from _steps(data, max_pixels, bits))
    except BadImage:
        raise
    except MemoryError:
        raise BadImage("decoding it needs more memory than there is") from None
    except Exception as error:
        raise BadImage(f"cannot be decoded: {error or type(error).__name__}") from error


def _steps(data: bytes, max_pixels: int, bits: int | None) -> proof.Steps[Checked]:
    with opening.open_image(data) as image:
        width, height = image.size
        if width < 1 or height < 1:
            raise BadImage(f"{width} x {height} pixels")
        if width * height > max_pixels:
            raise BadImage(f"{width:,} x {height:,} pixels are more than data.max_pixels ({max_pixels:,})")
        kind = image.format or ""
        if kind in ("JPEG", "MPO"):
            scans.check(data, width * height)
        exif = _exif(image)
        orientation = _orientation(exif)
        made = (looks.encoding(image), *looks.taken(exif))
        reason = _why_reencode(image, data, orientation)
        # Pillow fills missing parts of a PNG with black and checks no checksum, so TensorFlow decodes every PNG.
        if not reason or kind == "PNG":
            try:
                pixels = yield Undecoded(data, kind, width, height)
            except BadImage:
                if kind == "PNG":
                    raise
                reason = f"{kind} of a rare kind"
            else:
                if not reason:
                    return described(Checked(data, kind.lower(), width, height), Pillow.fromarray(pixels), made)
        if max(width, height) > LONGEST_SIDE:
            raise BadImage(
                f"{width:,} x {height:,} pixels; a PNG, as which it is stored, takes {LONGEST_SIDE:,} a side"
            )
        remarks = _remarks(image, data)
        rgb, highest = _to_rgb(image, data, orientation, bits, remarks)
        out = io.BytesIO()
        rgb.save(out, "PNG", compress_level=1)
        stored = Checked(
            out.getvalue(),
            "png",
            rgb.width,
            rgb.height,
            reason,
            remarks=tuple(remarks),
            highest=highest,
            sideways=orientation in _SIDEWAYS,
        )
        return described(stored, rgb, made)


def described(checked: Checked, rgb: Pillow.Image, made: tuple[int, int, int] = (0, 0, 0)) -> Checked:
    """Adds properties, look and perceptual hash.

    Args:
        checked: the image without these.
        rgb: the image, whole or reduced to no less than `proof.REDUCED`.
        made: see `looks.look`.
    """
    factor = max(min(rgb.size) // proof.REDUCED, max(rgb.size) // _LONGEST)
    small = rgb.reduce(factor) if factor > 1 else rgb
    luma = small.convert("L")
    comparable = min(checked.width, checked.height) >= perceptual.SMALLEST
    measured = properties.measure(small, luma, checked.width, checked.height)
    return replace(
        checked,
        properties=measured.values,
        look=looks.look(small, measured, made),
        perceptual=perceptual.perceptual_hash(luma) if comparable else None,
    )


def _why_reencode(image: Pillow.Image, data: bytes, orientation: int) -> str:
    """The reason why `decode` would return other pixels than the file means, or ""."""
    kind = image.format
    if kind in ("TIFF", "MPO", "GIF", "HEIF", "AVIF", "JPEG2000", "PPM"):
        return opening.NAMES.get(kind, kind)
    if _is_animated(image):
        return f"animated {kind}"
    if image.mode == "P":
        return "palette"
    if image.mode == "CMYK":
        return "CMYK"
    if image.mode in _ALPHA or "transparency" in image.info:
        return "alpha"
    if kind == "PNG" and data[24] != 8:  # bit depth in the header chunk
        return f"{data[24]} bit"
    if image.mode not in ("RGB", "L") or (kind in ("BMP", "WEBP") and image.mode != "RGB"):
        return f"mode {image.mode}"
    if kind == "BMP" and data[28:30] != b"\x18\0":
        return "BMP of other than 24 bit"
    if kind == "WEBP" and data[12:16] == b"VP8X" and data[20] & 2:  # of one frame
        return "animated WEBP"
    return f"EXIF orientation {orientation}" if orientation > 1 else ""


def _is_animated(image: Pillow.Image) -> bool:
    """Whether there is a second frame; for `n_frames`, Pillow would walk through millions of them in a GIF."""
    return bool(getattr(image, "is_animated", False))


def _exif(image: Pillow.Image) -> dict[int, Any]:
    """The tags that are read; none if they cannot be."""
    try:
        tags = image.getexif()
        return {tag: tags[tag] for tag in (_ORIENTATION, *looks.TAGS) if tag in tags}
    except Exception:  # noqa: BLE001  unreadable EXIF states nothing
        return {}


def _orientation(exif: Mapping[int, Any]) -> int:
    """How the image is stored: EXIF's 2 to 8, or 1 for upright and for everything else."""
    orientation = exif.get(_ORIENTATION)
    return next((turn for turn in _TURNS if turn == orientation), 1)


def _remarks(image: Pillow.Image, data: bytes) -> list[str]:
    """Facts from the header of a file that its stored pixels do not show.

    Raises:
        BadImage: bands would be lost.
    """
    remarks = []
    if image.format == "TIFF":
        remarks += [bands] if (bands := tiff.check_bands(image)) else []
        several = tiff.holds_pages(image)
    else:
        several = _is_animated(image)
    if several:
        remarks.append("several pages or frames; only the first is used")
    if image.mode == "CMYK":
        remarks.append("CMYK inks; they were converted to RGB without a colour profile")
    if deep.has_more_than_8(image, data):
        remarks.append(deep.UPPER)
    return remarks


def opened(file: Undecoded) -> NDArray[np.uint8]:
    """Decodes the pixels [h, w, 3] with Pillow, a JPEG at a fraction of its size; raises as Pillow does."""
    with opening.open_image(file.data) as image:
        if file.kind == "JPEG":
            image.draft("RGB", (file.width // file.ratio, file.height // file.ratio))
        return np.asarray(image.convert("RGB"))


def _to_rgb(
    image: Pillow.Image, data: bytes, orientation: int, bits: int | None, remarks: list[str]
) -> tuple[Pillow.Image, int]:
    """Converts the first frame to upright 8-bit RGB, with alpha blended over white.

    Appends to `remarks`. Also returns `Checked.highest`.
    """
    image.load()
    highest, reduced = 0, deep.convert(image, data, bits)
    if reduced is not None:
        upright = image.format != "PNG"  # Pillow turns a TIFF while it loads it
        image, highest, remark = reduced
        image = image if upright or orientation == 1 else image.transpose(_TURNS[orientation])
        remarks += [remark] if remark not in remarks else []
    else:
        if image.format == "PNG" and isinstance(image.info.get("transparency"), (int, tuple)):
            _scale_transparent(image, data[24])
        with contextlib.suppress(Exception):  # unreadable EXIF states no orientation
            image = ImageOps.exif_transpose(image)
    if image.mode in _ALPHA or "transparency" in image.info:
        front = image.convert("RGBA")
        if np.asarray(front)[..., 3].min() < 255 and not any("transparency" in remark for remark in remarks):
            remarks.append("transparency; it was blended over white")
        image = Pillow.alpha_composite(Pillow.new("RGBA", front.size, _WHITE), front)
    return image.convert("RGB"), highest


def _scale_transparent(image: Pillow.Image, depth: int) -> None:
    """Converts the transparent colour of a grey PNG to 8 bit; Pillow converts only the pixels."""
    if depth < 8 and image.mode == "L":
        image.info["transparency"] = image.info["transparency"] * 255 // (2**depth - 1)
