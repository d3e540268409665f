"""Images that belong together go into one split: nearly equal ones, those of one group, and equal files.

If one of them was in a split in an earlier run, the others follow it, and of several such splits the one closest to
train holds. Otherwise, images that the hash of their content put into different splits go to train together.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.base.compact import scratch
from components.data import perceptual
from components.data.dataset import SPLITS, Record
from components.data.manifest import NearDuplicates
from components.ingest import earlier, splits
from components.ingest.settings import NearLimits

_TRAIN = SPLITS.index("train")
_JUDGED = tuple(split for split in SPLITS if split != "train")
_KEEP = 2  # sets of images of a label in train before one of them may leave it: one stays
_NOTHING_GONE = np.empty(0, earlier.ROW)


@dataclass(frozen=True)
class Settled:
    """The splits of images after those that belong together were put into one.

    Attributes:
        target: uint8 [n]: indices in SPLITS.
        follows: bool [n]: images without a split of their own in earlier runs that belong with one that has.
        found: what the hash had put into different splits, or None if nearly equal images may be.
    """

    target: NDArray[np.uint8]
    follows: NDArray[np.bool_]
    found: NearDuplicates | None


def settle(
    records: Sequence[Record],
    rows: NDArray[np.void],
    labels: Iterable[str],
    limits: NearLimits | None,
    before: earlier.Earlier,
    fractions: Mapping[str, float],
    search: perceptual.Search | None = None,
) -> Settled:
    """Decides the final splits.

    Args:
        records: [n].
        rows: `census.ROW` [n], of the same images, with the splits that `splits.assign` gave them.
        labels: all labels, in order.
        limits: which images are nearly equal and how many may move; None: nearly equal images may be in two splits.
        before: the splits of earlier runs.
        fractions: see `Dataset.fractions`.
        search: see `perceptual.near_pairs`.
    """
    digests = rows["sha256"][:, 0]
    gone = before.absent(digests)
    gone = gone[gone["bound"] != earlier.NONE]
    sets = connected_sets(records, rows, None if limits is None else limits.distance, gone, search)
    bound = before.find(digests, "bound")
    # An image that is gone cannot be asked to stay in a split that takes none any more.
    shares = np.array([fractions.get(split, 0) > 0 for split in SPLITS])
    known = np.where((bound != earlier.NONE) & ~rows["named"], rows["split"], earlier.NONE)
    known = np.concatenate([known, np.where(shares[gone["bound"]], gone["bound"], _TRAIN)])
    lowest = np.full(len(sets), earlier.NONE, np.uint8)
    np.minimum.at(lowest, sets, known)
    first, sets = lowest[sets][: len(rows)], sets[: len(rows)]
    follows = (first != earlier.NONE) & (bound == earlier.NONE)
    found = None
    target = np.where(first != earlier.NONE, first, rows["split"] if limits is None else to_train(rows, sets))
    if limits is not None:
        found = _count(rows, target, ~rows["named"] & ~follows, limits.max_share)
        target = target if found.moved else np.where(follows, first, rows["split"])
    return Settled(with_rare_labels(records, rows, sets, target, labels, first != earlier.NONE), follows, found)


def connected_sets(
    records: Sequence[Record],
    rows: NDArray[np.void],
    distance: int | None,
    gone: NDArray[np.void] = _NOTHING_GONE,
    search: perceptual.Search | None = None,
) -> NDArray[np.int32]:
    """The sets of images that belong together: nearly equal ones, equal ones, those of one group, and chains of these.

    Images whose split the data set names are left alone, each a set of its own.

    Args:
        records: [n].
        rows: `census.ROW` [n], of the same images.
        distance: bits in which the perceptual hashes of nearly equal images may differ; None: these are not looked for.
        gone: `earlier.ROW` [g], of images that the data set no longer holds.
        search: see `perceptual.near_pairs`.

    Returns:
        int32 [n + g]: the number of each image's set; those that are gone come last.
    """
    sets = np.arange(len(rows) + len(gone), dtype=np.int32)
    comparable = np.concatenate([rows["comparable"] & ~rows["named"], gone["comparable"]])
    kept = np.flatnonzero(comparable if distance is not None else False)
    if len(kept) and distance is not None:
        hashes = scratch.joined([rows["perceptual"], gone["perceptual"]]) if len(gone) else rows["perceptual"]
        hashes = hashes if len(kept) == len(hashes) else scratch.taken(hashes, kept)
        sets = _united(sets, kept, perceptual.connected(hashes, distance, search))
    keys, scenes = _digests(records, rows)
    by_hash = np.flatnonzero(~rows["named"])
    sets = _united(sets, by_hash, _same(keys if len(by_hash) == len(keys) else scratch.taken(keys, by_hash)))
    tiles = np.array(sorted(i for i in scenes if not rows["named"][i]), np.int64)
    if len(tiles):  # those of one scene
        sets = _united(sets, tiles, np.unique([scenes[i] for i in tiles.tolist()], return_inverse=True)[1])
    return sets


def _split_key(records: Sequence[Record], rows: NDArray[np.void], i: int) -> str:
    return splits.split_key(records[i], rows["sha256"][i].tobytes().hex())


def _digests(records: Sequence[Record], rows: NDArray[np.void]) -> tuple[NDArray[np.uint64], dict[int, str]]:
    """The split key of each image, as uint64 [n, 4], and the scenes of the tiles by their places."""
    keys, scenes = rows["sha256"], {}
    grouped = False
    for i, record in enumerate(records):
        if record.group:
            keys = keys if grouped else scratch.joined([keys])
            grouped = True
            keys[i] = np.frombuffer(bytes.fromhex(splits.split_key(record, "")), "<u8")
        if record.tile:
            scenes[i] = record.file
    return keys, scenes


def _same(keys: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Numbers [n] that are equal where the keys [n, 4] are; most keys come once."""
    numbers = np.arange(len(keys), dtype=np.int32)
    order = keys[:, 0].argsort(kind="stable")
    word = keys[:, 0][order]
    twice = np.zeros(len(keys), bool)
    twice[1:] = word[1:] == word[:-1]
    twice[:-1] |= twice[1:]
    some = np.sort(order[twice])
    if len(some):
        _, first, own = np.unique(keys[some], axis=0, return_index=True, return_inverse=True)
        numbers[some] = some[first[own.ravel()]]
    return numbers


