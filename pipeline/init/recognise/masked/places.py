"""Finds folders of images and of masks that belong together, by their names and by those of their files."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from components.ingest.layouts.paths import pairs
from components.ingest.layouts.paths.folder_names import is_mask_word
from components.ingest.layouts.paths.split_names import split_of
from pipeline.init.recognise.sight import Sight

# Words at the ends of file names that mean masks.
_BY_END = re.compile(r"[_\- .]?(?:ma?sks?|labels?|gt|segs?|segmentation|annot(?:ation)?s?|matte|trimap|L)$")
_LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp")
_MOST_SUFFIXES = 6
_WHOLE = 0.9
_MOST_FOLDERS = 50  # of images that are tried for a folder of masks whose name fits none

Folder = tuple[str, ...]


@dataclass(frozen=True)
class Pairing:
    """One way to pair images with masks.

    Attributes:
        images, masks: folder, or split -> folder.
        suffixes: the ends of names that they do not share.
        paths: masks with an image.
        keys: names of the images as lists name them: paths below their folder, without suffix and extension.
        others: folders named like masks that are not used.
    """

    images: str | Mapping[str, str]
    masks: str | Mapping[str, str]
    suffixes: pairs.Suffixes
    paths: Sequence[str]
    keys: frozenset[str]
    others: Sequence[str] = ()

    @property
    def is_whole(self) -> bool:
        """Whether it holds nearly all pairs: of folders of both in each of many folders, one alone could be read."""
        return len(self.paths) >= _WHOLE * self.suffixes.pairs


@dataclass
class Files:
    """The images of one folder: stem -> path; lossless ones, if there are any, where masks are meant."""

    all: dict[str, str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)


def find(sight: Sight) -> Iterator[Pairing]:
    """Yields the ways to pair the images with masks, that of the most pairs first."""
    inside = folders(sight)
    found: dict[tuple[str, str], list[tuple[int, Folder, Folder]]] = defaultdict(list)
    for image, mask in _candidates(inside):
        for suffixes in pairs.ranked(_images(inside, image, mask), inside[mask].masks)[:_MOST_SUFFIXES]:
            found[suffixes.image, suffixes.mask].append((suffixes.pairs, image, mask))
    total = {ends: sum(n for n, _, _ in _best(places)) for ends, places in found.items()}
    most = max(total.values(), default=0)
    for ends in sorted(total, key=lambda ends: (-total[ends], _rank(ends[1]), len(ends[0]) + len(ends[1]), ends)):
        if total[ends] * 2 >= most:
            way = pairing(inside, pairs.Suffixes(*ends, total[ends]), found[ends])
            if way.is_whole:
                yield way


def folders(sight: Sight) -> dict[Folder, Files]:
    """Returns folder -> its images; lossless ones, if there are any, where masks are meant."""
    found: dict[Folder, Files] = defaultdict(Files)
    for path in sight.images:
        folder, _, name = path.rpartition("/")
        stem, ending = posixpath.splitext(name)
        files = found[tuple(folder.split("/")) if folder else ()]
        files.all[stem] = path
        if ending.lower() not in _LOSSY:
            files.masks[stem] = path
    for files in found.values():
        files.masks = files.masks or files.all
    return dict(found)


def named_like_masks(sight: Sight) -> set[str]:
    """The files in folders named like those of masks; if there is none, those whose names end like masks."""
    folders = {folder for folder in {*map(posixpath.dirname, sight.files)} if any(map(is_mask_word, folder.split("/")))}
    if folders:
        return {path for path in sight.files if posixpath.dirname(path) in folders}
    return {path for path in sight.files if _BY_END.search(posixpath.splitext(posixpath.basename(path))[0])}


def _images(folders: Mapping[Folder, Files], image: Folder, mask: Folder) -> list[str]:
    """The stems of images; in a folder that holds both, those that do not end like masks."""
    stems = folders[image].all
    return [stem for stem in stems if not _BY_END.search(stem)] if image == mask else list(stems)


def _candidates(folders: Mapping[Folder, Files]) -> Iterator[tuple[Folder, Folder]]:
    """Yields (images, masks) of folders whose names, or the names of whose files, say that they may pair."""
    grouped: dict[tuple[int, ...], dict[Folder, list[Folder]]] = {}
    masks = [folder for folder in folders if any(map(is_mask_word, folder))]
    plain = [folder for folder in folders if folder not in set(masks)]
    for mask in masks:
        at = tuple(i for i, part in enumerate(mask) if is_mask_word(part))
        if at not in grouped:
            grouped[at] = defaultdict(list)
            for folder in folders:
                grouped[at][_without(folder, at) if len(folder) > at[-1] else folder].append(folder)
        like = [folder for folder in grouped[at].get(_without(mask, at), []) if _may_be_images(folder, mask, at)]
        yield from ((image, mask) for image in like or plain[:_MOST_FOLDERS])
    if not masks:
        for folder, files in folders.items():
            if any(_BY_END.search(stem) for stem in list(files.masks)[:20]):
                yield folder, folder


def _may_be_images(folder: Folder, mask: Folder, at: Sequence[int]) -> bool:
    """Whether a folder differs from that of the masks only in that it lacks words for masks."""
    if len(folder) == len(mask):
        return folder != mask and not any(is_mask_word(folder[i]) for i in at if folder[i] != mask[i])
    return len(folder) == len(mask) - len(at) and not any(map(is_mask_word, folder))


def _without(folder: Folder, at: Sequence[int]) -> Folder:
    return tuple(part for i, part in enumerate(folder) if i not in at)


def _best(places: Sequence[tuple[int, Folder, Folder]]) -> list[tuple[int, Folder, Folder]]:
    """Keeps, for each folder of images, the folder of masks with the most pairs; of equal ones, the shortest name."""
    best: dict[Folder, tuple[int, Folder, Folder]] = {}
    for place in sorted(places, key=lambda p: (-p[0], _rank("/".join(p[2])), len("/".join(p[2])), p[2])):
        best.setdefault(place[1], place)
    return sorted(best.values(), key=lambda place: place[1:])


def _rank(name: str) -> int:
    """Ranks kinds of masks of the same images: classes before ids of all classes, those before colours and objects."""
    low = name.lower()
    return 0 if "trainid" in low else 3 if "instance" in low or "object" in low else 2 if "color" in low else 1


def pairing(
    folders: Mapping[Folder, Files], suffixes: pairs.Suffixes, places: Sequence[tuple[int, Folder, Folder]]
) -> Pairing:
    """Returns the pairing of these (number of pairs, folder of images, folder of masks)."""
    best = _best(places)
    splits = _by_split(best)
    if splits is None:  # one folder for all: the one of the most pairs
        shared = Counter[tuple[Folder, Folder]]()
        for n, image, mask in best:
            shared[_cut(image, mask)] += n
        (image_root, mask_root), _ = shared.most_common(1)[0]
        images: str | dict[str, str] = _path(image_root)
        masks: str | dict[str, str] = _path(mask_root)
        best = [place for place in best if _cut(*place[1:]) == (image_root, mask_root)]
        roots = {image_root}
    else:
        images = {split: _path(image) for split, (image, _) in splits.items()}
        masks = {split: _path(mask) for split, (_, mask) in splits.items()}
        roots = {image for image, _ in splits.values()}
    paths, keys = [], set()
    for _, image, mask in best:
        root = next(r for r in sorted(roots, key=len, reverse=True) if image[: len(r)] == r)
        for stem in folders[image].all:
            shared_stem = stem[: len(stem) - len(suffixes.image)]
            if stem.endswith(suffixes.image) and (path := folders[mask].masks.get(shared_stem + suffixes.mask)):
                paths.append(path)
                keys.add("/".join([*image[len(root) :], shared_stem]))
    used = {folder for _, *both in best for folder in both}
    others = sorted("/".join(folder) for folder in folders if folder not in used and any(map(is_mask_word, folder)))
    return Pairing(images, masks, suffixes, paths, frozenset(keys), others)


def _by_split(places: Sequence[tuple[int, Folder, Folder]]) -> dict[str, tuple[Folder, Folder]] | None:
    """Maps splits to the folders of images and masks, or returns None if not all folders are in a split."""
    found: dict[str, set[tuple[Folder, Folder]]] = defaultdict(set)
    for _, image, mask in places:
        at = [i for i, part in enumerate(image) if split_of(part)]
        if not at:
            return None
        rest = len(image) - len(_cut(image, mask)[0])
        kept = max(len(image) - rest, at[-1] + 1)
        found[split_of(image[at[-1]]) or ""].add((image[:kept], mask[: len(mask) - (len(image) - kept)]))
    if "train" not in found or any(len(folders) > 1 for folders in found.values()):
        return None
    return {split: folders.pop() for split, folders in sorted(found.items(), key=lambda item: item[0] != "train")}


def _cut(image: Folder, mask: Folder) -> tuple[Folder, Folder]:
    """Cuts off the folders at the end that both share."""
    while image and mask and image[-1] == mask[-1] and image != mask:
        image, mask = image[:-1], mask[:-1]
    return image, mask


def _path(folder: Folder) -> str:
    return "/".join(folder) or "."
