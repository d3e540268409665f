"""What ingest found out about an image, so that an image that is known need not be read again to be counted.

Beside it, `census.ROW` has what is compared between images: digests, hashes, and how the image looks.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from components.data import properties
from components.data.images import Checked
from components.data.masks import Mask


@dataclass(frozen=True, slots=True)
class Facts:
    """What is counted of an image that is kept; its labels, its split and the digest of its file come from elsewhere.

    Attributes:
        format, width, height, changed, highest: as in `images.Checked`.
        remarks: on the image and on its mask.
        bins: [P] of each property; see `properties.bins`.
        mask: SHA-256 of the stored mask in hexadecimal, or "".
        pixels: of each label in the mask, and at last the ignored ones; () without a mask.
        look: as in `images.Checked`.
        perceptual: the bytes of its perceptual hash; b"" if it is too small for one.
        moments: float64 [5, B] as bytes, see `arrays.moments`; b"" for a photo.
    """

    format: str
    width: int
    height: int
    changed: str
    highest: int
    remarks: tuple[str, ...]
    bins: tuple[int, ...]
    mask: str
    pixels: tuple[int, ...]
    look: bytes
    perceptual: bytes
    moments: bytes


def of(image: Checked, mask: Mask | None) -> Facts:
    """Gathers the facts of an image, with its mask if the task has masks."""
    return Facts(
        image.format,
        image.width,
        image.height,
        image.changed,
        image.highest,
        (*image.remarks, *(mask.remarks if mask else ())),
        properties.bins(image.properties),
        hashlib.sha256(mask.encoded).hexdigest() if mask else "",
        (*mask.pixels, mask.ignored) if mask else (),
        image.look,
        b"" if image.perceptual is None else image.perceptual.astype("<u8").tobytes(),
        b"" if image.moments is None else np.stack(image.moments).astype("<f8").tobytes(),
    )


def line(facts: Facts) -> bytes:
    """Serialises what no row of the census has; see `parsed`."""
    plain = (facts.format, facts.width, facts.height, facts.changed, facts.highest, facts.remarks, facts.bins)
    return json.dumps((*plain, facts.mask, facts.pixels), separators=(",", ":")).encode("ascii") + b"\n"


def parsed(line: bytes, look: bytes, perceptual: bytes, moments: bytes) -> Facts:
    """Reads a line of `line`; the rest is given.

    Raises:
        ValueError: it is no such line.
    """
    format_, width, height, changed, highest, remarks, bins, mask, pixels = json.loads(line)
    told = (format_, width, height, changed, highest, tuple(remarks), tuple(bins), mask, tuple(pixels))
    return Facts(*told, look, perceptual, moments)
