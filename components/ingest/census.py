"""What ingest counts while it looks at each image once: all that the data gate judges.

`Report` counts a shard, `merge` adds the shards up. Sums and histograms are exact whole numbers, so no order shows. Of
each image, only one `ROW` of `ROW.itemsize` bytes is kept (and its path, for people); every distinct set of labels is
kept once.
"""

from __future__ import annotations

import base64
import collections
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.base.artifact_files import IMAGE_PATHS, IMAGE_ROWS
from components.data import properties
from components.data.dataset import SPLITS, Dataset, Record
from components.data.images import Checked
from components.data.manifest import DatasetManifest, LeftOut, PropertyHistograms, Shard
from components.data.mask_rules import Rule
from components.data.masks import Mask

# sha256: of the file. perceptual: see `perceptual.perceptual_hash`; comparable: whether it says anything. truth: see
# `truth`. split: index in SPLITS; named: whether the data set says so, and not the content's hash.
ROW = np.dtype(
    [
        ("sha256", "<u8", 4),
        ("perceptual", "<u8", 4),
        ("truth", "<u8"),
        ("split", "u1"),
        ("named", "?"),
        ("comparable", "?"),
    ]
)

_ALL = ""  # the histogram of all images; no label is named so


def truth(labels: Sequence[str], unknown: Sequence[str], mask: str = "") -> int:
    """64 bits that tell what is said of an image: equal for equal labels and, where there is one, equal mask.

    Args:
        labels: names that apply, in the order of the data set's labels.
        unknown: names of which nobody said.
        mask: digest of the mask, or "".
    """
    digest = hashlib.sha256(repr((tuple(labels), tuple(unknown), mask)).encode()).digest()
    return int.from_bytes(digest[:8], "little")


