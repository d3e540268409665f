"""Output of `imagegate predict --overlay`: each image with its predicted mask drawn over it, and a legend."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.base.errors import ImagegateError
from components.data.arrays import composite, stored
from components.data.arrays.stored import Array
from components.drawing import legend, overlay
from pipeline.predict.inputs import Input
from pipeline.predict.written import Folder

LEGEND = "legend.png"


class Overlays:
    """Draws the overlays, and writes them.

    Args:
        folder: where they are written.
        inputs: the images.
        shown: of arrays, the bands that are drawn, see `composite.picture`.

    Raises:
        ConfigError: see `Folder`.
    """

    def __init__(self, folder: str, inputs: Sequence[Input], shown: Sequence[int] = (0,)) -> None:
        self._files = Folder("--overlay", folder, inputs, [".png"] * len(inputs), [LEGEND])
        self._name, self._has_legend, self._shown = folder, False, shown

    @property
    def paths(self) -> list[str]:
        """Paths of the overlays, in the order of the images."""
        return self._files.paths

    @property
    def legend_path(self) -> str:
        """Path of the legend."""
        return os.path.join(self._name, LEGEND)

    def legend(self, labels: Sequence[str]) -> None:
        """Writes the legend unless it is there already. Raises ImagegateError if it cannot be written."""
        if self._has_legend:
            return
        try:
            self._files.write_other(LEGEND, png(legend.draw(labels, overlay.palette(len(labels)))))
        except OSError as error:
            raise ImagegateError(f"{self.legend_path} cannot be written: {error.strerror}") from None
        self._has_legend = True

    def draw(self, number: int, image: bytes | Array, mask: NDArray[np.uint8], classes: int) -> str:
        """Writes the overlay of image `number` and returns its path.

        Args:
            number: index of the image, from 0.
            image: as sent to the model, see `images.check`; or a scene.
            mask: uint8 [h, w], label indices; scaled to the image's size.
            classes: number of labels.

        Raises:
            OSError: the file cannot be written.
        """
        with picture(image, self._shown) as drawn:
            return self._files.write(number, png(overlay.draw(drawn, mask, overlay.palette(classes))))


def picture(image: bytes | Array, shown: Sequence[int] = (0,)) -> Image.Image:
    """An image as people see it; see `Overlays.draw`."""
    if isinstance(image, bytes) and not stored.is_stored(image):
        return Image.open(io.BytesIO(image))
    array = stored.restored(image) if isinstance(image, bytes) else image
    return Image.fromarray(composite.picture(array, shown))


def png(image: Image.Image) -> bytes:
    """The content of a PNG file."""
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()
