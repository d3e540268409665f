"""Which level of folders holds the labels, and which the splits: decided from the tree alone."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from components.base.text import truncated_list
from components.data.dataset import LayoutError
from components.ingest.layouts.paths.folder_names import are_images_and_masks
from components.ingest.layouts.paths.split_names import split_of

_Folders = Counter[tuple[str, ...]]  # path of a folder, cut into parts -> number of images directly in it


@dataclass(frozen=True)
class Levels:
    """Positions in the path of an image, such as `train/cat/1.jpg`.

    Attributes:
        label: position of the label folder; 0 is the top.
        split: position of the split folder, or None.
    """

    label: int
    split: int | None = None


def decide(root: str, top: Sequence[str], images: Iterable[Sequence[str]], names: Sequence[str] | None) -> Levels:
    """Decides where the labels and the splits are.

    Args:
        root: the data set's root, for messages.
        top: the folders at the top that hold images, or that are empty.
        images: the path of every image, cut into parts.
        names: the configured labels; the level whose folders have these names is theirs.

    Raises:
        LayoutError: the tree can be read in two ways, or the labels seem to be on another level.
    """
    paths = Counter(tuple(parts[:-1]) for parts in images if len(parts) > 1)
    levels = _decided(root, top, paths, names)
    _refuse_masks(root, paths, levels)
    return levels


def _decided(root: str, top: Sequence[str], paths: _Folders, names: Sequence[str] | None) -> Levels:
    splits = {name: split_of(name) for name in top}
    known = frozenset(_plain(name) for name in names or ())
    if known & {_plain(name) for name in top}:
        return Levels(0, _splits_below(root, _Tree.of(paths, 0), 0))
    others = [name for name in top if splits[name] is None]
    if "train" in splits.values() and not others:
        return Levels(_label_level(root, paths, 1, known), 0)
    tree = _Tree.of(paths, 0)
    if "train" in splits.values():
        _refuse_mixed(root, [name for name in top if splits[name]], others, tree)
    return _below(root, paths, tree, known)


def _below(root: str, paths: _Folders, tree: _Tree, known: frozenset[str]) -> Levels:
    split = _splits_below(root, tree, 0)
    if split is not None and _Tree.of(paths, 1).direct:  # else there are folders inside, which may be the labels
        return Levels(0, split)
    return Levels(_label_level(root, paths, 0, known))


@dataclass(frozen=True)
class _Tree:
    """The folders of one level.

    Attributes:
        direct: folder -> number of images directly in it.
        below: folder -> names of its sub-folders -> number of images in them.
    """

    direct: Counter[str]
    below: dict[str, Counter[str]]

    @classmethod
    def of(cls, paths: _Folders, level: int) -> _Tree:
        """Counts the images of the folders at this level; those of the same name count as one."""
        direct: Counter[str] = Counter()
        below: dict[str, Counter[str]] = defaultdict(Counter)
        for parts, images in paths.items():
            if len(parts) > level + 1:
                below[parts[level]][parts[level + 1]] += images
            elif len(parts) == level + 1:
                direct[parts[level]] += images
        return cls(direct, dict(below))

    @property
    def folders(self) -> list[str]:
        return sorted({*self.direct, *self.below})


def _label_level(root: str, paths: _Folders, level: int, known: frozenset[str]) -> int:
    """Returns the level of the labels at `level` or below, by the configured names; refuses where it is not clear."""
    tree = _Tree.of(paths, level)
    if known and not known & {_plain(name) for name in tree.folders}:
        inside = {_plain(name) for folders in tree.below.values() for name in folders}
        return level + 1 if known & inside else level
    if not known:
        _refuse_wrapped(root, paths, level, tree)
        _refuse_repeated(root, level, tree)
    return level


def _splits_below(root: str, tree: _Tree, level: int) -> int | None:
    """Returns the level of split folders below the labels, `cat/train/1.jpg`, or None."""
    split = {
        name: {split_of(folder) for folder in folders} for name, folders in tree.below.items() if not tree.direct[name]
    }
    complete = [name for name, splits in split.items() if None not in splits and {"train"} < splits]
    odd = [name for name in tree.folders if None in split.get(name, {None})]
    # Where every label holds split folders alone, no single label needs images in train and in another split.
    if not complete and (odd or not {"train"} < set().union(*split.values())):
        return None
    if odd:
        raise LayoutError(
            f"data.root: {root}: the folder {complete[0]!r} holds the split folders "
            f"{truncated_list(sorted(tree.below[complete[0]]))}, but {len(odd)} of {len(tree.folders)} folders do not "
            f"hold split folders alone: {truncated_list(odd)}; give every label folder split folders, or none"
        )
    return level + 1


def _refuse_mixed(root: str, splits: Sequence[str], others: Sequence[str], tree: _Tree) -> None:
    """Refuses split folders beside label folders, unless all hold images alone, and so are labels."""
    if not any(name in tree.below for name in splits):
        return
    several = "s" if len(splits) > 1 else ""
    what = "the label folder" if len(others) == 1 else "the label folders"
    raise LayoutError(
        f"data.root: {root} has the split folder{several} {', '.join(splits)} beside {what} "
        f"{truncated_list(map(repr, others))}; put every label folder below a split folder, or none; a folder that is "
        "neither does not belong in data.root"
    )


def _refuse_wrapped(root: str, paths: _Folders, level: int, tree: _Tree) -> None:
    """Refuses a level with one folder that only holds other folders, because the labels seem to be these."""
    chain: list[str] = []
    while len(tree.folders) == 1 and not tree.direct:
        chain.append(tree.folders[0])
        tree = _Tree.of(paths, level + len(chain))
    if not chain or len(tree.folders) < 2:
        return
    inside = truncated_list(tree.folders)
    if level:
        what = f"every split folder holds the one folder {'/'.join(chain)!r}"
        advice = f"move the label folders up, or set labels.names to the names of the label folders: {inside}"
    else:
        where = f"{root.rstrip('/')}/{'/'.join(chain)}"
        what = f"{root} holds the one folder {'/'.join(chain)!r}"
        advice = f"set data.root: {where}; or set labels.names: [{chain[0]}], if this is the only label"
    raise LayoutError(f"data.root: {what}, and the labels seem to be inside: {inside}; {advice}")


def _refuse_repeated(root: str, level: int, tree: _Tree) -> None:
    """Refuses folders that all hold the same sub-folders, because the labels may be on either level."""
    inside = Counter(name for folders in tree.below.values() for name in folders)
    same = sorted(name for name, n in inside.items() if n > 1)
    if len(tree.below) < 2 or set(tree.below) != set(tree.folders) or tree.direct or len(same) < 2:
        return
    if len(same) * 2 < len(inside) or are_images_and_masks(same):  # of these, `_refuse_masks` speaks
        return
    split = [f"{name!r} looks like the split {found}" for name in tree.folders if (found := split_of(name))]
    hint = f" ({', '.join(split)}, but there is no folder for train)" if split and level == 0 else ""
    raise LayoutError(
        f"data.root: {root}: the folders {truncated_list(map(repr, tree.folders))} hold the same sub-folders, "
        f"{truncated_list(map(repr, same))}{hint}, so it is not clear which are the labels; set labels.names to the "
        f"labels, {truncated_list(same)} or {truncated_list(tree.folders)}; or, if the upper folders are splits, name "
        "them train, eval and test"
    )


def _refuse_masks(root: str, paths: _Folders, levels: Levels) -> None:
    """Refuses labels that hold folders of images and of masks, because the masks would be taken for images."""
    depth = max(levels.label, levels.split or 0) + 1
    inside: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for parts, images in paths.items():
        if len(parts) > depth:
            inside[parts[:-1]][parts[-1]] += images
    both = {"/".join(folder): names for folder, names in inside.items() if are_images_and_masks(names)}
    if not both or sum(names.total() for names in both.values()) * 2 < paths.total():
        return
    names = sorted({name for found in both.values() for name in found})
    which = (
        f"the folders {truncated_list(sorted(both))} hold" if len(both) > 1 else f"the folder {next(iter(both))} holds"
    )
    raise LayoutError(
        f"data.root: {root}: {which} the sub-folders {truncated_list(map(repr, names))}, which look like images and "
        "their masks and not like parts of a label; to learn masks, set data.layout: masks, which expects one mask per "
        "image (draw several masks of an image into one file, with a value for each label), all images in one folder "
        "and all masks in another; to learn the folders as labels, move the masks out of data.root"
    )


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()
