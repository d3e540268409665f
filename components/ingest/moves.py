"""Sentences on images whose split is another one than that of their hash, or of an earlier run."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from components.base.text import truncated_list
from components.data.dataset import SPLITS, Dataset, Record
from components.ingest import splits
from components.ingest.earlier import NONE, Earlier
from components.ingest.near_duplicates import Settled

_TRAIN = SPLITS.index("train")
_JUDGED = tuple(split for split in SPLITS if split != "train")


def notes(
    dataset: Dataset, records: Sequence[Record], rows: NDArray[np.void], settled: Settled, earlier: Earlier
) -> tuple[str, ...]:
    """Says what moved, what stayed against `data.split`, and which labels lack images in eval or test for that.

    Args:
        dataset: the listing.
        records: [n].
        rows: `census.ROW` [n], of the same images, with the splits that `splits.assign` gave them.
        settled: their final splits.
        earlier: the splits of earlier runs.
    """
    digests = rows["sha256"][:, 0]
    was, bound = earlier.find(digests, "split"), earlier.find(digests, "bound")
    new = ~rows["named"] & (bound == NONE) & ~settled.follows
    found = list(_near_duplicates(rows["split"][new], settled.target[new]))
    if earlier:
        found += _changed(records, rows, settled.target, was)
        found += _kept(dataset, records, rows, settled.target, bound) if earlier.loose else ()
        found += _lacking(dataset, records, settled.target, rows["named"] | (bound != NONE))
    return tuple(found)


def _near_duplicates(split: NDArray[np.uint8], target: NDArray[np.uint8]) -> Iterator[str]:
    """Of images that no earlier run knew."""
    left = [int(((split == SPLITS.index(s)) & (target == _TRAIN)).sum()) for s in _JUDGED]
    taken = int(((split == _TRAIN) & (target != _TRAIN)).sum())
    if any(left):
        each = " and ".join(f"{n:,} from {split}" for n, split in zip(left, _JUDGED, strict=True) if n)
        what = f"{sum(left):,} nearly equal image{' was' if sum(left) == 1 else 's were'}"
        yield f"{what} moved to train ({each}), because images like them were in another split"
    if taken:
        what = f"{taken:,} image{' was' if taken == 1 else 's were'}"
        yield f"{what} moved from train in their place, so that every label stays in eval and test"


def _changed(
    records: Sequence[Record], rows: NDArray[np.void], target: NDArray[np.uint8], before: NDArray[np.uint8]
) -> Iterator[str]:
    """Of images that are in another split than in an earlier run."""
    changed = (before != NONE) & (before != target)
    named, apart = rows["named"], rows["split"] != target
    reasons = (
        (named, "as the data set says"),
        (~named & apart, "because images like them, or of the same group, were there"),
        (~named & ~apart, "because the shares in data.split have changed"),
    )
    for which, reason in reasons:
        for was, now in itertools.product(range(len(SPLITS)), repeat=2):
            images = np.flatnonzero(changed & which & (before == was) & (target == now))
            if len(images):
                what = _images(len(images), f"was in {SPLITS[was]}", f"were in {SPLITS[was]}")
                paths = truncated_list(sorted(records[i].path for i in images.tolist()))
                yield f"{what} in an earlier run and moved to {SPLITS[now]}, {reason}: {paths}"


def _kept(
    dataset: Dataset,
    records: Sequence[Record],
    rows: NDArray[np.void],
    target: NDArray[np.uint8],
    bound: NDArray[np.uint8],
) -> Iterator[str]:
    """Of images that the new shares put into another split, but that the served model knows."""
    count: collections.Counter[str] = collections.Counter()
    for i in np.flatnonzero((bound == target) & ~rows["named"]).tolist():
        key = splits.split_key(records[i], rows["sha256"][i].tobytes().hex())
        if splits.by_hash(key, dataset.fractions) != SPLITS[target[i]]:
            count[SPLITS[target[i]]] += 1
    for split, n in sorted(count.items()):
        yield (
            f"{_images(n, 'stays', 'stay')} in {split}, although the shares in data.split have changed, because no "
            "image that the served model knows moves away from train"
        )


def _lacking(
    dataset: Dataset, records: Sequence[Record], target: NDArray[np.uint8], bound: NDArray[np.bool_]
) -> Iterator[str]:
    """Of labels that get no image in a split, because all those in train were there in an earlier run."""
    counts: dict[str, list[int]] = {label: [0] * len(SPLITS) for label in dataset.labels}
    free: collections.Counter[str] = collections.Counter()
    for record, split, known in zip(records, target.tobytes(), bound.tobytes(), strict=True):
        for label in record.labels:
            counts[label][split] += 1
            free[label] += split == _TRAIN and not known
    for label, of_split in counts.items():
        missing = [s for s in _JUDGED if not of_split[SPLITS.index(s)] and dataset.fractions.get(s, 0) > 0]
        if missing and of_split[_TRAIN] > 1 and not free[label]:
            yield (
                f"label {label!r} has no image in {' and '.join(missing)}: its {of_split[_TRAIN]:,} images in train "
                "were there in an earlier run, and stay there; only new images of it can change that"
            )


def _images(count: int, one: str, several: str) -> str:
    """Counts images in a sentence.

    >>> _images(1, "stays", "stay"), _images(1200, "stays", "stay")
    ('1 image stays', '1,200 images stay')
    """
    return f"{count:,} image {one}" if count == 1 else f"{count:,} images {several}"
