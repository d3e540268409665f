"""Output of `imagegate predict --overlay`: each image with its predicted mask drawn over it, and a legend."""

from __future__ import annotations

import contextlib
import io
import os
import posixpath
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.base.errors import ConfigError, ImagegateError
from components.data import storage
from components.data.arrays import composite, stored
from components.drawing import legend, overlay
from components.ingest.layouts.listing import endings
from pipeline.predict.inputs import Input

LEGEND = "legend.png"


class Overlays:
    """Assigns each image the path of its overlay, and writes the overlays. Creates the folder.

    Args:
        folder: where they are written.
        inputs: the images.
        shown: of arrays, the bands that are drawn, see `composite.picture`.

    Attributes:
        paths: paths of the overlays, in the order of the images.

    Raises:
        ConfigError: the folder cannot be created, or an overlay would overwrite one of the images.
    """

    def __init__(self, folder: str, inputs: Sequence[Input], shown: Sequence[int] = (0,)) -> None:
        if storage.is_url(folder):
            raise ConfigError(f"--overlay: {folder} is a URL; expected a folder on this machine")
        self._folder, self._has_legend, self._shown = folder, False, shown
        self._names = names([i.relative for i in inputs])
        self.paths = [os.path.join(folder, name) for name in self._names]
        images = {os.path.realpath(i.name) for i in inputs if not storage.is_url(i.name)}
        for path in (*self.paths, os.path.join(folder, LEGEND)):
            if os.path.realpath(path) in images:
                raise ConfigError(f"--overlay: {path} is one of the images and would be lost; choose another folder")
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--overlay: {folder} cannot be created: {error.strerror}") from None

    def legend(self, labels: Sequence[str]) -> None:
        """Writes the legend unless it is there already. Raises ImagegateError if it cannot be written."""
        if self._has_legend:
            return
        try:
            self._write(LEGEND, legend.draw(labels, overlay.palette(len(labels))))
        except OSError as error:
            raise ImagegateError(f"{os.path.join(self._folder, LEGEND)} cannot be written: {error.strerror}") from None
        self._has_legend = True

    def draw(self, number: int, encoded: bytes, mask: NDArray[np.uint8], classes: int) -> str:
        """Writes the overlay of image `number` and returns its path.

        Args:
            number: index of the image, from 0.
            encoded: the image as sent to the model, see `images.check`.
            mask: uint8 [h, w], label indices; scaled to the image's size.
            classes: number of labels.

        Raises:
            OSError: the file cannot be written.
        """
        with self._picture(encoded) as image:
            self._write(self._names[number], overlay.draw(image, mask, overlay.palette(classes)))
        return self.paths[number]

    def _picture(self, encoded: bytes) -> Image.Image:
        if stored.is_stored(encoded):
            return Image.fromarray(composite.picture(stored.restored(encoded), self._shown))
        return Image.open(io.BytesIO(encoded))

    def _write(self, name: str, image: Image.Image) -> None:
        path = os.path.join(os.path.realpath(self._folder), *name.split("/"))
        folder = os.path.dirname(path)
        if os.path.realpath(folder) != folder:
            raise OSError(None, "a link leads out of the folder")
        os.makedirs(folder, exist_ok=True)
        out = io.BytesIO()
        image.save(out, "PNG", compress_level=1)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # opening a symbolic link would overwrite its target
        with open(path, "xb") as f:
            f.write(out.getbuffer())


def names(paths: Iterable[str]) -> list[str]:
    """Chooses a distinct .png file name for each of `paths`, relative to the folder of the overlays.

    Names that differ only in case or Unicode composition count as equal, because some file systems treat them so.
    """
    cleaned = ["/".join(part for part in path.split("/") if part not in ("", ".", "..")) for path in paths]
    taken = {_key(LEGEND)} | {_key(folder) for path in cleaned for folder in _folders(path)}
    counts: dict[str, int] = {}
    chosen = []
    for path in cleaned:
        stem, ending = posixpath.splitext(path)
        if ending.lower() not in endings():
            stem = path
        name = stem + ".png"
        while _key(name) in taken:
            counts[_key(stem)] = count = counts.get(_key(stem), 1) + 1
            name = f"{stem}-{count}.png"
        taken.add(_key(name))
        chosen.append(name)
    return chosen


def _folders(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:i]) for i in range(1, len(parts)))


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
