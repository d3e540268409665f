"""A data set as people have it on disk -> `Dataset`: records, labels, and what was left out. One module a layout."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from components.errors import ConfigError, ImagegateError

SPLITS = ("train", "eval", "test")

# What people call a split, in lower case -> its name here.
SPLIT_NAMES = {
    "train": "train",
    "eval": "eval",
    "val": "eval",
    "valid": "eval",
    "validation": "eval",
    "dev": "eval",
    "test": "test",
}


class LayoutError(ImagegateError):
    """The data set is not laid out as the configuration says; part of the data gate's answers."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Record:
    """One image file and what the data set says about it; nothing of the image itself is known yet.

    Attributes:
        path: relative to the data set's root, separated by "/".
        labels: names that are known to apply to it.
        split: "train", "eval" or "test" where the data set says so, else None: the content's hash decides.
        size: bytes.
        version: changes when the file, or its mask, does; see `storage.File`.
        unknown: names of which nobody said whether they apply; they take part in no loss, weight or metric.
        weight: how much it counts in loss and metrics.
        group: records of one group land in one split; "" for a group of its own.
        slices: (column, value), sorted; what the evaluation can be sliced by.
        mask: path of its mask, relative to the root, or "".
        regions: its regions as JSON, where there is no mask file; see `masks.draw`.
    """

    path: str
    labels: tuple[str, ...]
    split: str | None
    size: int
    version: str
    unknown: tuple[str, ...] = ()
    weight: float = 1.0
    group: str = ""
    slices: tuple[tuple[str, str], ...] = ()
    mask: str = ""
    regions: str = ""


@dataclass(frozen=True)
class Dataset:
    """What a layout found.

    Attributes:
        root: folder or URL that the records' paths are relative to.
        labels: every label's name, in the order of the model's outputs.
        records: sorted by path.
        fractions: share of each split among the records that name none; sums to 1.
        rejected: (path, reason) of files that must not be read.
        ignored: paths of files that no rule of the layout gives a meaning.
        contradictory: (path, reason) of those of `rejected` of which different things are said, each file once.
    """

    root: str
    labels: tuple[str, ...]
    records: tuple[Record, ...]
    fractions: dict[str, float]
    rejected: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = field(default=())
    contradictory: tuple[tuple[str, str], ...] = ()

    def fingerprint(self) -> str:
        """SHA-256 over what the listing says: any file added, removed, changed, moved or re-labelled changes it."""
        digest = hashlib.sha256(repr((self.labels, sorted(self.fractions.items()), self.rejected)).encode())
        for record in self.records:
            digest.update(repr(record).encode())  # every field, whatever is added; escapes undecodable file names
        return digest.hexdigest()


def label_name(raw: str, where: str) -> str:
    """The label that a folder or cell named `raw` means: Unicode NFC, so that macOS and Linux agree.

    Raises:
        LayoutError: the name is empty, not valid UTF-8, or holds control characters.
    """
    name = unicodedata.normalize("NFC", raw)
    if not name.strip() or not name.isprintable():  # isprintable is False for surrogates: undecodable bytes
        raise LayoutError(
            f"{where}: {raw!a} cannot be a label name: expected printable UTF-8 text that is not blank; rename it"
        )
    return name


def ordered_labels(found: set[str], names: Sequence[str] | None, where: str) -> tuple[str, ...]:
    """Labels in output order: `names` where configured (all that is `found` must be among them), else sorted.

    Raises:
        LayoutError: a found label is not in `names`.
    """
    if names is None:
        return tuple(sorted(found))
    names = [unicodedata.normalize("NFC", name) for name in names]
    strange = sorted(found - set(names))
    if strange:
        raise LayoutError(
            f"{where}: found the label{'s' if len(strange) > 1 else ''} {', '.join(map(repr, strange))}, "
            f"but labels.names lists only {', '.join(map(repr, names))}; add it there or move its images away"
        )
    return tuple(names)


def shares(split: Mapping[str, float], named: Collection[str | None]) -> dict[str, float]:
    """Share of each split among the records whose split the content's hash decides; `Dataset.fractions`.

    One rule for every layout: a record of which nobody says the split counts as one of train, and a split that the
    data set does not name is cut from train, in the proportions of `split`. So what the data set names as eval or
    test is never added to.

    Args:
        split: the configured shares of train, eval and test.
        named: the splits that the data set names.
    """
    kept = {s: split[s] for s in SPLITS if s == "train" or s not in named}
    total = sum(kept.values())
    return {s: share / total for s, share in kept.items()}


def settled(split: str | None, fractions: Mapping[str, float]) -> str | None:
    """`Record.split` of a record that the data set puts into `split`: None where others are cut from train."""
    return None if split == "train" and len(fractions) > 1 else split


def split_name(raw: str, where: str, error: type[ImagegateError] = LayoutError) -> str:
    """The split that people's word `raw` means; upper and lower case are the same.

    Raises:
        error: it means none.
    """
    name = SPLIT_NAMES.get(raw.lower())
    if name is None:
        raise error(f"{where}: {raw!r} is no split; expected one of {', '.join(SPLIT_NAMES)}")
    return name


def by_split(value: str | Mapping[str, str], key: str) -> dict[str | None, str]:
    """A setting that is one path, or a path per split -> split -> path; None is the split of a single path.

    Raises:
        ConfigError: naming `key`: a word that is no split, two for the same one, or no train.
    """
    if isinstance(value, str):
        return {None: value}
    paths: dict[str | None, str] = {}
    for word, path in value.items():
        name = split_name(word, key, ConfigError)
        if name in paths:
            raise ConfigError(f"{key}: {word!r} is another word for the split {name!r}, which is there already")
        paths[name] = path
    if "train" not in paths:
        raise ConfigError(f"{key}: names {', '.join(map(repr, value)) or 'no split'} but not 'train'; add it")
    return paths


def several(problems: Sequence[str]) -> str:
    """Many problems of one file as one message: the first five, and how many more there are."""
    rest = len(problems) - 5
    return "\n".join((*problems[:5], *([f"and {rest} more like these"] if rest > 0 else ())))
