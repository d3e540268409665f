"""The number of pictures on a page: fewer per label if there are many labels, or if the pictures are large."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from components.report.pictures import Album
from components.report.records import ShownImage

BUDGET = 2_700_000  # characters of all pictures; a picture shown twice counts twice
# Mistakes, hits and random images of each label.
LEVELS = ((6, 4, 4), (4, 3, 3), (3, 2, 2), (2, 1, 1), (1, 1, 1), (1, 0, 0), (0, 0, 0))
_LAST = LEVELS.index((1, 0, 0))
_PICTURES = 450  # of all labels together; no more are drawn
_KEYS: tuple[Literal["thumbnail", "truth_overlay", "predicted_overlay", "strip"], ...] = (
    *("thumbnail", "truth_overlay", "predicted_overlay", "strip"),
)

Groups = list[list[ShownImage]]  # images of a label: mistakes, hits, random images


def level(labels: int) -> int:
    """The index in `LEVELS` that is affordable for this number of labels.

    >>> LEVELS[level(10)], LEVELS[level(100)]
    ((6, 4, 4), (2, 1, 1))
    """
    return next((i for i, most in enumerate(LEVELS[:_LAST]) if sum(most) * labels <= _PICTURES), _LAST)


def labels(level: int) -> int:
    """The number of labels that can have the pictures of this level."""
    return _PICTURES // sum(LEVELS[level])


def fit(
    by_label: Sequence[Groups], start: int, others: Mapping[str, list[ShownImage]], album: Album
) -> tuple[list[Groups], str]:
    """Reduces the images until their pictures fit the budget.

    Args:
        by_label: images of each label.
        start: index in `LEVELS` that the number of images of each label follows.
        others: further images; the last ones are removed from these lists if they alone are too large.
        album: the pictures.

    Returns:
        The images of each label that are kept, and a sentence on what is left out, or "".
    """
    before = sum(map(len, others.values()))
    while (taken := sum(_size(image, album) for image in itertools.chain(*others.values()))) > BUDGET:
        max(others.values(), key=len).pop()
    removed = before - sum(map(len, others.values()))
    for lower in range(start, len(LEVELS)):
        kept = [[group[:most] for group, most in zip(groups, LEVELS[lower], strict=True)] for groups in by_label]
        if sum(_size(image, album) for groups in kept for group in groups for image in group) <= BUDGET - taken:
            break
    return kept, _omitted(lower, max(0, len(by_label) - labels(start)), removed)


def _size(image: ShownImage, album: Album) -> int:
    return sum(len(album.images[image[key]]) for key in _KEYS if key in image)


def _omitted(level: int, without: int, removed: int) -> str:
    """A sentence on what is left out.

    Args:
        level: index in `LEVELS`.
        without: number of labels that have no images, because there are too many labels.
        removed: number of other images that were removed.
    """
    parts = []
    if level:
        counts = zip(LEVELS[level], ("mistake", "correct prediction", "random image"), strict=True)
        most = [f"{n} {name}{'s' * (n > 1)}" for n, name in counts if n]
        shown = f"shows at most {', '.join(most)} per label" if most else "shows no images of single labels"
        none = f", none for the {without} labels with the fewest mistakes" if without and most else ""
        parts.append(shown + none)
    if removed:
        parts.append(f"leaves out {removed} other image{'s' * (removed > 1)}")
    return f"To keep this page small, it {' and '.join(parts)}." if parts else ""


def used(images: Iterable[ShownImage], album: Album) -> dict[str, str]:
    """The pictures of these images: key -> data URI."""
    return {image[key]: album.images[image[key]] for image in images for key in _KEYS if key in image}