@dataclass
class Report:
    """What became of a shard's records.

    Attributes:
        rows: `ROW`s of the images kept, as bytes.
        paths: theirs.
        quarantined: (path, reason).
        changed: reason -> images re-encoded for it.
        label_sets: (split, labels, unknown) -> images.
        pixels: split -> [label's pixels, pixels of the images it is in, ignored ones included] for each label, then
            of the ignored.
        formats: (format, split) -> images.
        slices: (column, value, split) -> images.
        sizes: [smallest, largest] width, then height; [] without any image.
        properties: (split, label) -> int64 [P, BINS], see `properties`; the label "" for all images of the split,
            single labels in train only.
        content: sum modulo 2^256 of a digest of everything but the path that a training can see of each image.
        files: one entry per file written: name, split, records, bytes, sha256.
    """

    rows: bytearray = field(default_factory=bytearray)
    paths: list[str] = field(default_factory=list)
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    changed: collections.Counter[str] = field(default_factory=collections.Counter)
    label_sets: collections.Counter[tuple[str, tuple[str, ...], tuple[str, ...]]] = field(
        default_factory=collections.Counter
    )
    pixels: dict[str, list[list[int]]] = field(default_factory=dict)
    formats: collections.Counter[tuple[str, str]] = field(default_factory=collections.Counter)
    slices: collections.Counter[tuple[str, str, str]] = field(default_factory=collections.Counter)
    sizes: list[list[int]] = field(default_factory=list)
    properties: dict[tuple[str, str], NDArray[np.int64]] = field(default_factory=dict)
    content: int = 0
    files: list[Shard] = field(default_factory=list)

    def reject(self, path: str, reason: str) -> None:
        """Counts a file that goes to quarantine."""
        self.quarantined.append((path, reason))

    def add(
        self, record: Record, split: str, sha256: str, image: Checked, mask: Mask | None, rule: Rule | None
    ) -> None:
        """Counts an image that is kept, with its mask where the task has masks."""
        labels, digest = record.labels, ""
        if mask is not None and rule is not None:
            labels = tuple(name for name, n in zip(rule.labels, mask.pixels, strict=True) if n)
            digest = hashlib.sha256(mask.encoded).hexdigest()
            self._add_pixels(split, [*mask.pixels, mask.ignored])
        self.paths.append(record.path)
        words = np.frombuffer(bytes.fromhex(sha256), "<u8")
        comparable = image.perceptual is not None
        row = (words, image.perceptual if comparable else 0, truth(labels, record.unknown, digest))
        flags = (SPLITS.index(split), record.split is not None, comparable)
        self.rows += np.array((*row, *flags), ROW).tobytes()
        self.label_sets[split, labels, record.unknown] += 1
        self.formats[image.format, split] += 1
        for column, value in record.slices:
            self.slices[column, value, split] += 1
        sizes = [[image.width, image.width], [image.height, image.height]]
        self.sizes = _wider(self.sizes, sizes)
        if image.changed:
            self.changed[image.changed] += 1
        self._add_properties(split, labels, image)
        seen = repr((sha256, split, labels, record.unknown, record.weight, record.slices, digest))
        self.content = _sum(self.content, int.from_bytes(hashlib.sha256(seen.encode()).digest(), "big"))

    def _add_pixels(self, split: str, pixels: list[int]) -> None:
        known, total = sum(pixels[:-1]), sum(pixels)
        sums = self.pixels.setdefault(split, [[0, 0, 0] for _ in pixels])
        for cell, own in zip(sums, pixels, strict=True):
            if own:
                cell[0] += own
                cell[1] += known
                cell[2] += total

    def _add_properties(self, split: str, labels: Sequence[str], image: Checked) -> None:
        bins = properties.bins(image.properties)
        for label in (_ALL, *(labels if split == "train" else ())):
            histograms = self.properties.get((split, label))
            if histograms is None:
                histograms = self.properties[split, label] = np.zeros(
                    (len(properties.NAMES), properties.BINS), np.int64
                )
            for histogram, i in zip(histograms, bins, strict=True):
                histogram[i] += 1

    def include(self, other: Report) -> None:
        """Adds everything that `other` counted, but for `files`."""
        self.rows += other.rows
        self.paths += other.paths
        self.quarantined += other.quarantined
        self.changed.update(other.changed)
        self.label_sets.update(other.label_sets)
        self.formats.update(other.formats)
        self.slices.update(other.slices)
        self.sizes = _wider(self.sizes, other.sizes)
        self.content = _sum(self.content, other.content)
        for split, cells in other.pixels.items():
            sums = self.pixels.setdefault(split, [[0, 0, 0] for _ in cells])
            self.pixels[split] = [[a + b for a, b in zip(*pair, strict=True)] for pair in zip(sums, cells, strict=True)]
        for key, histograms in other.properties.items():
            self.properties[key] = self.properties.get(key, np.zeros_like(histograms)) + histograms

    def to_json(self) -> str:
        """One line; see `from_json`."""
        plain = vars(self) | {
            "rows": base64.b64encode(self.rows).decode(),
            "label_sets": list(self.label_sets.items()),
            "formats": list(self.formats.items()),
            "slices": list(self.slices.items()),
            "properties": [(key, _sparse(found)) for key, found in self.properties.items()],
            "files": [vars(file) for file in self.files],
        }
        return json.dumps(plain)

    @staticmethod
    def from_json(line: str) -> Report:
        """What `to_json` wrote."""
        plain = json.loads(line)
        counters = {
            name: collections.Counter({tupled(key): n for key, n in plain[name]})
            for name in ("label_sets", "formats", "slices")
        }
        converted = {
            "rows": bytearray(base64.b64decode(plain["rows"])),
            "changed": collections.Counter(plain["changed"]),
            "quarantined": [tupled(q) for q in plain["quarantined"]],
            "properties": {tupled(key): dense(found) for key, found in plain["properties"]},
            "files": [Shard(**file) for file in plain["files"]],
        }
        return Report(**plain | counters | converted)


def _wider(one: list[list[int]], other: list[list[int]]) -> list[list[int]]:
    if not one or not other:
        return one or other
    return [[min(a[0], b[0]), max(a[1], b[1])] for a, b in zip(one, other, strict=True)]


def _sum(a: int, b: int) -> int:
    """Digest of a set from digests of its members, in any order; Bellare & Micciancio, EUROCRYPT 1997, AdHash."""
    return (a + b) % (1 << 256)


def tupled(value: Any) -> Any:
    """JSON turns tuples into lists; back again, at any depth."""
    return tuple(map(tupled, value)) if isinstance(value, list) else value


