"""Where a GeoTIFF lies on the earth: read from one file and written to another. Files are untrusted."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_NODATA = 42113  # of GDAL
# ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory, GeoDoubleParams, GeoAsciiParams: OGC 19-008r4.
_TAGS = (33550, 33922, 34264, 34735, 34736, 34737)
_MOST = 10_000  # values of a tag


class Tag(NamedTuple):
    """A tag of TIFF: its number, the number of its type, how many values, and the values."""

    code: int
    type: int
    number: int
    value: object


def place(data: bytes) -> tuple[Tag, ...]:
    """The tags that say where an image lies; () if it is no TIFF file or does not say so."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it would print what it finds odd
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            tags = file.pages[0].tags
            found = [tags[code] for code in _TAGS if code in tags]
            return tuple(Tag(tag.code, int(tag.dtype), tag.count, tag.value) for tag in found if tag.count <= _MOST)
    except Exception:  # noqa: BLE001  whatever is wrong with it was said where its values were read
        return ()


def written(mask: NDArray[np.uint8], tags: Sequence[Tag], none: int) -> bytes:
    """The content of a TIFF file.

    Args:
        mask: [H, W].
        tags: where it lies; see `place`.
        none: the value of pixels without information.
    """
    import tifffile

    out = io.BytesIO()
    text = str(none)
    # Texts that are no ASCII go on as they came.
    values = [tag.value.encode() if isinstance(tag.value, str) else tag.value for tag in tags]
    extra = [(tag.code, tag.type, tag.number, value, True) for tag, value in zip(tags, values, strict=True)]
    extra.append((_NODATA, 2, len(text) + 1, text, True))  # 2: text that ends in 0
    tifffile.imwrite(out, mask, photometric="minisblack", compression="zlib", extratags=extra, metadata=None)
    return out.getvalue()
