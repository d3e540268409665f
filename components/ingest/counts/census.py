"""Counts everything that the data gate needs while ingest reads each image once.

`Report` counts a shard, and `merge` adds the shards up. Sums and histograms are integers, so their order does not
matter. For each image, only its path and one `ROW` are kept; every distinct set of labels is kept once.
"""

from __future__ import annotations

import base64
import collections
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.base.artifact_files import IMAGE_PATHS, IMAGE_ROWS
from components.base.compact import scratch
from components.base.compact.places import Places
from components.data import duplicates, looks, perceptual, properties
from components.data.arrays.moments import Moments
from components.data.dataset import SPLITS, UNLABELLED, Dataset, Record
from components.data.manifest import DatasetManifest, LeftOut, PropertyHistograms, Shard
from components.data.mask_rules import Rule
from components.ingest.counts import facts, observed
from components.ingest.counts.facts import Facts

# sha256: digest of the file. perceptual: see `perceptual.perceptual_hash`; comparable: whether that is meaningful.
# truth: see `truth`. split: index in SPLITS, or behind them for UNLABELLED. named: whether the data set names the
# split, rather than the hash. The other fields are those of `looks.LOOK`.
ROW = np.dtype(
    [
        ("sha256", "<u8", 4),
        ("perceptual", "<u8", 4),
        ("truth", "<u8"),
        ("split", "u1"),
        ("named", "?"),
        ("comparable", "?"),
        *looks.LOOK.descr,
    ]
)
_HEAD = np.dtype(ROW.descr[: -len(looks.LOOK.descr)])

# Of a record in its shard. length: bytes. digest: the first 128 bits of its SHA-256.
STORED = np.dtype([("length", "<u4"), ("digest", "<u8", 2)])

_PLACES = (*SPLITS, UNLABELLED)
_NAMED = 5  # files that a remark names
_CHUNK = 1 << 16  # rows
_ALL = ""  # key of the histogram of all images; no label has an empty name


