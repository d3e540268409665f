"""Assigns images to splits by the hash of their content, so that equal images are never in two splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache

from components.data.dataset import SPLITS, Dataset, Record
from components.ingest.earlier import Earlier

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


def of_image(record: Record, sha256: str) -> str:
    """The digest of an image: that of its file, or for a tile of the file and its place in it."""
    return digest(f"{sha256} {record.tile}".encode()) if record.tile else sha256


def assign(
    record: Record, sha256: str, fractions: Mapping[str, float], moved: Mapping[str, str], earlier: Earlier
) -> str:
    """Decides the split of an image: what the data set says, else that of earlier runs, else by hash.

    Args:
        record: the image.
        sha256: hexadecimal digest of the file's content.
        fractions: see `Dataset.fractions`.
        moved: see `rare_label_splits`.
        earlier: the splits of earlier runs.
    """
    if record.split:
        return record.split
    key, bound = split_key(record, sha256), earlier.bound(of_image(record, sha256))
    chosen = moved.get(key)
    if chosen and _may_enter(chosen, bound):
        return chosen
    return by_hash(key, fractions) if bound is None else _kept(bound, key, fractions, loose=earlier.loose)


def _may_enter(split: str, bound: str | None) -> bool:
    """Whether an image that was in the split `bound` may be in `split`: no image moves away from train."""
    return bound is None or SPLITS.index(split) <= SPLITS.index(bound)


def _kept(bound: str, key: str, fractions: Mapping[str, float], *, loose: bool) -> str:
    """The split of an image that was in `bound`; another one only if the shares have changed, and closer to train."""
    if fractions.get(bound) and not loose:
        return bound
    now = by_hash(key, fractions)
    if _may_enter(now, bound):
        return now
    return bound if fractions.get(bound) else SPLITS[0]


def rare_label_splits(
    dataset: Dataset,
    read: Callable[[Record], bytes | None],
    usable: Callable[[Record], bool],
    earlier: Earlier | None = None,
) -> dict[str, str]:
    """Chooses the few images that leave `train` so that rare labels are in every split.

    A label with 16 images and a test share of 0.1 has none in test every fifth time, and a gate could not judge it.
    For each label that chance may leave out, the image of `train` that lies nearest to the missing split's interval
    moves there, one per split; at least one stays in train. All copies of an image move together. An image that was in
    train in an earlier run stays there, so only new ones are chosen.

    Args:
        dataset: the listing; records whose split the data set names are left alone.
        read: returns the content of a record's file, or None if it cannot be read.
        usable: decides whether a record's file is an image that will be kept; called for a few records only.
        earlier: the splits of earlier runs.

    Returns:
        split key -> split, see `split_key`.
    """
    fractions = {s: f for s, f in dataset.fractions.items() if f > 0}
    if len(fractions) < 2:
        return {}
    images = Counter(label for record in dataset.records if record.split is None for label in record.labels)
    rare = [label for label in dataset.labels if images[label] * min(fractions.values()) < _RARE]
    by_label: dict[str, list[Record]] = {label: [] for label in rare}
    for record in dataset.records if any(images[label] for label in rare) else ():
        if record.split is None:
            for label in by_label.keys() & set(record.labels):
                by_label[label].append(record)
    moved: dict[str, str] = {}
    for records in by_label.values():
        candidates = _Candidates(fractions, moved, earlier or Earlier())
        for record in records:
            if data := read(record):
                candidates.add(record, digest(data))
        moved |= {chosen: split for split, chosen in candidates.chosen(usable)}
    return moved


class _Candidates:
    """The images of one label, by split key.

    Args:
        fractions: share of each split, none of them 0.
        moved: split key -> split that was chosen for another label.
        earlier: the splits of earlier runs.
    """

    def __init__(self, fractions: Mapping[str, float], moved: Mapping[str, str], earlier: Earlier) -> None:
        self._fractions, self._moved, self._earlier = fractions, moved, earlier
        self._record_of: dict[str, Record] = {}
        self._bound: dict[str, str] = {}  # of several images of a group, that nearest to train

    def add(self, record: Record, sha256: str) -> None:
        key, bound = split_key(record, sha256), self._earlier.bound(of_image(record, sha256))
        self._record_of[key] = record
        if bound and _may_enter(bound, self._bound.get(key)):
            self._bound[key] = bound

    def _split(self, key: str) -> str:
        bound = self._bound.get(key)
        if key in self._moved or bound is None:
            return self._moved.get(key) or by_hash(key, self._fractions)
        return _kept(bound, key, self._fractions, loose=self._earlier.loose)

    def chosen(self, usable: Callable[[Record], bool]) -> Iterator[tuple[str, str]]:
        """Yields (split, the key that moves there) for each split that the label lacks."""
        good = cache(lambda key: usable(self._record_of[key]))
        split_of = {key: self._split(key) for key in sorted(self._record_of)}
        for split in self._fractions:
            if split == "train" or any(s == split and good(key) for key, s in split_of.items()):
                continue
            # Intervals are in hash order and train is the first, so its last images are the nearest.
            train = [key for key in reversed(split_of) if split_of[key] == "train"]
            free = (key for key in train if _may_enter(split, self._bound.get(key)) and good(key))
            first = next(free, None)
            if first is not None and any(key != first and good(key) for key in train):
                split_of[first] = split
                yield split, first
