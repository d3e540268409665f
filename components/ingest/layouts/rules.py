"""The rules that every layout shares: how labels and splits are named, ordered and completed."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence

from components.base.errors import ConfigError, ImagegateError
from components.data.dataset import SPLITS, LayoutError
from components.ingest.layouts.label_names import check_one_each, check_spelling
from components.ingest.layouts.paths.split_names import split_of

_MAX_PROBLEMS = 5  # of one file, in one message


def first_twice(names: Iterable[str]) -> str | None:
    """The first name that is there for the second time, or None; there may be a million of them.

    >>> first_twice(["a", "b", "c", "b"])
    'b'
    """
    seen = set[str]()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def ordered_labels(found: Mapping[str, str] | set[str], names: Sequence[str] | None, where: str) -> tuple[str, ...]:
    """Orders the labels for the model's outputs: as configured in `names`, or else sorted.

    Args:
        found: the labels in the data set, perhaps each with the place where it is, for messages.
        names: the configured labels.
        where: the setting that leads to the labels, for messages.

    >>> ordered_labels({"dog", "cat"}, None, "data.root")
    ('cat', 'dog')
    >>> ordered_labels({"dog"}, ["dog", "cat"], "data.root")  # a configured label may have no image yet
    ('dog', 'cat')

    Raises:
        LayoutError: a label in the data set is not in `names`, differs from another one only in case or blanks, or
            looks like several labels; see `label_names`.
    """
    names = None if names is None else [unicodedata.normalize("NFC", name).strip() for name in names]
    check_spelling(sorted({*found, *(names or ())}), where, found if isinstance(found, Mapping) else None)
    check_one_each(found, names, where)
    if names is None:
        return tuple(sorted(found))
    unlisted = sorted(set(found) - set(names))
    if unlisted:
        raise LayoutError(
            f"{where}: found the label{'s' if len(unlisted) > 1 else ''} {', '.join(map(repr, unlisted))}, "
            f"but labels.names lists only {', '.join(map(repr, names))}; add it there or move its images away"
        )
    return tuple(names)


def shares(split: Mapping[str, float], named: Collection[str | None]) -> dict[str, float]:
    """Computes the share of each split among the records whose split is decided by hash; see `Dataset.fractions`.

    The same rule holds for every layout. A record without a split counts as one of train, and a split that the data
    set does not name is cut from train, in the proportions of `split`. Nothing is ever added to an eval or test split
    that the data set names.

    >>> shares({"train": 0.75, "eval": 0.25, "test": 0.0}, {"train", "test"})
    {'train': 0.75, 'eval': 0.25}

    Args:
        split: the configured shares of train, eval and test.
        named: the splits that the data set names.
    """
    kept = {s: split[s] for s in SPLITS if s == "train" or s not in named}
    total = sum(kept.values())
    return {s: share / total for s, share in kept.items()}


def resolved_split(split: str | None, fractions: Mapping[str, float]) -> str | None:
    """Resolves the split that the data set names to `Record.split`; None if the hash decides.

    >>> resolved_split("train", {"train": 0.75, "eval": 0.25})  # eval is cut from train, so any record may move there
    >>> resolved_split("test", {"train": 0.75, "eval": 0.25})
    'test'
    """
    return None if split == "train" and len(fractions) > 1 else split


def split_name(raw: str, where: str, error: type[ImagegateError] = LayoutError) -> str:
    """Translates a common name of a split; see `split_of`.

    >>> split_name("Validation", "row 1"), split_name("training_set", "row 2")
    ('eval', 'train')

    Raises:
        error: `raw` is not the name of a split.
    """
    name = split_of(raw)
    if name is None:
        raise error(
            f"{where}: {raw!r} is not a split; expected one of train, eval and test, or a usual name of these, such "
            "as training_set, val or validation"
        )
    return name


def by_split(value: str | tuple[str, ...] | Mapping[str, str], key: str) -> dict[str | None, str]:
    """Turns a setting, which is one path or a path per split, into split -> path; a single path has the split None.

    >>> by_split({"train": "a.csv", "val": "b.csv"}, "data.manifest")
    {'train': 'a.csv', 'eval': 'b.csv'}
    >>> by_split("all.csv", "data.manifest")
    {None: 'all.csv'}

    Raises:
        ConfigError: naming `key`: a name is not that of a split, two mean the same split, or train is missing.
    """
    if isinstance(value, str):
        return {None: value}
    if isinstance(value, tuple):
        raise ConfigError(f"{key}: expected one path, or one per split; got a list")
    paths: dict[str | None, str] = {}
    for raw, path in value.items():
        name = split_name(raw, key, ConfigError)
        if name in paths:
            raise ConfigError(f"{key}: {raw!r} is another name for the split {name!r}, which is already there")
        paths[name] = path
    if "train" not in paths:
        raise ConfigError(f"{key}: has {', '.join(map(repr, value)) or 'no split'} but not 'train'; add it")
    return paths


def truncated_lines(problems: Sequence[str]) -> str:
    """Joins the problems of one file to one message: the first five, and how many more there are.

    >>> print(truncated_lines([f"row {i}" for i in range(1, 8)]))
    row 1
    row 2
    row 3
    row 4
    row 5
    and 2 more like these
    """
    rest = len(problems) - _MAX_PROBLEMS
    return "\n".join((*problems[:_MAX_PROBLEMS], *([f"and {rest} more like these"] if rest > 0 else ())))
