"""The files of images and of masks, each below a folder and with a suffix, and what is wrong where they do not pair."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from components.base.text import truncated_list
from components.data.dataset import LayoutError
from components.ingest.layouts.listing import Listing, endings
from components.ingest.layouts.paths import pairs


@dataclass(frozen=True, slots=True)
class Side:
    """The images or the masks of one split; `folder` is a prefix as `Listing.folder` returns it."""

    split: str | None
    folder: str
    suffix: str

    def key(self, path: str) -> str | None:
        """Returns the part of the path that a file shares with its partner; None for a file of another kind."""
        stem, ending = posixpath.splitext(path)
        # Files beside images and masks (polygons, annotations, lists) must not count as a second partner.
        if ending.lower() not in endings() or not stem.startswith(self.folder) or not stem.endswith(self.suffix):
            return None
        return stem[len(self.folder) : len(stem) - len(self.suffix)]

    def __str__(self) -> str:
        return f"{self.folder or './'}*{self.suffix}.*"


def check_pairs(listing: Listing, sides: Sequence[tuple[Side, Side]], lonely: Sequence[str], paired: int) -> None:
    """Refuses data sets in which no image has a mask, or more images would have one with another suffix.

    Args:
        listing: files of the data set.
        sides: images and masks of each split.
        lonely: paths of the images without a mask.
        paired: number of images with a mask.

    Raises:
        LayoutError: it names the suffix to set, or names that masks have.
    """
    if not lonely:
        return
    found = _other_suffixes(listing, sides, set(lonely))
    if paired and found.pairs <= paired:
        return
    hint = f"set data.mask_suffix: {found.mask!r}" if found.mask else "set data.mask_suffix: ''"
    if found.image != sides[0][0].suffix:
        hint += f" and data.image_suffix: {found.image!r}"
    if not found.pairs:
        there = (path for _, mask in sides for path in sorted(listing.files) if mask.key(path) is not None)
        hint = f"the masks have names such as {truncated_list(itertools.islice(there, 2)) or 'none at all'}"
    raise LayoutError(
        f"data.masks: {len(lonely):,} of {len(lonely) + paired:,} images have no mask: there is no file of the "
        f"same name in {' or '.join(str(mask) for _, mask in sides)}: {truncated_list(lonely)}; {hint}"
    )


def _other_suffixes(listing: Listing, sides: Sequence[tuple[Side, Side]], lonely: Collection[str]) -> pairs.Suffixes:
    """Finds the suffixes with which the images of the first folder would have masks."""
    image, mask = sides[0]
    images, masks = ([stem[len(side.folder) :] for stem in _stems(listing, side.folder)] for side in (image, mask))
    wanted = {posixpath.splitext(path)[0][len(image.folder) :] for path in lonely}
    return pairs.suffixes(
        [name for name in images if name in wanted],
        [name for name in masks if image.folder != mask.folder or name not in wanted],
    )


def _stems(listing: Listing, folder: str) -> Iterator[str]:
    """Yields the paths of images and masks below a folder, without their extensions."""
    for path in listing.files:
        stem, ending = posixpath.splitext(path)
        if path.startswith(folder) and ending.lower() in endings():
            yield stem
