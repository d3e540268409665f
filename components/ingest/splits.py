"""Assigns images to splits by the hash of their content, so that equal images are never in two splits."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from itertools import islice

from components.data.dataset import Dataset, Record

# A label that expects n images in its smallest split has none there with probability e^-n. Below this n, which makes
# that 2e-9, the label's images are read before the splits are made.
_RARE = 20


def digest(data: bytes) -> str:
    """Computes the SHA-256 of a file's content, in hexadecimal.

    >>> digest(b"")[:16]
    'e3b0c44298fc1c14'
    """
    return hashlib.sha256(data).hexdigest()


def by_hash(sha256: str, fractions: Mapping[str, float]) -> str:
    """Assigns a split by digest.

    The digest's first 64 bits, divided by 2^64, fall into one of consecutive intervals whose lengths are the shares. An
    image therefore keeps its split when other images are added or removed.

    >>> shares = {"train": 0.8, "eval": 0.1, "test": 0.1}
    >>> by_hash(digest(b""), shares)  # 0xe3b0c44298fc1c14 / 2^64 = 0.889, between 0.8 and 0.9
    'eval'

    Args:
        sha256: hexadecimal digest of the file's content.
        fractions: share of each split, in order; they sum to 1.
    """
    position = int(sha256[:16], 16) / 2**64
    edge = 0.0
    for split, share in fractions.items():
        edge += share
        if position < edge:
            return split
    return [split for split, share in fractions.items() if share > 0][-1]  # rounding left the sum below 1


def split_key(record: Record, sha256: str) -> str:
    """Returns the digest that decides a record's split: that of its group, which stays together, or its content's.

    >>> one, other = (Record(path, ("cat",), None, 1, "", group="patient 7") for path in ("a.jpg", "b.jpg"))
    >>> split_key(one, digest(b"a")) == split_key(other, digest(b"b"))
    True
    """
    return digest(b"group\0" + record.group.encode("utf-8", "surrogateescape")) if record.group else sha256


def rare_label_splits(
    dataset: Dataset, read: Callable[[Record], bytes | None], usable: Callable[[Record], bool]
) -> dict[str, str]:
    """Chooses the few images that leave `train` so that rare labels are in every split.

    A label with 16 images and a test share of 0.1 has none in test every fifth time, and a gate could not judge it.
    For each label that chance may leave out, the image of `train` that lies nearest to the missing split's interval
    moves there, one per split; at least one stays in train. All copies of an image move together.

    Args:
        dataset: the listing; records whose split the data set names are left alone.
        read: returns the content of a record's file, or None if it cannot be read.
        usable: decides whether a record's file is an image that will be kept; called for a few records only.

    Returns:
        split key -> split, see `split_key`.
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
        record_of = {split_key(r, digest(data)): r for r in records if (data := read(r))}
        good = cache(lambda d, record_of=record_of: usable(record_of[d]))
        split_of = {d: moved.get(d) or by_hash(d, fractions) for d in sorted(record_of)}
        for split in fractions:
            if split == "train" or any(s == split and good(d) for d, s in split_of.items()):
                continue
            # Intervals are in hash order and train is the first, so its last images are the nearest.
            spare = list(islice((d for d in reversed(split_of) if split_of[d] == "train" and good(d)), 2))
            if len(spare) == 2:
                split_of[spare[0]] = moved[spare[0]] = split
    return moved
