"""Finds two sibling folders that hold files of the same names, though neither is named like masks: `raw`, `binary`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from components.ingest.layouts.paths import pairs
from components.ingest.layouts.paths.folder_names import is_mask_word
from components.ingest.layouts.paths.split_names import split_of
from pipeline.init.recognise.masked import places, values
from pipeline.init.recognise.masked.places import Files, Folder, Pairing
from pipeline.init.recognise.masked.values import Values
from pipeline.init.recognise.sight import Sight

_SAME = 0.9  # share of the names that both folders must hold
_FEW, _MANY = 16, 64  # values of masks at most, of images at least
_IMAGES = 3  # that are opened to see that they are no masks


def find(sight: Sight) -> Iterator[tuple[Pairing, Values]]:
    """Yields images and masks, where the files of one side hold few values and those of the other many.

    Labels may hold files of the same names, too, such as `cat/1.jpg` and `dog/1.jpg`; their values are alike.
    """
    folders = places.folders(sight)
    if any(is_mask_word(part) for folder in folders for part in folder):  # then the names have decided
        return
    for twins in _twins(folders):
        yield from _masks(sight, folders, twins)
        yield from _masks(sight, folders, [(other, one) for one, other in twins])


def _twins(folders: Mapping[Folder, Files]) -> Iterator[list[tuple[Folder, Folder]]]:
    """Yields folders in pairs that differ in one part of their paths, which has two values in all."""
    for at in range(min(map(len, folders), default=0)):
        names = sorted({folder[at] for folder in folders})
        if len(names) != 2 or any(map(split_of, names)):
            continue
        ones = [folder for folder in folders if folder[at] == names[0]]
        twins = [(one, (*one[:at], names[1], *one[at + 1 :])) for one in ones]
        if len(twins) * 2 == len(folders) and all(_are_alike(folders, *both) for both in twins):
            yield twins


def _are_alike(folders: Mapping[Folder, Files], one: Folder, other: Folder) -> bool:
    if other not in folders:
        return False
    stems = [folders[folder].all.keys() for folder in (one, other)]
    return len(stems[0] & stems[1]) >= _SAME * max(map(len, stems))


def _masks(
    sight: Sight, folders: Mapping[Folder, Files], twins: Sequence[tuple[Folder, Folder]]
) -> Iterator[tuple[Pairing, Values]]:
    found = [(len(folders[image].all.keys() & folders[mask].all.keys()), image, mask) for image, mask in twins]
    pairing = places.pairing(folders, pairs.Suffixes("", "", sum(n for n, _, _ in found)), found)
    masks = values.read(sight, pairing.paths, values.SECONDS / 2) if pairing.is_whole else None
    if masks is None or masks.lossy or len(masks.pixels) > _FEW or masks.total < len(pairing.paths):
        return
    paths = sorted(path for image, _ in twins for path in folders[image].all.values())
    images = values.read(sight, paths[:_IMAGES])
    if images is None or len(images.pixels) > _MANY:
        yield pairing, masks
