"""Data sets that were never on disk: what is said of each image, counted as ingest counts it."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.data import looks
from components.data.dataset import Dataset, Record
from components.data.images import Checked
from components.data.manifest import DatasetManifest
from components.data.mask_rules import rule
from components.data.masks import Mask
from components.ingest import splits
from components.ingest.counts import census, facts

PROPERTIES = (640.0, 480.0, 4 / 3, 0.5, 0.2, 0.01, 0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Seen:
    """One image. `pixels`: of each label in its mask, or () without one; `perceptual`: 256 bits as a number."""

    content: str
    split: str = "train"
    labels: tuple[str, ...] = ()
    path: str = ""
    unknown: tuple[str, ...] = ()
    weight: float = 1.0
    slices: tuple[tuple[str, str], ...] = ()
    pixels: tuple[int, ...] = ()
    ignored: int = 0
    mask: bytes = b""
    perceptual: int | None = None
    properties: tuple[float, ...] = PROPERTIES
    format: str = "png"
    changed: str = ""
    named: bool = False  # whether the data set says which split
    look: tuple[int, ...] = (0, 128, 0, 640, 480, 0, 0, 0)  # see `looks.LOOK`


def report(seen: Iterable[Seen], labels: Sequence[str]) -> census.Report:
    found = census.Report()
    for one in seen:
        words = None
        if one.perceptual is not None:
            words = np.array([one.perceptual >> (64 * i) & (1 << 64) - 1 for i in range(4)], np.uint64)
        width, height = map(int, one.properties[:2])
        image = Checked(b"", one.format, width, height, one.changed, one.properties, words)
        image = dataclasses.replace(image, look=np.array(one.look, looks.LOOK).tobytes())
        split = one.split if one.named else None
        record = Record(one.path or one.content, one.labels, split, 1, "", one.unknown, one.weight, slices=one.slices)
        mask = Mask(one.mask, one.pixels, one.ignored) if one.pixels else None
        meaning = rule(list(labels)) if one.pixels else None
        found.add(record, one.split, splits.digest(one.content.encode()), facts.of(image, mask), meaning)
    return found


def merged(seen: Iterable[Seen], labels: Sequence[str] = ("cat", "dog")) -> tuple[DatasetManifest, census.Images]:
    """The manifest and the images."""
    return census.merge(Dataset("", tuple(labels), (), {}), [report(seen, labels)])


def manifest(**fields: Any) -> DatasetManifest:
    """A manifest of which a test states what matters to it."""
    nothing: dict[str, Any] = {
        **{key: {} for key in ("counts", "label_counts", "unknown", "pixels", "unlabelled", "changed", "formats")},
        **{key: {} for key in ("slices", "sizes", "properties")},
        **dict.fromkeys(("labels", "quarantined", "contradictory", "ignored"), ()),
        "content": "",
    }
    return DatasetManifest(**nothing | fields)
