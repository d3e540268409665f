"""The files of a data set that may be arrays, and what a sample of them holds."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from components.data import images, storage
from components.data.arrays import heads, reading
from components.data.arrays.heads import Head
from components.data.arrays.spec import Bands
from components.ingest.layouts.listing import ARRAYS, PHOTOS
from components.ingest.settings import Data
from pipeline.init.recognise.masked import places
from pipeline.init.recognise.sight import Sight

_TIFF = (".tif", ".tiff")
_WHOLE = 0.9  # share of the images that must be arrays
_MOST_OPENED = 200
_MOST_BYTES, _MOST_REMOTE_BYTES = 240_000_000, 20_000_000  # that are read for headers
_VALUES = 8  # files whose values are read
_MOST_PIXELS = 10_000_000  # of one of these; larger files are left out
_PHOTO_BANDS = 4
_BYTES = ("uint8", "int8")


@dataclass(frozen=True)
class Sample:
    """What was seen of the arrays of a data set.

    Attributes:
        paths: all files that are arrays.
        heads: path -> header, of those that were opened and can be read.
        sizes: (height, width) of some masks.
    """

    paths: Sequence[str]
    heads: dict[str, Head]
    sizes: frozenset[tuple[int, int]]

    @property
    def complete(self) -> bool:
        """Whether all files were opened."""
        return len(self.heads) >= len(self.paths)


def take(sight: Sight) -> Sample | None:
    """Opens some files; None unless the images of the data set are arrays, beyond doubt."""
    paths, masks = _by_name(sight)
    # A Parquet file may hold the images itself; then arrays beside it are something else.
    if not paths or sight.ending(".parquet"):
        return None
    found: dict[str, Head] = {}
    left = _MOST_REMOTE_BYTES if storage.is_url(sight.root) else _MOST_BYTES
    opened = 0
    for path in spread(paths, _MOST_OPENED):
        left -= sight.files[path].size
        if found and left < 0:
            break
        opened += 1
        try:
            head = heads.head(sight.read(path))
        except (OSError, images.BadImage):  # a broken one is quarantined later
            continue
        if not _is_array(path, head):
            return None
        found[path] = head
    return Sample(paths, found, _sizes(sight, masks)) if 2 * len(found) > opened else None


def spread(paths: Sequence[str], count: int) -> list[str]:
    """Chooses so many paths, spread evenly.

    >>> spread(["a", "b", "c", "d", "e"], 2)
    ['a', 'c']
    """
    return list(paths[:: max(1, len(paths) // count)][:count])


def zero_share(sight: Sight, sample: Sample, bands: Bands) -> tuple[float, int]:
    """The share of the pixels that are 0 in all bands, and in how many files it was counted.

    It is 0 where files say themselves which pixels are invalid, by a tag or by values that are not numbers, and where
    there is one band: a 0 in a single band is often a measurement.
    """
    import numpy as np

    if len(bands.names) < 2:
        return 0.0, 0
    zeros, pixels, read = 0, 0, 0
    for path in spread(list(sample.heads), _VALUES):
        if sight.files[path].size > images.max_file_bytes(_MOST_PIXELS):
            continue
        try:
            found = reading.read(sight.read(path), bands, _MOST_PIXELS).pixels
        except (OSError, images.BadImage):
            continue
        if sample.heads[path].marked or not np.isfinite(found).all():
            return 0.0, 0
        zeros += int(np.count_nonzero(~found.any(axis=-1)))
        pixels += found[..., 0].size
        read += 1
    return zeros / max(1, pixels), read


def _by_name(sight: Sight) -> tuple[list[str], list[str]]:
    """The files that may be arrays by their names, and those that may be masks; ([], []) beside many photos."""
    possible = sight.ending(*ARRAYS, *_TIFF)
    if not possible:
        return [], []
    named = places.named_like_masks(sight)
    arrays = [path for path in possible if path not in named]
    photos = [path for path in sight.ending(*(PHOTOS - {"", *_TIFF})) if path not in named]
    few = len(arrays) < _WHOLE * (len(arrays) + len(photos))
    return ([], []) if few else (arrays, sorted(named))


def _is_array(path: str, head: Head) -> bool:
    """Whether a file is an array beyond doubt: NumPy's with height and width, or a TIFF file that no photo is like."""
    if posixpath.splitext(path)[1].lower() in ARRAYS:
        return 2 <= len(head.shape) <= 4
    bands = head.shape[head.letters.index("B")] if "B" in head.letters else 1
    return "?" in head.letters or bands > _PHOTO_BANDS or (bands == 2 and head.dtype not in _BYTES)


def _sizes(sight: Sight, masks: Sequence[str]) -> frozenset[tuple[int, int]]:
    """Height and width of some masks, as their headers say."""
    import io

    from PIL import Image

    found = set()
    for path in spread(masks, _VALUES):
        if sight.files[path].size > images.max_file_bytes(Data.model_fields["max_pixels"].default):
            continue
        try:
            with Image.open(io.BytesIO(sight.read(path))) as image:
                found.add((image.height, image.width))
        except Exception:  # noqa: BLE001, S112  foreign files; a broken one is quarantined later
            continue
    return frozenset(found)
