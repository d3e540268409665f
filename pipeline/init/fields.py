"""A generated data set for `imagegate init --demo --bands`: a year of satellite images of fields, with clouds.

The fields of all classes are green for equally long, and differ only in when: neither a single image nor the mean over
the year tells them apart. Every call writes the same files.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
CROPS = ("winter wheat", "rape", "barley", "peas", "beet", "maize", "sunflower")
MOMENTS, SIDE = 50, 30
UNKNOWN = 255  # in masks: points of which nobody said what grows there

_SOIL = (0.10, 0.13, 0.17, 0.22, 0.30, 0.26)  # share of light that is reflected, by band
_LEAVES = (0.04, 0.09, 0.05, 0.45, 0.20, 0.10)
_SCALE = 10_000  # of the values in the files
_FIRST, _APART, _GREEN = 4.0, 5.2, 11.0  # moments: when the first crop turns green, the next one later, for how long
_EARLY = 0.7  # moments by which fields of a crop differ, a standard deviation
_STEEP = 1.5  # of the change, per moment
_NOISE = 0.015  # of the reflected share, a standard deviation
_BRIGHTNESS = (0.85, 1.15)  # of the soil of a field
_FIELDS = (6, 12)  # in a picture
_CLOUDS = (0.5, 0.7)  # parameters of the beta distribution of the share under clouds
_CLOUD_SIZE = 4.0  # pixels
_WITHOUT_LABEL = 0.1  # share of the points


def write(root: str, count: int = 300) -> None:
    """Writes `images/*.npy`, uint16 [50, 30, 30, 6], 0 under clouds; and `masks/*.png`, ids 0 to 6 and `UNKNOWN`."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(3)
    for folder in ("images", "masks"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    for i in range(count):
        crops = _draw_fields(random)
        pixels = _reflected(crops, random)
        ids = crops[0].astype(np.uint8)
        ids[random.random(ids.shape) < _WITHOUT_LABEL] = UNKNOWN
        np.save(os.path.join(root, "images", f"{i:03d}.npy"), pixels)
        Image.fromarray(ids).save(os.path.join(root, "masks", f"{i:03d}.png"))


def _draw_fields(random: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cuts a picture into fields, each around a point: the number of each pixel's crop, and of its field, [H, W]."""
    import numpy as np

    points = random.random((random.integers(*_FIELDS), 2)) * SIDE
    rows, columns = np.mgrid[:SIDE, :SIDE]
    distances = (rows[..., None] - points[:, 0]) ** 2 + (columns[..., None] - points[:, 1]) ** 2
    field = distances.argmin(axis=-1)
    return random.integers(0, len(CROPS), len(points))[field], field


def _reflected(fields: tuple[NDArray[Any], NDArray[Any]], random: np.random.Generator) -> NDArray[np.uint16]:
    import numpy as np
    from scipy import ndimage

    crop, field = fields
    moments, pixels = np.arange(MOMENTS), np.empty((MOMENTS, SIDE, SIDE, len(BANDS)))
    for one in range(field.max() + 1):
        here = field == one
        number = int(crop[here][0]) if here.any() else 0
        start = _FIRST + _APART * number + random.normal(0, _EARLY)
        green = 1 / (1 + np.exp(-_STEEP * (moments - start)))
        green = green / (1 + np.exp(_STEEP * (moments - start - _GREEN)))
        soil = np.array(_SOIL) * random.uniform(*_BRIGHTNESS)
        pixels[:, here] = (green[:, None] * np.array(_LEAVES) + (1 - green)[:, None] * soil)[:, None]
    pixels += random.normal(0, _NOISE, pixels.shape)
    for moment in pixels:
        clouds = ndimage.gaussian_filter(random.normal(size=(SIDE, SIDE)), _CLOUD_SIZE)
        moment[clouds > np.quantile(clouds, 1 - random.beta(*_CLOUDS))] = 0
    return np.clip(np.round(pixels * _SCALE), 0, 65_535).astype(np.uint16)
