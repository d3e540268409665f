"""Recognises COCO's annotation files, one or one per split, with the folders of their images and panoptic masks."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.base.text import truncated_list
from components.base.values import parsed_json
from components.ingest.layouts.paths.split_names import split_of
from pipeline.init.recognise.sight import Proposal, Sight

_NAMED = re.compile(r"instances|annotation|coco|panoptic|keypoints|stuff", re.IGNORECASE)
_NO_SPLIT = re.compile(r"instances|panoptic|annotations?|coco|person|keypoints|stuff|captions", re.IGNORECASE)
_MOST_FILES = 24
_MOST_BYTES = 96 << 20  # of all files that are read; JSON takes a second for 50 MB
_SAMPLE = 200  # images whose files are looked for
_ORDER = ("train", "eval", "test")


@dataclass(frozen=True)
class _File:
    """One annotation file.

    Attributes:
        path: of the file.
        split: that its name or its folder names, or None.
        names: file names of some images.
        masks: file names of some panoptic masks.
        images, annotations, regions: number of each.
        categories: their names.
        rank: 0 for instances, more for keypoints and others.
    """

    path: str
    split: str | None
    names: Sequence[str]
    masks: Sequence[str]
    images: int
    annotations: int
    regions: int
    categories: Sequence[str]
    rank: int


def recognise(sight: Sight) -> Iterator[Proposal]:
    """Proposes regions as masks where most annotations have one, and the categories as labels of images."""
    files = list(_files(sight))
    index = _Index(sight) if files else None
    for panoptic in (False, True):
        chosen = _chosen([file for file in files if bool(file.masks) == panoptic])
        if chosen and index is not None:
            yield from _proposals(chosen, index, [file.path for file in files if file not in chosen.values()])


def _files(sight: Sight) -> Iterator[_File]:
    """Reads the files that may be COCO's."""
    paths = [sight.start] if sight.start.lower().endswith(".json") else list(sight.ending(".json"))
    if sight.start and not sight.start.lower().endswith(".json"):
        return
    if len(paths) > _MOST_FILES:  # a file for each image, perhaps with one for all
        paths = [path for path in paths if _NAMED.search(posixpath.basename(path))]
    left = _MOST_BYTES
    for path in sorted(paths, key=lambda path: (path.count("/"), path))[:_MOST_FILES]:
        left -= sight.files[path].size
        if left < 0:
            return
        try:
            content = parsed_json(sight.read(path).decode("utf-8-sig"))
        except (OSError, ValueError):
            continue
        if (file := _parsed(path, content)) is not None:
            yield file


def _parsed(path: str, content: Any) -> _File | None:
    lists = [content.get(key) if isinstance(content, dict) else None for key in ("images", "annotations", "categories")]
    if not all(isinstance(found, list) for found in lists):
        return None
    images, annotations, categories = (
        [entry for entry in found if isinstance(entry, dict)] for found in lists if found is not None
    )
    names = [name for entry in images[:_SAMPLE] if (name := _name(entry))]
    labels = [str(entry.get("name")) for entry in categories]
    if not names or not labels:
        return None
    masks = [str(entry.get("file_name")) for entry in annotations[:_SAMPLE] if "segments_info" in entry]
    base = posixpath.basename(path).lower()
    return _File(
        path,
        _split(path),
        names,
        masks,
        len(images),
        len(annotations),
        sum(bool(entry.get("segmentation")) for entry in annotations),
        labels,
        2 if "stuff" in base else 1 if "keypoint" in base else 0,
    )


def _name(entry: Mapping[str, Any]) -> str:
    for key in ("file_name", "coco_url", "flickr_url", "path"):
        name = entry.get(key)
        if isinstance(name, str) and name:
            return posixpath.basename(name.partition("?")[0]) if "://" in name else name.replace("\\", "/")
    return ""


def _split(path: str) -> str | None:
    """The split that the name of the file states, else the nearest folder that states one."""
    stem = posixpath.basename(path).rpartition(".")[0]
    return next(filter(None, map(split_of, [_NO_SPLIT.sub("", stem), *reversed(path.split("/")[:-1])])), None)


def _chosen(files: Iterable[_File]) -> dict[str | None, _File]:
    """Chooses one file per split if there is one for train, else the one file with the most images."""
    best: dict[str | None, _File] = {}
    for file in sorted(files, key=lambda f: (f.rank, -f.images, f.path)):
        best.setdefault(file.split, file)
    if "train" in best:
        return {split: best[split] for split in _ORDER if split in best}
    return {None: max(best.values(), key=lambda f: (-f.rank, f.images))} if best else {}


class _Index:
    """The images of a data set, by file name."""

    def __init__(self, sight: Sight) -> None:
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for path in sight.images:
            self._by_name[posixpath.basename(path).casefold()].append(path)

    def folder(self, names: Iterable[str], near: Sequence[str] = ()) -> str | None:
        """The folder in which most names start; of equal ones, one with a part of `near`, then the shortest."""
        votes: Counter[str] = Counter()
        for name in names:
            parts = [part for part in name.split("/") if part not in ("", ".", "..")]
            paths = self._by_name.get(parts[-1].casefold(), []) if parts else []
            whole = [path for path in paths if f"/{path}".endswith("/" + "/".join(parts))]
            votes.update(
                {path[: len(path) - len("/".join(parts))] for path in whole}
                or {path.rpartition("/")[0] for path in paths}
            )
        if not votes:
            return None
        best = max(
            votes,
            key=lambda folder: (votes[folder], any(part in near for part in folder.split("/")), -len(folder), folder),
        )
        return best.rstrip("/")


def _proposals(files: Mapping[str | None, _File], index: _Index, others: Sequence[str]) -> Iterator[Proposal]:
    near = {
        split: [part for part in file.path.replace(".", "/").replace("_", "/").split("/") if split_of(part)]
        for split, file in files.items()
    }
    images = {split: index.folder(file.names, near[split]) for split, file in files.items()}
    if None in images.values():
        return  # the images are elsewhere
    data: dict[str, Any] = {"annotations": _setting({split: file.path for split, file in files.items()})}
    if any(images.values()):
        data["images"] = _setting({split: folder or "." for split, folder in images.items()})
    count = sum(file.images for file in files.values())
    annotations = sum(file.annotations for file in files.values())
    categories = sorted({name for file in files.values() for name in file.categories})
    reason = (
        f"{truncated_list(file.path for file in files.values())} describe {count:,} images in COCO's format, with "
        f"{annotations:,} annotations of {len(categories):,} categories"
    )
    notes = [f"annotation files that are not used: {truncated_list(others)}"] if others else []
    masks = {split: index.folder(file.masks) for split, file in files.items()}
    if None not in masks.values():
        with_masks = data | {"masks": _setting({split: folder or "." for split, folder in masks.items()})}
        yield Proposal("coco", ("segmentation",), reason, with_masks, comments={"data.masks": "panoptic"}, notes=notes)
    elif sum(file.regions for file in files.values()) * 2 > annotations:
        ground = next((name for name in categories if name.strip().lower() == "background"), "background").strip()
        comments = {"labels.background": "the label of pixels outside all regions"}
        yield Proposal("coco", ("segmentation",), reason, data, {"background": ground}, comments, notes=notes)
    yield Proposal("coco", ("multi_label",), reason, data, notes=notes)


def _setting(values: Mapping[str | None, str]) -> str | dict[str, str]:
    """One path if all splits share it or there is none, else a path per split."""
    if None in values:
        return values[None]
    return {str(split): value for split, value in values.items()}
