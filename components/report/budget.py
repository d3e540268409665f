"""How many pictures a page can take: fewer of each label where there are many, or where they take much room."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from components.report.pictures import Album

BUDGET = 2_700_000  # characters; a picture that is shown twice counts twice
# Mistakes, hits and random images of each label.
LEVELS = ((6, 4, 4), (4, 3, 3), (3, 2, 2), (2, 1, 1), (1, 1, 1), (1, 0, 0), (0, 0, 0))
_LAST = LEVELS.index((1, 0, 0))
_PICTURES = 450  # of all labels; more are not even made
_KEYS = ("thumbnail", "truth_overlay", "predicted_overlay")

Kinds = list[list[dict[str, Any]]]  # the images of a label: mistakes, hits, random ones


def level(labels: int) -> int:
    """Index in `LEVELS` of what so many labels can have."""
    return next((i for i, most in enumerate(LEVELS[:_LAST]) if sum(most) * labels <= _PICTURES), _LAST)


def labels(level: int) -> int:
    """How many labels can have that."""
    return _PICTURES // sum(LEVELS[level])


def fit(
    by_label: Sequence[Kinds], start: int, others: Mapping[str, list[dict[str, Any]]], album: Album
) -> tuple[list[Kinds], str]:
    """What there is room for.

    Args:
        by_label: images of each label.
        start: index in `LEVELS` of how many there are of each kind.
        others: further images; of too many, the last ones are taken out.

    Returns:
        the images of each label that are kept, and a sentence on what is not, or "".
    """
    before = sum(map(len, others.values()))
    while (taken := sum(_size(one, album) for one in itertools.chain(*others.values()))) > BUDGET:
        max(others.values(), key=len).pop()
    cut = before - sum(map(len, others.values()))
    for lower in range(start, len(LEVELS)):
        kept = [[kind[:most] for kind, most in zip(kinds, LEVELS[lower], strict=True)] for kinds in by_label]
        if sum(_size(one, album) for kinds in kept for kind in kinds for one in kind) <= BUDGET - taken:
            break
    return kept, _omitted(lower, max(0, len(by_label) - labels(start)), cut)


def _size(told: Mapping[str, Any], album: Album) -> int:
    return sum(len(album.images[told[key]]) for key in _KEYS if key in told)


def _omitted(level: int, without: int, cut: int) -> str:
    """`without`: labels that have none, since there are too many of them; `cut`: other images left out."""
    said = []
    if level:
        counts = zip(LEVELS[level], ("mistake", "hit", "random image"), strict=True)
        parts = [f"{n} {what}{'s' * (n > 1)}" for n, what in counts if n]
        most = f"at most {', '.join(parts)} of each label" if parts else "no images of single labels"
        said.append(
            most + (f", and none of the {without} labels with the fewest mistakes" if without and parts else "")
        )
    if cut:
        said.append(f"{cut} {'other image' if cut == 1 else 'other images'} less")
    return f"To keep this page small, it shows {'; '.join(said)}." if said else ""


def used(told: Any, album: Album) -> dict[str, str]:
    """The pictures of all images in nested lists."""
    if isinstance(told, dict):
        return {told[key]: album.images[told[key]] for key in _KEYS if key in told}
    return {key: uri for one in told for key, uri in used(one, album).items()}
