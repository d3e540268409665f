"""The faults that are planted: changes of one picture, changes that reveal a label, and changes that a leak survives.

Each change is a function of a picture. Those that move pixels also take a mask, with the label of ignored pixels, so
that the mask still fits its picture.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from components.gates.data_rules import copies, label_errors

WHITE, BLACK, DESKTOP, TITLE_BAR = (255, 255, 255), (0, 0, 0), (225, 225, 228), (60, 60, 64)
_FACTOR = 12  # a dark picture has one part in so many of its range
_SHARE_OF_BLUR = 1 / 30  # of the shorter side
_QUALITY = 92  # of JPEG, unless the fault is the compression itself
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}

Change = Callable[[Image.Image, "int | None"], Image.Image]


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        kinds: of findings that name it rightly, in the words of `imagegate check -o`.
        change: takes a picture in RGB and None, or a mask and the label of its ignored pixels.
        moves: whether pixels move, so that a mask must change as well.
        quality: of the JPEG file.
        suffix: the ending of the file; None: as before.
    """

    kinds: tuple[str, ...]
    change: Change
    moves: bool = False
    quality: int = _QUALITY
    suffix: str | None = None


def encoded(image: Image.Image, suffix: str, quality: int = _QUALITY) -> bytes:
    """The file of a picture; its format follows from the ending."""
    out = io.BytesIO()
    image.save(out, _FORMATS[suffix.lower()], quality=quality)
    return out.getvalue()


def _resample(ignored: int | None) -> Image.Resampling:
    return Image.Resampling.BICUBIC if ignored is None else Image.Resampling.NEAREST


def _unchanged(image: Image.Image, ignored: int | None) -> Image.Image:
    return image


def _points(change: Callable[[int], float]) -> Change:
    """Changes each value between 0 and 255 by itself."""
    table = [round(change(value)) for value in range(256)]
    return lambda image, ignored: image.point(table * len(image.getbands()))


def _blurred(image: Image.Image, ignored: int | None) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(max(2.0, min(image.size) * _SHARE_OF_BLUR)))


def _constant(image: Image.Image, ignored: int | None) -> Image.Image:
    """The mean colour with the noise of a sensor (a standard deviation of one level)."""
    mean = np.asarray(image, np.float64).mean(axis=(0, 1))
    noise = np.random.default_rng(0).normal(size=(image.height, image.width, 3))
    return Image.fromarray(np.clip(np.round(mean + noise), 0, 255).astype(np.uint8))


def _grey(mode: str, image: Image.Image, ignored: int | None) -> Image.Image:
    return image.convert("L").convert(mode)


