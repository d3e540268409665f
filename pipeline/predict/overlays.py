"""The files of `imagegate predict --overlay`: each image with its predicted mask over it, and a legend."""

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
from components.drawing import legend, overlay
from components.ingest.layouts.listing import ENDINGS
from pipeline.predict.inputs import Input

LEGEND = "legend.png"


class Overlays:
    """Where each image's overlay goes, and how it gets there. Makes the folder.

    Attributes:
        paths: of the overlays, in the order of the images.

    Raises:
        ConfigError: there can be no such folder, or an overlay would take the place of an image.
    """

    def __init__(self, folder: str, inputs: Sequence[Input]) -> None:
        if storage.is_url(folder):
            raise ConfigError(f"--overlay: {folder} is a URL; expected a folder of this machine")
        self._folder, self._explained = folder, False
        self._names = names([i.below for i in inputs])
        self.paths = [os.path.join(folder, name) for name in self._names]
        images = {os.path.realpath(i.name) for i in inputs if not storage.is_url(i.name)}
        for path in (*self.paths, os.path.join(folder, LEGEND)):
            if os.path.realpath(path) in images:
                raise ConfigError(f"--overlay: {path} is one of the images and would be lost; choose another folder")
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--overlay: {folder} cannot be made: {error.strerror}") from None

    def legend(self, labels: Sequence[str]) -> None:
        """Writes the legend, once. Raises ImagegateError: it cannot be written."""
        if self._explained:
            return
        try:
            self._write(LEGEND, legend.draw(labels, overlay.palette(len(labels))))
        except OSError as error:
            raise ImagegateError(f"{os.path.join(self._folder, LEGEND)} cannot be written: {error.strerror}") from None
        self._explained = True

    def draw(self, number: int, encoded: bytes, mask: NDArray[np.uint8], classes: int) -> str:
        """Writes the overlay of the image `number` and returns its path.

        Args:
            number: counted from 0.
            encoded: the image as the model got it: see `images.check`.
            mask: [h, w], of any size.
            classes: how many labels there are.

        Raises:
            OSError: it cannot be written.
        """
        with Image.open(io.BytesIO(encoded)) as image:
            self._write(self._names[number], overlay.draw(image, mask, overlay.palette(classes)))
        return self.paths[number]

    def _write(self, name: str, image: Image.Image) -> None:
        path = os.path.join(os.path.realpath(self._folder), *name.split("/"))
        folder = os.path.dirname(path)
        if os.path.realpath(folder) != folder:
            raise OSError(None, "a link leads out of the folder")
        os.makedirs(folder, exist_ok=True)
        out = io.BytesIO()
        image.save(out, "PNG", compress_level=1)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # a link would be written through
        with open(path, "xb") as f:
            f.write(out.getbuffer())


def names(paths: Iterable[str]) -> list[str]:
    """A name below the folder of the overlays for each of `paths`, ending in .png; no two are the same file.

    They differ by more than case and composition, which some file systems ignore.
    """
    whole = ["/".join(part for part in path.split("/") if part not in ("", ".", "..")) for path in paths]
    taken = {_same(LEGEND)} | {_same(folder) for path in whole for folder in _folders(path)}
    counts: dict[str, int] = {}
    chosen = []
    for path in whole:
        stem, ending = posixpath.splitext(path)
        if ending.lower() not in ENDINGS:
            stem = path
        name = stem + ".png"
        while _same(name) in taken:
            counts[_same(stem)] = count = counts.get(_same(stem), 1) + 1
            name = f"{stem}-{count}.png"
        taken.add(_same(name))
        chosen.append(name)
    return chosen


def _folders(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:i]) for i in range(1, len(parts)))


def _same(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