def _united(sets: NDArray[np.int32], places: NDArray[np.int64], keys: NDArray[Any]) -> NDArray[np.int32]:
    """Unites the sets of the places that have the same key; keys are numbers."""
    order = keys.argsort(kind="stable")
    ordered = keys[order]
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    del ordered
    return perceptual.joined(sets, places[order[same]], places[order[same + 1]])


def to_train(rows: NDArray[np.void], sets: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The split of each image after every set that lies in several splits went to train.

    Args:
        rows: `census.ROW` [n].
        sets: int32 [n], see `connected_sets`.

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
    sets: NDArray[np.int32],
    target: NDArray[np.uint8],
    labels: Iterable[str],
    fixed: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Gives a label that lost its last image of eval or test another one, as `splits.rare_label_splits` does.

    Of the sets of images with this label that lay in train from the start, the smallest moves, and of several, the one
    whose hash is nearest to the split's interval; for every label of its images, one set at least stays in train.

    Args:
        records, rows, sets: as in `connected_sets`.
        target: uint8 [n]: the split of each image so far.
        labels: all labels, in order.
        fixed: bool [n]: images of sets of which one was in a split in an earlier run; they stay.

    Returns:
        uint8 [n]: the splits, with these images moved.
    """
    target = target.copy()
    changed = np.flatnonzero(target != rows["split"]).tolist()
    lost = {label for i in changed for label in records[i].labels}
    before, now = collections.Counter[tuple[str, int]](), collections.Counter[tuple[str, int]]()
    for record, was, to in zip(records, rows["split"].tobytes(), target.tobytes(), strict=True) if lost else ():
        before.update((label, was) for label in record.labels)
        now.update((label, to) for label in record.labels)
    for label, split in itertools.product((label for label in labels if label in lost), _JUDGED):
        index = SPLITS.index(split)
        if before[label, index] and not now[label, index]:
            mine = np.array([i for i, record in enumerate(records) if label in record.labels])
            for i in _spare(records, rows, sets, target, mine, fixed):
                now.subtract((other, target[i].item()) for other in records[i].labels)
                now.update((other, index) for other in records[i].labels)
                target[i] = index
    return target


def _spare(
    records: Sequence[Record],
    rows: NDArray[np.void],
    sets: NDArray[np.int32],
    target: NDArray[np.uint8],
    mine: NDArray[np.int64],
    fixed: NDArray[np.bool_] | None,
) -> list[int]:
    """The images of the set that can best leave train, or none."""
    in_train: dict[str, set[int]] = collections.defaultdict(set)
    for i, record in enumerate(records):
        for label in record.labels if target[i] == _TRAIN else ():
            if len(in_train[label]) < _KEEP:
                in_train[label].add(int(sets[i]))
    stays = (target != rows["split"]) | rows["named"]
    settled = np.zeros(len(sets), bool)
    settled[sets[stays if fixed is None else stays | fixed]] = True
    choice: list[tuple[int, str, list[int]]] = []
    for one in set(sets[mine[target[mine] == _TRAIN]].tolist()):
        images = [] if settled[one] else np.flatnonzero(sets == one).tolist()
        if images and all(len(in_train[label]) >= _KEEP for i in images for label in records[i].labels):
            choice.append((-len(images), max(_split_key(records, rows, i) for i in images), images))
    return max(choice)[2] if choice else []


def _count(
    rows: NDArray[np.void], target: NDArray[np.uint8], counted: NDArray[np.bool_], limit: float | None
) -> NearDuplicates:
    """Counts what would leave eval and test, and decides whether it may."""
    assigned, found = {}, {}
    for split in _JUDGED:
        own = counted & (rows["split"] == SPLITS.index(split))
        assigned[split], found[split] = int(own.sum()), int((own & (target != rows["split"])).sum())
    moved = all(limit is None or share(found[split], assigned[split]) <= limit for split in _JUDGED)
    return NearDuplicates(assigned=assigned, found=found, moved=moved)


def share(found: int, assigned: int) -> float:
    """The share of a split that would move, but 0 for a single image, unless the split would then be empty.

    >>> share(1, 8), share(2, 8), share(1, 1), share(0, 0)
    (0.0, 0.25, 1.0, 0.0)
    """
    return 0.0 if found == 1 < assigned else found / max(1, assigned)
