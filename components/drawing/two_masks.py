"""The masks of two models on the same images: where they differ, counted and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.data.features import IGNORED_ID
from components.drawing import legend, overlay

if TYPE_CHECKING:
    from PIL import Image

_RED = np.array([[220, 0, 60]], np.uint8)


class TwoMasks:
    """Compares the masks of two models, whose labels may be others or in another order.

    Args:
        first, second: the labels of each model in the order of its indices.
    """

    def __init__(self, first: Sequence[str], second: Sequence[str]) -> None:
        self._labels = [*first, *(label for label in second if label not in first)]  # K in all
        self._places = [np.array([self._labels.index(label) for label in labels]) for labels in (first, second)]
        self._files: dict[str, tuple[str, str]] = {}
        self._both = np.zeros(len(self._labels), np.int64)
        self._either = np.zeros(len(self._labels), np.int64)

    def add(self, name: str, first: str, second: str) -> float | None:
        """Compares two masks of one image.

        Args:
            name: of the image.
            first, second: paths of their files, which hold indices of each model's labels, or `IGNORED_ID` for pixels
                without an answer; they are read again by `draw`.

        Returns:
            The share of the pixels that both models answer whose labels are not the same; None if there is no
            such pixel.
        """
        self._files[name] = first, second
        old, new = self._read(name)
        known = (old >= 0) & (new >= 0)
        old, new = old[known], new[known]
        same = old == new
        counts = [np.bincount(of, minlength=len(self._labels)) for of in (old[same], old, new)]
        self._both += counts[0]
        self._either += counts[1] + counts[2] - counts[0]
        return float(1 - same.mean()) if same.size else None

    def overlaps(self) -> dict[str, float]:
        """Label -> its intersection over union between the two models, of all pixels of all images so far.

        Labels that no pixel has are left out.
        """
        rows = zip(self._labels, self._both.tolist(), self._either.tolist(), strict=True)
        return {label: both / either for label, both, either in rows if either}

    def legend(self) -> Image.Image:
        """The labels of both models with their colours."""
        return legend.draw(self._labels, overlay.palette(len(self._labels)))

    def draw(self, name: str, image: Image.Image) -> Image.Image:
        """Draws three pictures side by side: the first mask over the image, the second, and where they differ in red.

        Args:
            name: of an image that was added.
            image: the image, of any size.
        """
        from PIL import Image

        old, new = self._read(name)
        differs = (old != new) & (old >= 0) & (new >= 0)
        colours = overlay.palette(len(self._labels))
        parts = [
            _over(image, old, colours),
            _over(image, new, colours),
            overlay.draw(image.convert("L"), np.where(differs, 0, IGNORED_ID).astype(np.uint8), _RED, 0.8),
        ]
        drawn = Image.new("RGB", (3 * image.width, image.height))
        for i, part in enumerate(parts):
            drawn.paste(part, (i * image.width, 0))
        return drawn

    def _read(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Both masks of an image at the size of the first, as indices of `_labels`; -1 without an answer."""
        from PIL import Image

        found: list[NDArray[np.int64]] = []
        for path, places in zip(self._files[name], self._places, strict=True):
            with Image.open(path, formats=["PNG"]) as file:
                size = found[0].shape[::-1] if found else file.size
                ids = np.asarray(file.resize(size, Image.Resampling.NEAREST))
            known = ids != IGNORED_ID
            found.append(np.where(known, places[np.where(known, ids, 0)], -1))
        return found[0], found[1]


def _over(image: Image.Image, mask: NDArray[np.int64], colours: NDArray[np.uint8]) -> Image.Image:
    """Draws the mask of one model, with the colours of the labels in it: those of both models may be more than 255."""
    present = np.unique(mask[mask >= 0])
    ids = np.where(mask < 0, IGNORED_ID, np.searchsorted(present, mask)).astype(np.uint8)
    return overlay.draw(image, ids, colours[present])
