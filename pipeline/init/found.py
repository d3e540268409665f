"""The contents of a data set: counted from all its images where that is quick, else estimated from a sample."""

from __future__ import annotations

import hashlib
import heapq
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from components.base import machine
from components.data import images as pictures
from components.data import storage
from components.data.dataset import SPLITS, Dataset, Record
from components.data.manifest import DatasetManifest
from components.data.mask_rules import Rule
from components.ingest import shards, splits
from components.ingest.counts import census
from pipeline.runs import check
from pipeline.terminal import output_to

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.terminal import Terminal

# What is decoded in about 12 s on two processors: 20 MB a second, and half a millisecond for each image besides.
_MOST_BYTES = 240_000_000
_MOST_REMOTE_BYTES = 20_000_000
_BYTES_PER_IMAGE = 10_000
_SAMPLE = 300  # images that are opened of a larger data set


@dataclass(frozen=True)
class Found:
    """The contents of a data set, as far as they were looked at.

    Attributes:
        config: how it was read.
        dataset: the listing.
        manifest: the counts; those of the splits are estimates unless all images were opened.
        images: a row for each image, or None unless all images were opened.
        sizes: width and height of the images that were opened, int [n, 2].
        deep: number of the opened images of 16 bits of which nothing states how many are in use.
        highest: the highest value of these.
        broken: path and reason of the opened files that cannot be used; of a sample only, else the manifest has them.
    """

    config: Config
    dataset: Dataset
    manifest: DatasetManifest
    images: census.Images | None
    sizes: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    deep: int = 0
    highest: int = 0
    broken: Sequence[tuple[str, str]] = ()

    @property
    def opened(self) -> int:
        """Number of images that were opened."""
        return len(self.sizes)


def find(config: Config, dataset: Dataset, rule: Rule | None, terminal: Terminal) -> Found:
    """Opens the images of a data set, or a sample of them, and counts.

    Args:
        config: how the data set is read.
        dataset, rule: see `data.read_dataset`.
        terminal: where progress is shown.
    """
    sizes: list[tuple[int, int]] = []
    deep: list[int] = []

    def measure(item: shards.Examined) -> None:
        if item.image is not None:
            sizes.append((item.image.width, item.image.height))
            deep.extend([item.image.highest] if item.image.highest else [])

    most = _MOST_REMOTE_BYTES if storage.is_url(dataset.root) else _MOST_BYTES
    images: census.Images | None = None
    report = census.Report()
    if _cost(dataset.records) <= most:
        manifest, images = check.examine(config, dataset, rule, terminal, measure)
        terminal.close()
    else:
        opened = sample(dataset.records, most // 4)
        job = _job(config, dataset, opened, rule)
        with output_to(os.devnull):
            for item in shards.examine(opened, job, pictures.opened):
                shards.enter(item, report)
                measure(item)
        manifest = _estimate(dataset, report, len(opened))
    return Found(
        config=config,
        dataset=dataset,
        manifest=manifest,
        images=images,
        sizes=np.array(sizes, np.int64).reshape(-1, 2),
        deep=len(deep),
        highest=max(deep, default=0),
        broken=tuple(report.quarantined),
    )


def _job(config: Config, dataset: Dataset, opened: tuple[Record, ...], rule: Rule | None) -> shards.Job:
    """How the sample is read."""
    threads, settings = machine.cores(), config.data
    if settings.arrays is not None:  # the sample says what most arrays have in common
        seen = replace(dataset, records=opened)
        return replace(shards.job(seen, settings.max_pixels, rule, bands=settings.arrays), moved={}, threads=threads)
    return shards.Job(dataset.root, dict(dataset.fractions), {}, settings.max_pixels, threads, rule, settings.bits)


def sample(records: Sequence[Record], most: int) -> tuple[Record, ...]:
    """Chooses images at random, but the same ones each time: those whose paths have the smallest hashes.

    Args:
        records: all images.
        most: largest cost of the sample, in bytes; one image is chosen in any case.
    """
    chosen: list[Record] = []
    for record in heapq.nsmallest(_SAMPLE, records, key=lambda r: _hash(r.path)):
        if chosen and _cost([*chosen, record]) > most:
            break
        chosen.append(record)
    return tuple(sorted(chosen, key=lambda r: r.path))


def _cost(records: Iterable[Record]) -> int:
    return sum((r.size + _BYTES_PER_IMAGE) * (2 if r.mask or r.regions else 1) for r in records)


def _hash(path: str) -> str:
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()


def _estimate(dataset: Dataset, opened: census.Report, count: int) -> DatasetManifest:
    """Counts the labels of all images from the listing; of masks, multiplies what the sample holds.

    The split of an image is that of the hash of its path: as large as by its content, which is not read.
    """
    total = census.Report(sizes=opened.sizes, changed=opened.changed, formats=opened.formats)
    total.paths = [record.path for record in dataset.records]
    rows = np.zeros(len(dataset.records), census.ROW)
    chosen = [r.split or splits.by_hash(splits.split_key(r, _hash(r.path)), dataset.fractions) for r in dataset.records]
    rows["split"] = [SPLITS.index(split) for split in chosen]
    total.rows = bytearray(rows.tobytes())
    total.label_sets.update((s, r.labels, r.unknown) for s, r in zip(chosen, dataset.records, strict=True))
    if opened.pixels:
        times = len(dataset.records) / max(1, count)
        total.label_sets.clear()
        total.label_sets.update({key: round(n * times) for key, n in opened.label_sets.items()})
        total.pixels = {
            split: [[round(n * times) for n in cell] for cell in cells] for split, cells in opened.pixels.items()
        }
    return census.merge(dataset, [total])[0]
