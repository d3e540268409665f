"""Computes the features of encoded images with a frozen backbone, or takes them from the store that the Trainer uses.

Training and this module share the key of the store, so that neither computes what the other did.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.base import fingerprint, machine, progress
from components.base.errors import ImagegateError
from components.data import images
from components.data.manifest import ArrayFacts
from components.labels import kinds
from components.model.features.feature_store import FeatureStore
from components.model.features.settings import FeatureSettings
from components.model.networks import network

_BATCH = 32
_READ = 512  # encoded images in memory
_WARM = 1  # batches before the first that is timed, in which TensorFlow builds the graph
_TIMED = 2  # batches from which the time of all others is estimated
_PART = 2048  # images whose features are stored together
_THREADS = machine.cores()


def of_images(
    settings: FeatureSettings,
    digests: Sequence[bytes],
    encoded: Callable[[Sequence[int]], Iterable[tuple[int, bytes]]],
) -> NDArray[np.float32]:
    """Returns the features of all images, and stores those that had to be computed.

    Args:
        settings: the backbone and where features are kept.
        digests: of the encoded images, see `feature_store.digest`.
        encoded: indices -> these and their encoded images, in any order.

    Returns:
        float32 [n, F].

    Raises:
        ConfigError: the backbone cannot be loaded, or its weights are missing and cannot be fetched.
        ImagegateError: features are not finite.
    """
    with policy(settings.mixed_precision):
        # The head is not used: its labels only complete the network.
        extractor = network.build(
            settings.backbone,
            weights=settings.weights,
            image_size=settings.image_size,
            classes=2,
            augment=False,
            seed=0,
            kind=next(kind for kind in kinds.KINDS.values() if not kind.per_pixel),
        ).extractor
        found = FeatureStore(settings.folder, key(extractor, settings.backbone, settings.image_size))
        known = found.read(set(digests))
        first = {digest: i for i, digest in reversed(list(enumerate(digests))) if digest not in known}
        missing = sorted(first.values())
        rows = _computed(extractor, settings.image_size, len(missing), encoded(missing))
        for part in iter(lambda: list(itertools.islice(rows, _PART)), []):  # what a killed run computed stays
            new = {digests[i]: row for i, row in part}
            _require_finite(list(new.values()), settings.backbone)
            found.add(new)
            known |= new
    if not len(digests):
        return np.empty((0, extractor.output_shape[-1]), np.float32)
    return _require_finite([known[digest] for digest in digests], settings.backbone)


def _require_finite(rows: Sequence[NDArray[np.float32]], name: str) -> NDArray[np.float32]:
    """Returns the rows [n, F]; one that is not finite would make every comparison of features useless."""
    features = np.stack(rows)
    if broken := int(np.count_nonzero(~np.isfinite(features).all(axis=1))):
        raise ImagegateError(
            f"training.backbone: {name} gives features that are no finite numbers for {broken:,} of "
            f"{len(features):,} images; set training.mixed_precision to false, or take another backbone"
        )
    return features


def _computed(
    extractor: keras.Model, size: tuple[int, int], count: int, encoded: Iterable[tuple[int, bytes]]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yields the index and the features of each image."""
    if not count:
        return

    def features_of(pixels: tf.Tensor) -> tf.Tensor:
        return tf.cast(extractor(tf.cast(pixels, tf.float32), training=False), tf.float32)

    extract = tf.function(features_of, reduce_retracing=True)
    done, started = 0, 0.0
    for number, (indices, pixels) in enumerate(_batches(encoded, size)):
        yield from zip(indices, extract(pixels).numpy(), strict=True)
        done += len(pixels)
        if number + 1 == _WARM:
            started = time.monotonic()
        elif number + 1 == _WARM + _TIMED:
            seconds = (time.monotonic() - started) / (_TIMED * _BATCH) * count
            progress.announce(f"computing features of {count:,} images takes about {_duration(seconds)}")
        progress.report("features", done, count)


def _batches(encoded: Iterable[tuple[int, bytes]], size: tuple[int, int]) -> Iterator[tuple[list[int], tf.Tensor]]:
    """Decodes images, with their indices; a generator of tf.data would hide the errors of those who read them."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def decoded(one: tf.Tensor) -> tf.Tensor:  # traced once
        return images.decode(one, size)

    rest = iter(encoded)
    while some := list(itertools.islice(rest, _READ)):
        # Of a list, tf.data first writes all bytes into the text of an error that it drops.
        data = tf.data.Dataset.from_tensor_slices(tf.constant([one for _, one in some]))
        indices = iter([i for i, _ in some])
        for pixels in data.map(decoded, _THREADS).batch(_BATCH).prefetch(1):
            yield list(itertools.islice(indices, len(pixels))), pixels


def _duration(seconds: float) -> str:
    """Rounds a time for people.

    >>> _duration(3.2), _duration(41), _duration(400), _duration(9000)
    ('5 s', '40 s', '7 min', '2.5 h')
    """
    if seconds < 120:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def key(extractor: keras.Model, source: str, image_size: tuple[int, int], arrays: ArrayFacts | None = None) -> str:
    """Names what the features of an image depend on besides the image, under the dtype policy of now.

    Args:
        extractor: see `network.Parts`.
        source: name of the network, the digest of the code that builds it, or the absolute path of its file, which says
            nothing that the weights do not.
        image_size: height and width in pixels.
        arrays: what the arrays have in common; None for photos.
    """
    told = hashlib.sha256()
    source = "" if os.path.isabs(source) else source
    code = [fingerprint.code(module) for module in ("components.data.images", "components.model.networks.network")]
    told.update(json.dumps([source, image_size, keras.config.dtype_policy().name, code]).encode())
    if arrays is not None:
        of_arrays = fingerprint.code("components.model.networks.bands.pretrained"), arrays.bands, arrays.dtype
        told.update(json.dumps([*of_arrays, arrays.mean, arrays.deviation]).encode())
    for variable in extractor.variables:
        told.update(str(variable.shape).encode())
        told.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
    return told.hexdigest()[:32]


@contextlib.contextmanager
def policy(mixed_precision: str | bool) -> Iterator[int]:
    """Sets the arithmetic of Keras until the block ends; yields the number of GPUs, which then allocate as needed."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_policy(mixed_precision, len(gpus)))
    try:
        yield len(gpus)
    finally:
        keras.config.set_dtype_policy(before)


def _policy(mixed_precision: str | bool, gpus: int) -> str:
    """Chooses the dtype policy: bfloat16, which needs no loss scaling, or float16 before compute capability 8."""
    if not gpus or mixed_precision is False:
        return "float32"
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    major = details.get("compute_capability", (0, 0))[0]
    if major >= 8:
        return "mixed_bfloat16"
    return "mixed_float16" if major >= 7 or mixed_precision is True else "float32"