def truth(labels: Sequence[str], unknown: Sequence[str], mask: str = "") -> int:
    """Hashes the labels of an image, and its mask if it has one, to 64 bits.

    >>> truth(["cat"], []) == truth(["cat"], [])
    True
    >>> truth(["cat"], []) == truth(["cat"], ["dog"])  # here it is unknown whether dog applies
    False

    Args:
        labels: labels that apply, in the order of the data set's labels.
        unknown: labels of which it is unknown whether they apply.
        mask: digest of the mask, or "".
    """
    digest = hashlib.sha256(repr((tuple(labels), tuple(unknown), mask)).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def entry_of(record: bytes) -> bytes:
    """What the index keeps of a record of a shard: its length in four bytes, and half of its SHA-256."""
    return struct.pack("<I", len(record)) + hashlib.sha256(record).digest()[:16]


@dataclass
class Report:
    """Counts of a shard's records.

    Attributes:
        rows: `ROW`s of the images kept, as bytes.
        paths: paths of the same images.
        quarantined: (path, reason).
        changed: reason -> images that were re-encoded for it.
        remarks: remark -> (images, the first paths of them); see `Checked.remarks` and `Mask.remarks`.
        deep: [images of 16 bits of which it is not known how many are in use, their highest value].
        label_sets: (split, labels, unknown) -> images.
        pixels: split -> for each label, and at last for the ignored pixels: [its pixels, known pixels of the images
            that it is in, all pixels of these images].
        formats: (format, split) -> images.
        slices: (column, value, split) -> images.
        sizes: [smallest, largest] width, then height; [] without images.
        properties: (split, label) -> int64 [P, BINS], see `properties`; the label "" for all images of the split;
            other labels for train only.
        content: sum modulo 2^256 of a digest per image, of everything that training can see but the path.
        files: one entry per file written: name, split, records, bytes, sha256.
        bands: float64 [5, B] of each array kept, as bytes; see `moments.Moments`. Empty for photos.
        stored: `STORED` of the records of the images kept, as bytes; empty if no shard was written.
        digests: path -> digest of the content of every file, also of those quarantined; see `ledger.digest`.
        facts: a line for each image kept, see `facts.line`.
        reused: how many images were known from an earlier ingest, and not read again.
    """

    rows: bytearray = field(default_factory=bytearray)
    paths: list[str] = field(default_factory=list)
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    changed: collections.Counter[str] = field(default_factory=collections.Counter)
    remarks: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    deep: list[int] = field(default_factory=lambda: [0, 0])
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
    bands: bytearray = field(default_factory=bytearray)
    stored: bytearray = field(default_factory=bytearray)
    digests: dict[str, str] = field(default_factory=dict)
    facts: bytearray = field(default_factory=bytearray)
    reused: int = 0

    def reject(self, path: str, reason: str) -> None:
        """Counts a quarantined file."""
        self.quarantined.append((path, reason))

    def store(self, entry: bytes) -> None:
        """Enters the record of the image that was added last; see `entry_of`."""
        self.stored += entry

    def leave_out(self, path: str, what: str) -> None:
        """Counts a tile that is left out for what it lacks."""
        self._remark(what, 1, [path])

    def add(self, record: Record, split: str, sha256: str, known: Facts, rule: Rule | None) -> None:
        """Counts an image that is kept; `rule` is that of its mask, if the task has masks."""
        labels = record.labels
        if known.pixels and rule is not None:
            labels = tuple(name for name, n in zip(rule.labels, known.pixels[:-1], strict=True) if n)
            self._add_pixels(split, known.pixels)
        self.paths.append(record.path)
        words, comparable = np.frombuffer(bytes.fromhex(sha256), "<u8"), bool(known.perceptual)
        hashed = np.frombuffer(known.perceptual, "<u8") if comparable else 0
        row = (words, hashed, truth(labels, record.unknown, known.mask))
        flags = (_PLACES.index(split), record.split is not None, comparable)
        self.rows += np.array((*row, *flags), _HEAD).tobytes() + known.look
        self.bands += known.moments
        self.facts += facts.line(known)
        self.label_sets[split, labels, record.unknown] += 1
        self.formats[known.format, split] += 1
        for column, value in record.slices:
            self.slices[column, value, split] += 1
        self.sizes = _wider(self.sizes, [[known.width, known.width], [known.height, known.height]])
        if known.changed:
            self.changed[known.changed] += 1
        for remark in known.remarks:
            self._remark(remark, 1, [record.path])
        if known.highest:
            self.deep = [self.deep[0] + 1, max(self.deep[1], known.highest)]
        self._add_properties(split, labels, known.bins)
        seen = repr((sha256, split, labels, record.unknown, record.weight, record.slices, known.mask))
        self.content = _sum(self.content, int.from_bytes(hashlib.sha256(seen.encode()).digest(), "big"))

    def known(self) -> list[tuple[str, Facts]]:
        """The digest of the file, in hexadecimal, and the facts of each image kept, in order.

        Raises:
            ValueError: the report is damaged.
        """
        rows, lines = np.frombuffer(bytes(self.rows), ROW), bytes(self.facts).splitlines()
        moments = len(self.bands) // max(1, len(rows))
        own = (bytes(self.bands[i * moments : (i + 1) * moments]) for i in range(len(rows)))
        return [facts_of(*told) for told in zip(rows, lines, own, strict=True)]

    def splits(self) -> dict[str, str]:
        """Path -> split of the images kept, in order."""
        indices = np.frombuffer(bytes(self.rows), ROW)["split"].tolist()
        return {path: _PLACES[i] for path, i in zip(self.paths, indices, strict=True)}

    def moments_of(self, split: str) -> list[Moments]:
        """Sums over the valid pixels of each band, of every array of a split; empty for photos."""
        if not self.bands:
            return []
        each = np.frombuffer(bytes(self.bands), "<f8").reshape(len(self.paths), len(Moments._fields), -1)
        places = np.frombuffer(bytes(self.rows), ROW)["split"] == _PLACES.index(split)
        return [Moments(*one) for one in each[places]]

    def _remark(self, remark: str, images: int, paths: Sequence[str]) -> None:
        count, known = self.remarks.get(remark, (0, []))
        self.remarks[remark] = (count + images, sorted([*known, *paths])[:_NAMED])

    def _add_pixels(self, split: str, pixels: Sequence[int]) -> None:
        known, total = sum(pixels[:-1]), sum(pixels)
        sums = self.pixels.setdefault(split, [[0, 0, 0] for _ in pixels])
        for cell, own in zip(sums, pixels, strict=True):
            if own:
                cell[0] += own
                cell[1] += known
                cell[2] += total

    def _add_properties(self, split: str, labels: Sequence[str], bins: Sequence[int]) -> None:
        for label in (_ALL, *(labels if split == "train" else ())):
            histograms = self.properties.get((split, label))
            if histograms is None:
                histograms = self.properties[split, label] = np.zeros(
                    (len(properties.NAMES), properties.BINS), np.int64
                )
            for histogram, i in zip(histograms, bins, strict=True):
                histogram[i] += 1

    def include(self, other: Report) -> None:
        """Adds the counts of another report, but neither its files nor what it tells of each image kept."""
        self.quarantined += other.quarantined
        self.reused += other.reused
        self.changed.update(other.changed)
        for remark, (images, paths) in other.remarks.items():
            self._remark(remark, images, paths)
        self.deep = [self.deep[0] + other.deep[0], max(self.deep[1], other.deep[1])]
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

    def replace(self, before: Report, after: Report) -> None:
        """Counts images in another split: subtracts `before`, adds `after`; rows, paths and sizes stay as they are."""
        for name in ("label_sets", "formats", "slices"):
            counter: collections.Counter[Any] = getattr(self, name)
            counter.subtract(getattr(before, name))
            counter.update(getattr(after, name))
            setattr(self, name, +counter)  # without the zeros
        self.content = _sum(self.content, after.content - before.content)
        for cells, sign in ((before.pixels, -1), (after.pixels, 1)):
            for split, added in cells.items():
                sums = self.pixels.setdefault(split, [[0, 0, 0] for _ in added])
                pairs = zip(sums, added, strict=True)
                self.pixels[split] = [[a + sign * b for a, b in zip(*pair, strict=True)] for pair in pairs]
        self.pixels = {split: cells for split, cells in self.pixels.items() if any(map(any, cells))}
        for histograms, sign in ((before.properties, -1), (after.properties, 1)):
            for key, counts in histograms.items():
                self.properties[key] = self.properties.get(key, np.zeros_like(counts)) + sign * counts
        self.properties = {key: counts for key, counts in self.properties.items() if counts.any()}

    def to_json(self) -> str:
        """Serialises the report to one line, equal ones to equal lines; see `from_json`."""
        plain = vars(self) | {
            "rows": base64.b64encode(self.rows).decode(),
            "bands": base64.b64encode(self.bands).decode(),
            "stored": base64.b64encode(self.stored).decode(),
            "facts": self.facts.decode("ascii").splitlines(),
            "label_sets": sorted(self.label_sets.items()),
            "formats": sorted(self.formats.items()),
            "slices": sorted(self.slices.items()),
            "properties": [(key, _sparse(self.properties[key])) for key in sorted(self.properties)],
            "files": [vars(file) for file in sorted(self.files, key=lambda file: file.name)],
        }
        return json.dumps(plain, sort_keys=True)

    @staticmethod
    def from_json(line: str) -> Report:
        """Parses a line of `to_json`."""
        plain = json.loads(line)
        counters = {
            name: collections.Counter({tupled(key): n for key, n in plain[name]})
            for name in ("label_sets", "formats", "slices")
        }
        converted = {
            "rows": bytearray(base64.b64decode(plain["rows"])),
            "bands": bytearray(base64.b64decode(plain["bands"])),
            "stored": bytearray(base64.b64decode(plain["stored"])),
            "facts": bytearray("".join(f"{line}\n" for line in plain["facts"]).encode("ascii")),
            "changed": collections.Counter(plain["changed"]),
            "remarks": {remark: (images, paths) for remark, (images, paths) in plain["remarks"].items()},
            "quarantined": [tupled(q) for q in plain["quarantined"]],
            "properties": {tupled(key): dense(sparse) for key, sparse in plain["properties"]},
            "files": [Shard(**file) for file in plain["files"]],
        }
        return Report(**plain | counters | converted)


def facts_of(row: np.void, line: bytes, moments: bytes) -> tuple[str, Facts]:
    """The digest of the file, in hexadecimal, and the facts of an image that was kept.

    Args:
        row: its `ROW`.
        line: see `facts.line`.
        moments: see `Facts.moments`.

    Raises:
        ValueError: the line is damaged.
    """
    perceptual = row["perceptual"].tobytes() if row["comparable"] else b""
    look = row.tobytes()[-looks.LOOK.itemsize :]
    return row["sha256"].tobytes().hex(), facts.parsed(line, look, perceptual, moments)


class Kept:
    """Reports that are gone through several times, compressed, without facts: about 90 bytes for each image."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def append(self, report: Report) -> None:
        """Adds a report, which is empty afterwards."""
        report.facts.clear()
        self._lines.append(zlib.compress(report.to_json().encode("ascii"), 1))
        vars(report).update(vars(Report()))

    def __iter__(self) -> Iterator[Report]:
        return (Report.from_json(zlib.decompress(line).decode("ascii")) for line in self._lines)

    def __setitem__(self, number: int, report: Report) -> None:
        self._lines[number] = zlib.compress(report.to_json().encode("ascii"), 1)


def _wider(one: list[list[int]], other: list[list[int]]) -> list[list[int]]:
    if not one or not other:
        return one or other
    return [[min(a[0], b[0]), max(a[1], b[1])] for a, b in zip(one, other, strict=True)]


def _sum(a: int, b: int) -> int:
    """Adds digests modulo 2^256, which gives a digest of a set (AdHash; Bellare & Micciancio, EUROCRYPT 1997)."""
    return (a + b) % (1 << 256)


def tupled(value: Any) -> Any:
    """Turns lists, as JSON has them, back into tuples, at any depth.

    >>> tupled(["train", ["cat", "dog"], 3])
    ('train', ('cat', 'dog'), 3)
    """
    return tuple(map(tupled, value)) if isinstance(value, list) else value


def _sparse(histograms: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Turns histograms into {property: {bin: images}} without empty bins; see `dense`."""
    return {
        name: {str(i): int(histogram[i]) for i in np.flatnonzero(histogram)}
        for name, histogram in zip(properties.NAMES, histograms, strict=True)
    }


def dense(sparse: Mapping[str, Mapping[str, int]]) -> NDArray[np.int64]:
    """Turns the manifest's histograms of image properties into int64 [P, BINS], in the order of `properties.NAMES`."""
    histograms = np.zeros((len(properties.NAMES), properties.BINS), np.int64)
    for histogram, name in zip(histograms, properties.NAMES, strict=True):
        for i, n in sparse.get(name, {}).items():
            histogram[int(i)] = n
    return histograms


@dataclass(frozen=True)
class Images:
    """A row for each image, and its path.

    Attributes:
        rows: `ROW` [n].
        folder: folder whose file has the paths, or "" if they are in `listed`.
        listed: the paths.
    """

    rows: NDArray[np.void]
    folder: str = ""
    listed: Sequence[str] = ()

    def paths(self, indices: Iterable[int]) -> list[str]:
        """Looks up the paths of the images with these indices; reads the file of all paths once."""
        wanted = list(indices)
        if not wanted:
            return []  # a data set without a readable image has no file of paths
        if not self.folder:
            path_of = {i: self.listed[i] for i in sorted(set(wanted))}
            return [path_of[i] for i in wanted]
        lines = set(wanted)
        with open(os.path.join(self.folder, IMAGE_PATHS), encoding="ascii") as f:
            path_of = {i: json.loads(line) for i, line in enumerate(f) if i in lines}
        return [path_of[i] for i in wanted]

    def find(self, paths: Collection[str]) -> dict[str, int]:
        """The index of each of these paths that is an image; reads the file of all paths once."""
        if not paths:
            return {}
        if not self.folder:
            return {path: i for i, path in enumerate(self.listed) if path in paths}
        with open(os.path.join(self.folder, IMAGE_PATHS), encoding="ascii") as f:
            return {path: i for i, path in enumerate(map(json.loads, f)) if path in paths}

    def near_pairs(self, field: str, distance: int) -> list[duplicates.Pair]:
        """Pairs of nearly equal images that differ in `field`; see `duplicates.nearly_equal_images`."""
        path = os.path.join(self.folder, _near_file(field, distance)) if self.folder else ""
        known = np.load(path, allow_pickle=False) if path and os.path.exists(path) else None
        return duplicates.nearly_equal_images(self.rows, field, distance, known)

    def write_near_pairs(self, folder: str, field: str, distance: int, search: perceptual.Search) -> None:
        """Looks for these pairs elsewhere, and writes them beside the shards for `near_pairs`."""
        pairs = duplicates.near_pairs(self.rows, field, distance, search)
        scratch.save(os.path.join(folder, _near_file(field, distance)), pairs)

    def write(self, folder: str) -> None:
        """Writes rows and paths beside the shards."""
        scratch.save(os.path.join(folder, IMAGE_ROWS), self.rows)
        with open(os.path.join(folder, IMAGE_PATHS), "w", encoding="ascii") as f:
            f.writelines(f"{json.dumps(path)}\n" for path in self.listed)

    @staticmethod
    def read(folder: str) -> Images:
        """Reads the files of `write`; paths are looked up when needed."""
        return Images(scratch.load(os.path.join(folder, IMAGE_ROWS)), folder)


def _near_file(field: str, distance: int) -> str:
    return f"near-{field}-{distance}.npy"


def images(paths: Iterable[str], count: int, reports: Iterable[Report]) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """Puts the rows of all shards into the order of the listing.

    Args:
        paths: of all records, which differ.
        count: how many these are.
        reports: of all shards, in any order.

    Returns:
        `ROW` [n] of the images kept; bool [count]: which of the records these are.
    """
    places, rows, kept = Places(paths, count), scratch.zeros(count, ROW), np.zeros(count, bool)
    for report in reports:
        at = places.find(report.paths)
        rows[at], kept[at] = np.frombuffer(bytes(report.rows), ROW), True
    if kept.all():
        return rows, kept
    end = 0
    for start in range(0, count, _CHUNK):  # in place, since the rows are most of what is in memory
        some = rows[start : start + _CHUNK][kept[start : start + _CHUNK]]
        rows[end : end + len(some)] = some
        end += len(some)
    return rows[:end], kept


def merge(dataset: Dataset, reports: Iterable[Report], found: Images | None = None) -> tuple[DatasetManifest, Images]:
    """Adds up the reports of all shards, in any order, to the data set's manifest and its images.

    Args:
        dataset: the listing.
        reports: of all shards, in any order.
        found: the images in the order of their paths; None: those of the reports, which is meant for few.
    """
    summed, few, paths = Report(), bytearray(), list[str]()
    for report in reports:
        summed.include(report)
        summed.files += report.files
        if found is None:
            few += report.rows
            paths += report.paths
    if found is None:
        # Sorted by path, so that messages name the same file of equal ones, however records are distributed.
        order = sorted(range(len(paths)), key=paths.__getitem__)
        found = Images(np.frombuffer(bytes(few), ROW)[order], listed=[paths[i] for i in order])
    split_of = found.rows["split"]
    counts, unknown = _empty(dataset.labels), _empty(dataset.labels)
    unlabelled = dict.fromkeys(SPLITS, 0)
    for (split, labels, unknown_labels), n in summed.label_sets.items():
        for name in labels:
            counts[name][split] += n
        for name in unknown_labels:
            unknown[name][split] += n
        if split in unlabelled:
            unlabelled[split] += n * (not labels if summed.pixels else len(unknown_labels) == len(dataset.labels))
    manifest = DatasetManifest(
        labels=dataset.labels,
        counts={split: int((split_of == i).sum()) for i, split in enumerate(SPLITS)},
        label_counts=counts,
        unknown=unknown,
        unlabelled=unlabelled,
        label_sets=sorted((*key, n) for key, n in summed.label_sets.items()),
        pixels=summed.pixels,
        quarantined=_left_out(sorted([*dataset.rejected, *summed.quarantined])),
        contradictory=_left_out(dataset.contradictory),
        excluded=_left_out(dataset.excluded),
        ignored=dataset.ignored,
        notes=(*dataset.notes, *observed.sentences(summed.remarks, *summed.deep)),
        changed=dict(sorted(summed.changed.items())),
        formats=_nested(summed.formats),
        slices={
            column: _nested({(v, s): n for (c, v, s), n in summed.slices.items() if c == column})
            for column in sorted({column for column, _, _ in summed.slices})
        },
        sizes=dict(zip(("width", "height"), summed.sizes, strict=False)),
        properties={split: _properties(summed, split) for split in SPLITS},
        files=sorted(summed.files, key=lambda f: f.name),
        content=f"{summed.content:064x}",
    )
    return manifest, found


def _empty(labels: Sequence[str]) -> dict[str, dict[str, int]]:
    return {label: dict.fromkeys(SPLITS, 0) for label in labels}


def _nested(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Turns (value, split) -> images into value -> split -> images."""
    nested: dict[str, dict[str, int]] = {}
    for (value, split), n in sorted(counts.items()):
        nested.setdefault(value, dict.fromkeys(SPLITS, 0))[split] = n
    return nested


def _left_out(files: Iterable[tuple[str, str]]) -> tuple[LeftOut, ...]:
    return tuple(LeftOut(path=path, reason=reason) for path, reason in files)


def _properties(total: Report, split: str) -> PropertyHistograms:
    by_label = {label: _sparse(h) for (s, label), h in sorted(total.properties.items()) if s == split}
    return PropertyHistograms(all=by_label.pop(_ALL, {}), labels=by_label)
