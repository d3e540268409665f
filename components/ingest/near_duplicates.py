"""Nearly equal images that the hash of their content put into different splits go to train together.

The perceptual hashes are only known when every image has been read. Then a few images are moved: `merge` counts them
again and rewrites the shards that they leave and enter. The result is the same, to the byte, as that of an ingest that
knew their split from the start.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from components.base.errors import ImagegateError
from components.data import perceptual
from components.data.dataset import SPLITS, Dataset, Record
from components.data.manifest import DatasetManifest, NearDuplicates
from components.ingest import census, shards, splits
from components.ingest.settings import NearLimits

_TRAIN = SPLITS.index("train")
_JUDGED = tuple(split for split in SPLITS if split != "train")
_KEEP = 2  # sets of images of a label in train before one of them may leave it: one stays


def merge(
    dataset: Dataset, reports: Sequence[census.Report], job: shards.Job, limits: NearLimits | None, folder: str = ""
) -> tuple[DatasetManifest, census.Images]:
    """Adds up the reports of all shards after nearly equal images were moved to train; see `census.merge`.

    Args:
        dataset: the listing.
        reports: of the shards, in any order.
        job: settings of the ingest, with which the images that move are read again.
        limits: which images are nearly equal and how many may move; None: nothing is moved.
        folder: folder of the shards, which are rewritten; "" if none were written.

    Raises:
        ImagegateError: a file has changed since it was read.
    """
    total = census.total(reports)
    if limits is None:
        return census.merge(dataset, [total])
    record_of = {record.path: record for record in dataset.records}
    records, rows = [record_of[path] for path in total.paths], np.frombuffer(bytes(total.rows), census.ROW)
    sets = connected_sets(records, rows, limits.distance)
    target = to_train(rows, sets)
    found = _count(rows, target, limits.max_share)
    notes = dataset.notes
    if found.moved:
        target = with_rare_labels(records, rows, sets, target, dataset.labels)
        moves = {total.paths[i]: SPLITS[target[i]] for i in np.flatnonzero(target != rows["split"])}
        _count_again(total, [record_of[path] for path in sorted(moves)], job, moves)
        if folder and moves:
            total.files = [file for report in reports for file in shards.move(folder, report, moves)]
        notes += _notes(rows, target)
    manifest, images = census.merge(dataclasses.replace(dataset, notes=notes), [total])
    return manifest.model_copy(update={"near_duplicates": found}), images


def connected_sets(records: Sequence[Record], rows: NDArray[np.void], distance: int) -> NDArray[np.int64]:
    """The sets of images that belong together: nearly equal ones, equal ones, those of one group, and chains of these.

    Images whose split the data set names are left alone, each a set of its own.

    Args:
        records: [n].
        rows: `census.ROW` [n], of the same images.
        distance: bits in which the perceptual hashes of nearly equal images may differ.

    Returns:
        int64 [n]: the number of each image's set.
    """
    sets = np.arange(len(rows))
    kept = np.flatnonzero(rows["comparable"] & ~rows["named"])
    if len(kept):
        sets = _united(sets, kept, perceptual.connected(rows["perceptual"][kept], distance))
    by_hash = np.flatnonzero(~rows["named"])
    keys = [_split_key(records, rows, int(i)) for i in by_hash]
    return _united(sets, by_hash, np.unique(keys, return_inverse=True)[1]) if keys else sets


def _split_key(records: Sequence[Record], rows: NDArray[np.void], i: int) -> str:
    return splits.split_key(records[i], rows["sha256"][i].tobytes().hex())


def _united(sets: NDArray[np.int64], places: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Unites the sets of the places that have the same key."""
    _, first, own = np.unique(keys, return_index=True, return_inverse=True)
    return perceptual.joined(sets, places, places[first[own]])


