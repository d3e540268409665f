"""Features of the images of a data set, from the shards of an ingest or from the files themselves.

Both give the same rows. Loads Keras only when it is called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from components.base.errors import ImagegateError
from components.data import features, images, storage
from components.ingest import manifest, reuse
from components.ingest.counts.census import Images
from components.ingest.shards import Examined
from components.ingest.stored import index
from components.model.features.rows import Features
from components.model.features.settings import FeatureSettings

_READ = 1024  # records that are looked up in the shards at once


def of_shards(folder: str, found: Images, settings: FeatureSettings) -> Features:
    """Features of the images in the shards of an ingest.

    Args:
        folder: of the shards.
        found: their images.
        settings: the backbone.

    Raises:
        ConfigError: the backbone cannot be loaded.
        ImagegateError: the shards changed since ingest.
    """
    from components.model.features import backbone

    paths = found.paths(range(len(found.rows)))
    place = {path: i for i, path in enumerate(paths)}
    told = manifest.read(folder)
    digests = [row.tobytes() for row in found.rows["sha256"]]  # of the files, most of which are stored as they are
    # One that was left out has no place.
    changed = {place[path] for path in reuse.changed(folder) if path in place} if told.changed else set()
    for number, split in enumerate(told.counts):
        hexes = [digests[i].hex() for i in changed if found.rows["split"][i] == number]
        for path, content in _records(index.of_images(folder, split, hexes)):
            if place[path] in changed:
                digests[place[path]] = hashlib.sha256(content).digest()

    def encoded(indices: Sequence[int]) -> Iterator[bytes]:
        splits = list(told.counts)
        for start in range(0, len(indices), _READ):
            some = list(indices[start : start + _READ])
            content: dict[int, bytes] = {}
            for number, split in enumerate(splits):
                own = [i for i in some if found.rows["split"][i] == number]
                hexes = [found.rows["sha256"][i].tobytes().hex() for i in own]
                content |= {place[path]: one for path, one in _records(index.of_images(folder, split, hexes))}
            yield from (content[i] for i in some)

    def missing(indices: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        wanted = set(indices)
        for split, count in told.counts.items():  # in one pass, since these may be all
            for path, content in _records(index.numbered(folder, split, range(count))):
                if place[path] in wanted:
                    yield place[path], content

    return Features(backbone.of_images(settings, digests, missing), encoded, digests, settings.folder)


def _records(records: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yields the path and the encoded image of serialised examples."""
    import tensorflow as tf

    for record in records:
        told = tf.train.Example.FromString(record).features.feature
        path = told[features.PATH].bytes_list.value[0].decode("utf-8", "surrogateescape")
        yield path, told[features.IMAGE].bytes_list.value[0]


class Files:
    """Notes the images of a data set while they are examined, and computes features from their files afterwards.

    Args:
        root: folder or URL of the data set.
        max_pixels, bits: see `images.check`.
    """

    def __init__(self, root: str, max_pixels: int, bits: int | None) -> None:
        self._root, self._max_pixels, self._bits = root, max_pixels, bits
        self._digests: dict[str, tuple[bytes, bool]] = {}

    def note(self, item: Examined) -> None:
        """Notes an image, unless it cannot be used."""
        if item.image is not None:
            changed = bool(item.image.changed)
            digest = hashlib.sha256(item.image.encoded).digest() if changed else bytes.fromhex(item.sha256)
            self._digests[item.record.path] = digest, changed

    def features(self, found: Images, settings: FeatureSettings) -> Features:
        """Features of the images that were noted.

        Args:
            found: these images.
            settings: the backbone.

        Raises:
            ConfigError: the backbone cannot be loaded.
            ImagegateError: a file changed since it was noted.
        """
        from components.model.features import backbone

        paths = found.paths(range(len(found.rows)))

        def encoded(indices: Sequence[int]) -> Iterator[bytes]:
            return (self._encoded(paths[i]) for i in indices)

        digests = [self._digests[path][0] for path in paths]
        rows = backbone.of_images(settings, digests, lambda some: zip(some, encoded(some), strict=True))
        return Features(rows, encoded, digests, settings.folder)

    def _encoded(self, path: str) -> bytes:
        digest, changed = self._digests[path]
        try:
            data = storage.read(self._root, path)
            data = images.check(data, self._max_pixels, self._bits).encoded if changed else data
        except (OSError, images.BadImage) as error:
            raise ImagegateError(f"{path} cannot be read again: {error}") from None
        if hashlib.sha256(data).digest() != digest:
            raise ImagegateError(f"{path} changed while the data set was read; run again")
        return data