def _sparse(histograms: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """{property: {bin: images}}, empty bins left out."""
    return {
        name: {str(i): int(histogram[i]) for i in np.flatnonzero(histogram)}
        for name, histogram in zip(properties.NAMES, histograms, strict=True)
    }


def dense(sparse: Mapping[str, Mapping[str, int]]) -> NDArray[np.int64]:
    """int64 [P, BINS], in the order of `properties.NAMES`, of what the manifest holds of an image property."""
    histograms = np.zeros((len(properties.NAMES), properties.BINS), np.int64)
    for histogram, name in zip(histograms, properties.NAMES, strict=True):
        for i, n in sparse.get(name, {}).items():
            histogram[int(i)] = n
    return histograms


@dataclass(frozen=True)
class Images:
    """What is kept of each image.

    Attributes:
        rows: `ROW` [n].
        folder: where their paths are written, or "" where `listed` has them.
        listed: the paths.
    """

    rows: NDArray[np.void]
    folder: str = ""
    listed: Sequence[str] = ()

    def paths(self, indices: Iterable[int]) -> list[str]:
        """Where these images are, for people; the file is read through once."""
        wanted = list(indices)
        if not self.folder:
            return [self.listed[i] for i in wanted]
        lines = set(wanted)
        with open(os.path.join(self.folder, IMAGE_PATHS), encoding="ascii") as f:
            found = {i: json.loads(line) for i, line in enumerate(f) if i in lines}
        return [found[i] for i in wanted]

    def write(self, folder: str) -> None:
        """Puts rows and paths beside the shards."""
        np.save(os.path.join(folder, IMAGE_ROWS), self.rows, allow_pickle=False)
        with open(os.path.join(folder, IMAGE_PATHS), "w", encoding="ascii") as f:
            f.writelines(f"{json.dumps(path)}\n" for path in self.listed)

    @staticmethod
    def read(folder: str) -> Images:
        """What `write` put there."""
        return Images(np.load(os.path.join(folder, IMAGE_ROWS), allow_pickle=False), folder)


def merge(dataset: Dataset, reports: Iterable[Report]) -> tuple[DatasetManifest, Images]:
    """Adds the reports of all shards up to the data set's manifest and its images; their order does not matter."""
    total = Report()
    files = []
    for report in reports:
        total.include(report)
        files += report.files
    # However they were dealt to shards, of several equal files always the same one is named first.
    order = sorted(range(len(total.paths)), key=total.paths.__getitem__)
    rows, paths = np.frombuffer(bytes(total.rows), ROW)[order], [total.paths[i] for i in order]
    counts, unknown = _empty(dataset.labels), _empty(dataset.labels)
    unlabelled = dict.fromkeys(SPLITS, 0)
    for (split, labels, unsaid), n in total.label_sets.items():
        for name in labels:
            counts[name][split] += n
        for name in unsaid:
            unknown[name][split] += n
        unlabelled[split] += n * (not labels if total.pixels else len(unsaid) == len(dataset.labels))
    manifest = DatasetManifest(
        labels=dataset.labels,
        counts={split: int((rows["split"] == i).sum()) for i, split in enumerate(SPLITS)},
        label_counts=counts,
        unknown=unknown,
        unlabelled=unlabelled,
        label_sets=sorted((*key, n) for key, n in total.label_sets.items()),
        pixels=total.pixels,
        quarantined=_left_out(sorted([*dataset.rejected, *total.quarantined])),
        contradictory=_left_out(dataset.contradictory),
        ignored=dataset.ignored,
        changed=dict(sorted(total.changed.items())),
        formats=_nested(total.formats),
        slices={
            column: _nested({(v, s): n for (c, v, s), n in total.slices.items() if c == column})
            for column in sorted({column for column, _, _ in total.slices})
        },
        sizes=dict(zip(("width", "height"), total.sizes, strict=False)),
        properties={split: _properties(total, split) for split in SPLITS},
        files=sorted(files, key=lambda f: f.name),
        content=f"{total.content:064x}",
    )
    return manifest, Images(rows, listed=paths)


def _empty(labels: Sequence[str]) -> dict[str, dict[str, int]]:
    return {label: dict.fromkeys(SPLITS, 0) for label in labels}


def _nested(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (value, split), n in sorted(counts.items()):
        found.setdefault(value, dict.fromkeys(SPLITS, 0))[split] = n
    return found


def _left_out(files: Iterable[tuple[str, str]]) -> tuple[LeftOut, ...]:
    return tuple(LeftOut(path=path, reason=reason) for path, reason in files)


def _properties(total: Report, split: str) -> PropertyHistograms:
    found = {label: _sparse(h) for (s, label), h in sorted(total.properties.items()) if s == split}
    return PropertyHistograms(all=found.pop(_ALL, {}), labels=found)
