"""Code that the recognisers of annotation tools share: bounded samples, and the folders of splits."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Sequence

from components.ingest.layouts.paths.split_names import split_of
from pipeline.init.recognise.sight import Sight

MOST_BYTES = 8 << 20  # of one file of a sample
MOST_WHOLE = 256 << 20  # of an annotation file for a whole data set
_MOST = 20  # files of a sample


def sample(sight: Sight, paths: Sequence[str], most: int = MOST_BYTES, count: int = _MOST) -> list[tuple[str, bytes]]:
    """Reads files that are spread evenly over `paths`; leaves out those that are too large or cannot be read."""
    step = max(1, len(paths) // count)
    found = []
    for path in paths[::step][:count]:
        if sight.files[path].size <= most:
            try:
                found.append((path, sight.read(path)))
            except OSError:
                continue
    return found


def candidates(sight: Sight, *endings: str) -> tuple[str, ...]:
    """The annotation files that may be meant: the one that the user named, else all with these endings."""
    if sight.start:
        return (sight.start,) if posixpath.splitext(sight.start)[1].lower() in endings else ()
    return sight.ending(*endings)


def common_folder(paths: Iterable[str]) -> str:
    """The deepest folder that holds all of `paths`; "" for the root.

    >>> common_folder(["a/b/1.jpg", "a/c/2.jpg"]), common_folder(["a/b/1.jpg"])
    ('a', 'a/b')
    """
    folders = {posixpath.dirname(path) for path in paths}
    return posixpath.commonpath([f"/{folder}" for folder in folders])[1:] if folders else ""


def split_folders(paths: Iterable[str]) -> dict[str, str]:
    """Split -> folder, where all of `paths` are below folders that name splits, with train among them; else nothing.

    >>> split_folders(["x/train/1.jpg", "x/valid/sub/2.jpg"])
    {'train': 'x/train', 'eval': 'x/valid'}
    """
    paths = list(paths)
    base = common_folder(paths)
    start = len(base) + 1 if base else 0
    folders: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        name, _, rest = path[start:].partition("/")
        split = split_of(name) if rest else None
        if split is None:
            return {}
        folders[split].add(path[:start] + name)
    if "train" not in folders or len(folders) < 2 or any(len(names) > 1 for names in folders.values()):
        return {}
    return {split: next(iter(folders[split])) for split in ("train", "eval", "test") if split in folders}


def images_value(paths: Iterable[str]) -> str | dict[str, str] | None:
    """The value of `data.images` for these images: folders of splits, their common folder, or None for the root."""
    paths = list(paths)
    return split_folders(paths) or common_folder(paths) or None
