"""The rules that every layout shares: how labels and splits are named, ordered and completed."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence

from components.base.errors import ConfigError, ImagegateError
from components.data.dataset import SPLITS, LayoutError

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
