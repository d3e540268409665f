"""Large scenes as records of their tiles: `scene.tif@0,512` for the tile with the top 0 and the left 512."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from components.data import images, storage
from components.data.arrays import heads, reading, tiles
from components.data.arrays.spec import Bands
from components.data.dataset import Dataset, Record, by_path
from components.data.storage import bundles

_THREADS = 4  # of reading headers, which wait for the disk or the network


def tiled(dataset: Dataset, bands: Bands, max_pixels: int) -> Dataset:
    """The data set with a record for each tile.

    A scene that is too large, or whose header cannot be read, stays as it is: ingest quarantines it.

    Args:
        dataset: the listing.
        bands: with a tile.
        max_pixels: see `reading.read`.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        sizes = pool.map(lambda record: _size(dataset.root, record, bands, max_pixels), dataset.records)
        pairs = zip(dataset.records, sizes, strict=True)
        records = by_path(tile for record, size in pairs for tile in _tiles(record, size, bands))
    return replace(dataset, records=records)


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
            tile=(top, left),
        )


def _size(root: str, record: Record, bands: Bands, max_pixels: int) -> tiles.Size | None:
    """Height and width of a scene, as its header says; None if it cannot be read."""
    if record.size > images.max_file_bytes(max_pixels):
        return None
    try:
        if storage.is_url(root) or storage.in_archive(root) or record.moments or bundles.find(record.path):
            content = storage.read(root, record.path, record.moments[:1])
            found = heads.head(bundles.unpacked(record.path, content)[0].content)
        else:
            with open(os.path.join(root, record.path), "rb") as file:
                found = heads.head_of(file)
        height, width = heads.size(found, bands)
        return (height, width) if height * width <= reading.PER_PIXEL * max_pixels else None
    except (OSError, images.BadImage):
        return None
