"""PPM and PGM files of more than 8 bits, of whose colours Pillow keeps only 8 (https://netpbm.sourceforge.net/doc)."""

from __future__ import annotations

import io
import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

MAGIC = re.compile(rb"P[1-6]\s")
_LONGEST = 1 << 16  # bytes of a header with its comments; Pillow reads them one by one
_HEADER = re.compile(rb"P[1-6](?:(?:\s|#[^\r\n]*[\r\n])+\d+){2,3}\s")
_GREY_OR_COLOURS = re.compile(rb"P([2356])(?:(?:\s|#[^\r\n]*[\r\n])+(\d+)){3}")
_COMMENT = re.compile(rb"#[^\r\n]*")
_FULL = 0xFFFF


def has_header(data: bytes) -> bool:
    """Whether a file with the `MAGIC` of the kind states its size within a header of reasonable length."""
    return _HEADER.match(data[:_LONGEST]) is not None


def white(data: bytes) -> int:
    """The value that stands for white, as the header states it; 1 for a PBM file, which has only black and white.

    >>> white(b"P5 640 480 # a comment 7\\n 4095\\n"), white(b"P4 8 1\\n\\0")
    (4095, 1)
    """
    header = _GREY_OR_COLOURS.match(data)
    return int(header[2][:6]) if header else 1


def levels(data: bytes) -> NDArray[np.uint16]:
    """The values of a sound file, scaled so that white is 65,535: [height, width], or of colours [height, width, 3]."""
    with Pillow.open(io.BytesIO(data), formats=("PPM",)) as image:
        start, (width, height) = image.tile[0].offset, image.size
    shape = (height, width, 3) if data[1:2] in b"36" else (height, width)
    count = int(np.prod(shape))
    if data[1:2] in b"23":  # numbers as text
        # A list of the numbers would take ten times as much memory.
        wide = np.fromstring(_COMMENT.sub(b"", data[start:]), np.uint64, count, sep=" ")
    else:
        wide = np.frombuffer(data, ">u2", count, start).astype(np.uint64)
    scaled: NDArray[np.uint16] = np.minimum(wide * _FULL // white(data), _FULL).astype(np.uint16)
    return scaled.reshape(shape)
