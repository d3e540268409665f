"""The values in a sample of masks: ids or colours, how often each occurs, and in how many masks."""

from __future__ import annotations

import hashlib
import io
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.init.recognise.sight import Sight

if TYPE_CHECKING:
    from PIL import Image

SECONDS = 5.0
_MOST_PIXELS = 50_000_000  # of one mask
_MOST_VALUES = 256  # with more, it is no mask
_DEPTH = 24  # position of the bit depth in a PNG
_GREY = ("1", "L", "I", "I;16", "I;16B", "I;16L")

Colour = tuple[int, int, int]


@dataclass
class Values:
    """The values in a sample of masks.

    Attributes:
        total: number of masks; `read` of them were opened.
        pixels: id, or colour as r + 256 g + 65536 b -> number of pixels.
        colored: whether they are colours.
        palette: id -> colour that a palette gives it.
        lossy: whether the files are JPEG or WebP, whose values are not exact.
    """

    total: int
    read: int = 0
    pixels: Counter[int] = field(default_factory=Counter)
    colored: bool = False
    palette: dict[int, Colour] = field(default_factory=dict)
    lossy: bool = False

    @property
    def complete(self) -> bool:
        """Whether all masks were opened."""
        return self.read >= self.total


def read(sight: Sight, paths: Sequence[str], seconds: float = SECONDS) -> Values | None:
    """Opens as many masks as the time allows, in an order that is random but always the same.

    Returns:
        the values, or None if the files are no masks: they cannot be opened, or hold too many values.
    """
    order = sorted(paths, key=lambda path: hashlib.sha256(path.encode("utf-8", "surrogateescape")).digest())
    values = Values(len(order))
    end = time.monotonic() + seconds
    for path in order:
        try:
            _add(values, sight.read(path))
        except Exception:  # noqa: BLE001  foreign files; a broken one is quarantined later
            values.total -= 1
        # JPEG blurs two values into many.
        if len(values.pixels) > _MOST_VALUES and not values.lossy:
            return None
        if time.monotonic() > end:
            break
    return values if values.read else None


def _add(values: Values, data: bytes) -> None:
    """Counts the values of one mask."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        if image.width * image.height > _MOST_PIXELS:
            raise ValueError("too large")
        colored = image.mode not in _GREY and image.mode != "P"
        if not values.read:
            values.colored, values.lossy = colored, image.format in ("JPEG", "WEBP")
        if values.colored != colored and image.mode != "P":
            raise ValueError("another kind")
        if image.mode == "P" and not values.colored:
            values.palette.update(_palette(image))
        codes = _codes(image, data, values.colored)
    found, counts = np.unique(codes, return_counts=True)
    values.pixels.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
    values.read += 1


def _codes(image: Image.Image, data: bytes, colored: bool):  # type: ignore[no-untyped-def]
    import numpy as np

    if colored:
        return np.asarray(image.convert("RGBA")).view("<u4")[..., 0] & 0xFFFFFF
    ids = np.asarray(image)
    bits = data[_DEPTH] if image.format == "PNG" and image.mode != "P" else 8
    # Pillow scales 2 and 4 bit to levels from 0 to 255.
    return ids // (255 // (2**bits - 1)) if bits in (2, 4) else ids


def _palette(image: Image.Image) -> dict[int, Colour]:
    flat = list(image.getpalette("RGB") or ())
    return {i: (flat[3 * i], flat[3 * i + 1], flat[3 * i + 2]) for i in range(len(flat) // 3)}
