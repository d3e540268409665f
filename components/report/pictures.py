"""Thumbnails of images in the shards, as data URIs. They are decoded and encoded again, without any metadata."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from components.data import features, images
from components.data.arrays import composite, stored
from components.evaluation import predictions
from components.ingest import manifest
from components.ingest.stored import index

SIDE, MASK_SIDE = 112, 200  # pixels of the longer side
_QUALITY = 70
_CHUNK = 32  # images in memory
_BATCH = 8  # images that a model predicts at once

Identity = tuple[str, str]  # (path, sha256), as in the predictions


class Album:
    """Pictures without duplicates. Keys are digests of the pictures, so albums can be merged.

    Attributes:
        images: key -> data URI.
    """

    def __init__(self) -> None:
        self.images: dict[str, str] = {}

    def add(self, picture: Pillow.Image) -> str:
        """Adds a picture and returns its key."""
        out = io.BytesIO()
        picture.save(out, "WEBP", quality=_QUALITY)
        key = "i" + hashlib.sha256(out.getvalue()).hexdigest()[:16]
        self.images[key] = f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"
        return key


def records(folder: str, split: str, wanted: Collection[Identity]) -> Iterator[tuple[Identity, Any]]:
    """Yields (identity, features) of the images wanted, in the order of the shards; no other record is read.

    Raises:
        ImagegateError: one of their records is not as ingest wrote it.
    """
    import tensorflow as tf

    for record in index.of_images(folder, split, {sha256 for _, sha256 in wanted}):
        identity = predictions.identity(record)
        if identity in wanted:
            yield identity, tf.train.Example.FromString(record).features.feature


def small(encoded: bytes, side: int = SIDE, shown: Sequence[int] = (0,)) -> Pillow.Image:
    """A thumbnail in RGB without metadata; its longer side has at most `side` pixels.

    Tiny images are enlarged by a whole number. Of a stored array, the bands `shown` are drawn, see `composite.picture`.
    """
    if stored.is_stored(encoded):
        return fitted(Pillow.fromarray(composite.picture(stored.restored(encoded), shown)), side)
    with Pillow.open(io.BytesIO(encoded), formats=images.FORMATS) as image:
        image.draft("RGB", (2 * side, 2 * side))  # decodes a large JPEG at a fraction of its size
        rgb = image.convert("RGB")
    return fitted(rgb, side)


def fitted(rgb: Pillow.Image, side: int) -> Pillow.Image:
    """The picture with at most `side` pixels on its longer side; a tiny one is enlarged by a whole number."""
    factor = side // max(rgb.size)
    if factor > 1:
        rgb = rgb.resize((factor * rgb.width, factor * rgb.height), Pillow.Resampling.NEAREST)
    rgb.thumbnail((side, side))
    return Pillow.fromarray(np.asarray(rgb))


def reduced(
    folder: str, split: str, wanted: Collection[Identity], side: int = SIDE
) -> Iterator[tuple[Identity, Any, Pillow.Image]]:
    """Yields `records` together with the thumbnail of each."""

    told = manifest.read(folder).arrays if wanted else None
    shown = (0,) if told is None else told.shown

    def with_thumbnail(record: tuple[Identity, Any]) -> tuple[Identity, Any, Pillow.Image]:
        return *record, small(record[1][features.IMAGE].bytes_list.value[0], side, shown)

    iterator = records(folder, split, wanted)
    with ThreadPoolExecutor() as pool:  # the decoders release the interpreter lock
        for chunk in iter(lambda: list(itertools.islice(iterator, _CHUNK)), []):
            yield from pool.map(with_thumbnail, chunk)


def stored_mask(record: Any) -> NDArray[np.uint8]:
    """The true mask [h, w] from an image's features: indices of labels or `features.IGNORED_ID`."""
    with Pillow.open(io.BytesIO(record[features.MASK].bytes_list.value[0]), formats=("PNG",)) as mask:
        return np.asarray(mask.convert("L"))


def predicted_masks(model: str, encoded: Sequence[bytes]) -> list[NDArray[np.uint8]]:
    """The masks that a model predicts, [H, W] at the model's image size.

    Args:
        model: folder of the artifact.
        encoded: the images, as files.
    """
    import tensorflow as tf

    if not encoded:
        return []
    # The same as path_utils.serving_model_dir of TFX, which takes seconds to import.
    predict = tf.saved_model.load(os.path.join(model, "Format-Serving")).signatures["serving_default"]
    masks: list[NDArray[np.uint8]] = []
    for i in range(0, len(encoded), _BATCH):
        masks += list(predict(**_asked(encoded[i : i + _BATCH], predict))["mask"].numpy())
    return masks


def _asked(encoded: Sequence[bytes], signature: Any) -> dict[str, Any]:
    """The inputs of a model's signature for some images."""
    import tensorflow as tf

    if not stored.is_stored(encoded[0]):
        return {"image_bytes": tf.constant(encoded)}
    arrays = [stored.restored(one) for one in encoded]
    sequences = "days" in signature.structured_input_signature[1]
    inputs = stored.stacked(arrays, max(len(one.pixels) for one in arrays) if sequences else None)
    return {name: tf.constant(rows) for name, rows in inputs.items()}