def to_train(rows: NDArray[np.void], sets: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The split of each image after every set that lies in several splits went to train.

    Args:
        rows: `census.ROW` [n].
        sets: int64 [n], see `connected_sets`.

    Returns:
        uint8 [n]: indices in `SPLITS`.
    """
    split = rows["split"].copy()
    lowest, highest = np.full(len(rows), len(SPLITS), np.uint8), np.zeros(len(rows), np.uint8)
    np.minimum.at(lowest, sets, split)
    np.maximum.at(highest, sets, split)
    split[(lowest != highest)[sets]] = _TRAIN
    return split


def with_rare_labels(
    records: Sequence[Record],
    rows: NDArray[np.void],
    sets: NDArray[np.int64],
    target: NDArray[np.uint8],
    labels: Iterable[str],
) -> NDArray[np.uint8]:
    """Gives a label that lost its last image of eval or test another one, as `splits.rare_label_splits` does.

    Of the sets of images with this label that lay in train from the start, the smallest moves, and of several, the one
    whose hash is nearest to the split's interval; for every label of its images, one set at least stays in train.

    Args:
        records, rows, sets: as in `connected_sets`.
        target: uint8 [n]: the split of each image after `to_train`.
        labels: all labels, in order.

    Returns:
        uint8 [n]: the splits, with these images moved.
    """
    target = target.copy()
    changed = np.flatnonzero(target != rows["split"]).tolist()
    lost = {label for i in changed for label in records[i].labels}
    for label in (label for label in labels if label in lost):
        mine = np.array([i for i, record in enumerate(records) if label in record.labels])
        for split in _JUDGED:
            index = SPLITS.index(split)
            if (rows["split"][mine] == index).any() and not (target[mine] == index).any():
                chosen = _spare(records, rows, sets, target, mine)
                target[chosen] = index
    return target


def _spare(
    records: Sequence[Record],
    rows: NDArray[np.void],
    sets: NDArray[np.int64],
    target: NDArray[np.uint8],
    mine: NDArray[np.int64],
) -> list[int]:
    """The images of the set that can best leave train, or none."""
    in_train: dict[str, set[int]] = collections.defaultdict(set)
    for i in np.flatnonzero(target == _TRAIN).tolist():
        for label in records[i].labels:
            in_train[label].add(int(sets[i]))
    settled = set(sets[(target != rows["split"]) | rows["named"]].tolist())
    choice: list[tuple[int, str, list[int]]] = []
    for one in set(sets[mine[target[mine] == _TRAIN]].tolist()) - settled:
        images = np.flatnonzero(sets == one).tolist()
        if all(len(in_train[label]) >= _KEEP for i in images for label in records[i].labels):
            choice.append((-len(images), max(_split_key(records, rows, i) for i in images), images))
    return max(choice)[2] if choice else []


def _count(rows: NDArray[np.void], target: NDArray[np.uint8], limit: float | None) -> NearDuplicates:
    """Counts what would leave eval and test, and decides whether it may."""
    by_hash = ~rows["named"]
    assigned, found = {}, {}
    for split in _JUDGED:
        own = by_hash & (rows["split"] == SPLITS.index(split))
        assigned[split], found[split] = int(own.sum()), int((own & (target != rows["split"])).sum())
    moved = all(limit is None or share(found[split], assigned[split]) <= limit for split in _JUDGED)
    return NearDuplicates(assigned=assigned, found=found, moved=moved)


def share(found: int, assigned: int) -> float:
    """The share of a split that would move, but 0 for a single image, unless the split would then be empty.

    >>> share(1, 8), share(2, 8), share(1, 1), share(0, 0)
    (0.0, 0.25, 1.0, 0.0)
    """
    return 0.0 if found == 1 < assigned else found / max(1, assigned)


def _count_again(total: census.Report, records: Sequence[Record], job: shards.Job, moves: Mapping[str, str]) -> None:
    """Reads the images that move and corrects the counts of both their splits."""
    before, after = census.Report(), census.Report()
    place = {path: i for i, path in enumerate(total.paths)}
    rows = np.frombuffer(bytes(total.rows), census.ROW).copy()
    for item in shards.examine(records, job):
        row = rows[place[item.record.path]]
        if item.problem or bytes.fromhex(item.sha256) != row["sha256"].tobytes():
            raise ImagegateError(f"{item.record.path}: the file changed while the data set was read; run again")
        shards.enter(dataclasses.replace(item, split=SPLITS[row["split"]]), before)
        shards.enter(dataclasses.replace(item, split=moves[item.record.path]), after)
        row["split"] = SPLITS.index(moves[item.record.path])
    total.replace(before, after)
    total.rows = bytearray(rows.tobytes())


def _notes(rows: NDArray[np.void], target: NDArray[np.uint8]) -> tuple[str, ...]:
    """Sentences on what was moved."""
    left = [int(((rows["split"] == SPLITS.index(s)) & (target == _TRAIN)).sum()) for s in _JUDGED]
    taken = int(((rows["split"] == _TRAIN) & (target != _TRAIN)).sum())
    notes = []
    if any(left):
        each = " and ".join(f"{n:,} from {split}" for n, split in zip(left, _JUDGED, strict=True) if n)
        what = f"{sum(left):,} nearly equal image{' was' if sum(left) == 1 else 's were'}"
        notes.append(f"{what} moved to train ({each}), because images like them were in another split")
    if taken:
        what = f"{taken:,} image{' was' if taken == 1 else 's were'}"
        notes.append(f"{what} moved from train in their place, so that every label stays in eval and test")
    return tuple(notes)
