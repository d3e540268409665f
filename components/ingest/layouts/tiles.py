"""Large scenes as records of their tiles: `scene.tif@0,512` for the tile with the top 0 and the left 512."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from components.data import images, storage
from components.data.arrays import heads, tiles
from components.data.arrays.spec import Bands
from components.data.dataset import Dataset, Record
from components.data.storage import bundles

_THREADS = 16  # of reading headers, which wait for the disk or the network


def tiled(dataset: Dataset, bands: Bands) -> Dataset:
    """The data set with a record for each tile; all tiles of a scene are one group, and so get the same split.

    A scene whose header cannot be read stays as it is: ingest quarantines it.

    Args:
        dataset: the listing.
        bands: with a tile.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        sizes = pool.map(lambda record: _size(dataset.root, record, bands), dataset.records)
        pairs = zip(dataset.records, sizes, strict=True)
        records = [tile for record, size in pairs for tile in _tiles(record, size, bands)]
    return replace(dataset, records=tuple(sorted(records, key=lambda record: record.path)))


def _tiles(record: Record, size: tiles.Size | None, bands: Bands) -> Iterator[Record]:
    if size is None or bands.tile is None:
        yield record
        return
    places = tiles.grid(size, bands.tile)
    for top, left in places:
        yield replace(
            record,
            path=f"{record.path}@{top},{left}",
            size=-(-record.size // len(places)),
            group=record.group or record.path,
            tile=(top, left),
        )


def _size(root: str, record: Record, bands: Bands) -> tiles.Size | None:
    """Height and width of a scene, as its header says; None if it cannot be read."""
    try:
        if storage.is_url(root) or storage.in_archive(root) or record.moments or bundles.find(record.path):
            content = storage.read(root, record.path, record.moments[:1])
            found = heads.head(bundles.unpacked(record.path, content)[0].content)
        else:
            with open(os.path.join(root, record.path), "rb") as file:
                found = heads.head_of(file)
        return heads.size(found, bands)
    except (OSError, images.BadImage):
        return None
