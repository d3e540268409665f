"""Output of `imagegate predict --masks`: a file for each mask, whose values are the indices of the labels.

It has the size of the image. It is a GeoTIFF with the image's place on the earth where the image is a TIFF file, else a
PNG file. Pixels without an answer, in parts of a scene where nothing is valid, are `NONE`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.data.arrays import geotiff, stored
from components.data.arrays.geotiff import Tag
from components.data.arrays.stored import Array
from components.data.features import IGNORED_ID
from pipeline.predict.inputs import Input
from pipeline.predict.overlays import picture, png
from pipeline.predict.written import Folder

NONE = IGNORED_ID


class Masks:
    """Writes the masks.

    Args:
        folder: where they are written.
        inputs: the images.
        arrays: whether they are arrays, of which TIFF files get TIFF files.

    Raises:
        ConfigError: see `Folder`.
    """

    def __init__(self, folder: str, inputs: Sequence[Input], *, arrays: bool) -> None:
        self._tiff = [arrays and one.name.lower().endswith((".tif", ".tiff")) for one in inputs]
        self._files = Folder("--masks", folder, inputs, [".tif" if tiff else ".png" for tiff in self._tiff])

    @property
    def paths(self) -> list[str]:
        """Paths of the masks, in the order of the images."""
        return self._files.paths

    def write(self, number: int, image: bytes | Array, mask: NDArray[np.uint8], place: Sequence[Tag]) -> str:
        """Writes the mask of image `number`, and returns its path.

        Args:
            number: index of the image, from 0.
            image: as sent to the model.
            mask: uint8 [h, w].
            place: see `geotiff.place`.

        Raises:
            OSError: the file cannot be written.
        """
        if self._tiff[number]:
            return self._files.write(number, geotiff.written(mask, place, NONE))
        drawn = Image.fromarray(mask)
        if isinstance(image, bytes) and not stored.is_stored(image):  # a photo, of which the model sees another size
            with picture(image) as whole:
                drawn = drawn.resize(whole.size, Image.Resampling.NEAREST)
        return self._files.write(number, png(drawn))
