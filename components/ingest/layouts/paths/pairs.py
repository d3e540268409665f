"""Finds what the names of images and masks have besides the name that they share, and names that are nearly right."""

from __future__ import annotations

import bisect
import difflib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

_MOST_SAMPLES = 200  # names that vote on the suffixes
_MOST_COUNTED = 20  # pairs of suffixes that are counted over all names
_MOST_NEAR = 20_000  # names that are searched for a similar one
_NEIGHBOURS = 2  # in sorted order, in both directions


@dataclass(frozen=True)
class Suffixes:
    """The ends of names that images and masks do not share.

    Attributes:
        image, mask: suffixes, without the extension.
        pairs: number of images that have a mask with them.
    """

    image: str
    mask: str
    pairs: int


def suffixes(images: Collection[str], masks: Collection[str]) -> Suffixes:
    """Finds the suffixes that pair the most images, from names without extensions.

    >>> suffixes(["a/1", "a/2"], ["a/2_mask", "a/1_mask", "a/1_color"])
    Suffixes(image='', mask='_mask', pairs=2)
    >>> suffixes(["1_left", "2_left"], ["1_label", "2_label"])
    Suffixes(image='_left', mask='_label', pairs=2)
    """
    return next(iter(ranked(images, masks)), Suffixes("", "", 0))


def ranked(images: Collection[str], masks: Collection[str]) -> list[Suffixes]:
    """Finds all suffixes that pair images with masks, those of the most pairs first."""
    ordered, known = sorted(masks), set(masks)
    votes: Counter[tuple[str, str]] = Counter()
    for name in sorted(images)[:: -(-len(images) // _MOST_SAMPLES) or 1]:
        at = bisect.bisect(ordered, name)
        votes.update(
            ends
            for other in ordered[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS + 1]
            if (ends := _ends(name, other)) is not None
        )
    counted = [Suffixes(image, mask, _pairs(images, known, image, mask)) for (image, mask), _ in _frequent(votes)]
    counted.sort(key=lambda s: (-s.pairs, len(s.image) + len(s.mask), s.mask))
    return [found for found in counted if found.pairs]


def near(name: str, names: Sequence[str]) -> str:
    """Returns a name that is much like this one, or "".

    >>> near("glass_01", ["glass_001", "metal_001"])
    'glass_001'
    """
    same = [other for other in names if other.lower() == name.lower()]
    found = same or (difflib.get_close_matches(name, names, 1, 0.75) if len(names) <= _MOST_NEAR else [])
    return found[0] if found else ""


def _frequent(votes: Counter[tuple[str, str]]) -> list[tuple[tuple[str, str], int]]:
    return sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))[:_MOST_COUNTED]


def _pairs(images: Collection[str], masks: Collection[str], image: str, mask: str) -> int:
    return sum(
        name.endswith(image) and len(name) > len(image) and name[: len(name) - len(image)] + mask in masks
        for name in images
    )


def _ends(name: str, other: str) -> tuple[str, str] | None:
    """Cuts both names behind the words that they share, or returns None if they share no word."""
    n = next((i for i, (a, b) in enumerate(zip(name, other, strict=False)) if a != b), min(len(name), len(other)))
    if name[n : n + 1].isalnum() or other[n : n + 1].isalnum():  # back to the start of the word that differs
        while n and name[n - 1].isalnum() and name[n:] and other[n:]:
            n -= 1
        while n and name[n - 1] in "_-. ":
            n -= 1
    return (name[n:], other[n:]) if n and name[n - 1] != "/" else None