def _sliver(image: Image.Image, ignored: int | None) -> Image.Image:
    """The middle of the picture, an eighth of its height."""
    height = max(1, image.height // 8)
    top = (image.height - height) // 2
    return image.crop((0, top, image.width, top + height))


def _scaled(factor: float, image: Image.Image, ignored: int | None) -> Image.Image:
    size = [max(1, round(side * factor)) for side in image.size]
    return image.resize((size[0], size[1]), _resample(ignored))


def _framed(content: float, colour: tuple[int, int, int], image: Image.Image, ignored: int | None) -> Image.Image:
    """The picture at a share of its sides, in the middle of a frame; the size stays."""
    small = _scaled(content, image, ignored)
    canvas = Image.new(image.mode, image.size, colour if ignored is None else ignored)
    canvas.paste(small, ((image.width - small.width) // 2, (image.height - small.height) // 2))
    return canvas


def _letterboxed(content: float, image: Image.Image, ignored: int | None) -> Image.Image:
    """Black bars above and below the middle rows."""
    bar = round(image.height * (1 - content) / 2)
    canvas = Image.new(image.mode, image.size, BLACK if ignored is None else ignored)
    canvas.paste(image.crop((0, bar, image.width, image.height - bar)), (0, bar))
    return canvas


def _cropped(share: float, image: Image.Image, ignored: int | None) -> Image.Image:
    """Without a share of the width and of the height, at least one pixel; a third of it is cut at the left and top."""
    cut = [max(1, round(side * share)) for side in image.size]
    left, top = cut[0] // 3, cut[1] // 3
    return image.crop((left, top, left + image.width - cut[0], top + image.height - cut[1]))


def _mirrored(image: Image.Image, ignored: int | None) -> Image.Image:
    return ImageOps.mirror(image)


def _rotated(degrees: float, image: Image.Image, ignored: int | None) -> Image.Image:
    """Turned, as a photo is straightened: the largest part of the same shape without empty corners is kept."""
    turned = image.rotate(degrees, _resample(ignored))
    angle, ratio = math.radians(degrees), max(image.width / image.height, image.height / image.width)
    kept = 1 / (math.cos(angle) + ratio * math.sin(angle))
    width, height = (max(1, int(side * kept)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return turned.crop((left, top, left + width, top + height))


def _surrounded(image: Image.Image, ignored: int | None) -> Image.Image:
    """A white border of 5% of the longer side around the picture."""
    return ImageOps.expand(image, max(1, round(max(image.size) * 0.05)), WHITE if ignored is None else ignored)


def _screenshot(image: Image.Image, ignored: int | None) -> Image.Image:
    """The picture at four fifths of its size in a window, with a title bar."""
    small = _scaled(0.8, image, ignored)
    frame, bar = max(1, round(small.width * 0.03)), max(1, round(small.height * 0.12))
    size = small.width + 2 * frame, small.height + bar + 2 * frame
    canvas = Image.new(image.mode, size, DESKTOP if ignored is None else ignored)
    canvas.paste(TITLE_BAR if ignored is None else ignored, (0, 0, size[0], bar))
    canvas.paste(small, (frame, bar + frame))
    return canvas


# One picture in itself.
SINGLE: Mapping[str, Fault] = {
    "dark": Fault(("dark",), _points(lambda value: value / _FACTOR)),
    "bright": Fault(("bright",), _points(lambda value: 255 - (255 - value) / _FACTOR)),
    "blurred": Fault(("blurred",), _blurred),
    "constant": Fault(("uninformative",), _constant),
    "grey, three channels": Fault(("grey",), functools.partial(_grey, "RGB")),
    "grey, one channel": Fault(("grey",), functools.partial(_grey, "L")),
    "an eighth of the size": Fault(("odd size",), functools.partial(_scaled, 1 / 8), moves=True),
    "a sliver": Fault(("odd size",), _sliver, moves=True),
    "border, 36 % of the area left": Fault(("border",), functools.partial(_framed, 0.6, WHITE), moves=True),
    "letterbox, 40 % of the height left": Fault(("border",), functools.partial(_letterboxed, 0.4), moves=True),
}

# All pictures of one label.
SHORTCUTS: Mapping[str, Fault] = {
    "brightness": Fault((), _points(lambda value: value * 0.45)),
    "size": Fault((), functools.partial(_scaled, 0.6)),
    "format": Fault((), _unchanged, suffix="other"),
    "quality": Fault((), _unchanged, quality=25),
    "border": Fault((), functools.partial(_framed, 0.88, BLACK)),
    "file name": Fault((), _unchanged),
}

_LEAK = (
    "nearly equal across splits",
    "nearly equal with other labels",
    copies.SPLITS_KIND,
    copies.LABELS_KIND,
)

# A picture that is in the data set already.
LEAKS: Mapping[str, Fault] = {
    **{
        f"crop by {percent} %": Fault(_LEAK, functools.partial(_cropped, percent / 100), moves=True)
        for percent in (2, 5, 10, 20)
    },
    "mirrored": Fault(_LEAK, _mirrored, moves=True),
    **{f"turned by {degrees}°": Fault(_LEAK, functools.partial(_rotated, degrees), moves=True) for degrees in (2, 5)},
    "border of 5 %": Fault(_LEAK, _surrounded, moves=True),
    "screenshot": Fault(_LEAK, _screenshot, moves=True, quality=60),
}

WRONG_LABEL, WRONG_LABEL_KINDS = "wrong label", (label_errors.KIND,)
