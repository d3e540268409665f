"""Which split an image belongs to, by the hash of its content: equal images can never be in two splits."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from itertools import islice

from components.data.dataset import Dataset, Record

# With fewer expected images than this in its smallest split, a label may well have none there by chance
# (e^-20 = 2e-9 beyond it), so its images are looked at before the splits are made.
_RARE = 20


def digest(data: bytes) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def by_hash(sha256: str, fractions: Mapping[str, float]) -> str:
    """The split of the image with this digest.

    The digest's first 64 bits, as a fraction of 2^64, fall into one of consecutive intervals of the given lengths.
    An image therefore keeps its split when others come and go.

    Args:
        sha256: hexadecimal digest of the file's content.
        fractions: share of each split, in order; they sum to 1.
    """
    at = int(sha256[:16], 16) / 2**64
    edge = 0.0
    for split, share in fractions.items():
        edge += share
        if at < edge:
            return split
    return [split for split, share in fractions.items() if share > 0][-1]  # the sum fell short of 1 by rounding


def unit(record: Record, sha256: str) -> str:
    """The digest that decides a record's split: its group's, so that a group stays together, or its content's."""
    return digest(b"group\0" + record.group.encode("utf-8", "surrogateescape")) if record.group else sha256


def rare_label_splits(
    dataset: Dataset, read: Callable[[Record], bytes | None], usable: Callable[[Record], bool]
) -> dict[str, str]:
    """Unit -> split for the few images that must leave `train` so that a rare label is in every split.

    A label with 16 images and a test share of 0.1 has none in test every fifth time, and a gate could not judge it.
    For each label that chance may leave out, the images of `train` that lie nearest to the missing split's
    interval move there, one per split; at least one stays in train. All copies of an image move together.

    Args:
        dataset: the listing; only records without a split of their own take part.
        read: the content of a record's file, or None where it cannot be read.
        usable: whether it is an image that will be kept; asked of a few only.
    """
    fractions = {s: f for s, f in dataset.fractions.items() if f > 0}
    if len(fractions) < 2:
        return {}
    by_label: dict[str, list[Record]] = defaultdict(list)
    for record in dataset.records:
        if record.split is None:
            for label in record.labels:
                by_label[label].append(record)
    moved: dict[str, str] = {}
    for label in dataset.labels:
        records = by_label[label]
        if len(records) * min(fractions.values()) >= _RARE:
            continue
        record_of = {unit(r, digest(data)): r for r in records if (data := read(r))}
        good = cache(lambda d, record_of=record_of: usable(record_of[d]))
        split_of = {d: moved.get(d) or by_hash(d, fractions) for d in sorted(record_of)}
        for split in fractions:
            if split == "train" or any(s == split and good(d) for d, s in split_of.items()):
                continue
            # Intervals are in hash order with train first, so its last images are the nearest.
            spare = list(islice((d for d in reversed(split_of) if split_of[d] == "train" and good(d)), 2))
            if len(spare) == 2:
                split_of[spare[0]] = moved[spare[0]] = split
    return moved
