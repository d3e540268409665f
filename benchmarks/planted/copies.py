"""Copies of a data set, with faults of which each is known."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from benchmarks.accuracy.labelled import Labelled
from benchmarks.accuracy.masked import Masked
from benchmarks.planted import faults
from benchmarks.planted.faults import Fault

RECORD = "planted.json"
_SHARE, _MOST = 0.01, 20  # of the pictures get one kind of fault, and at most so many
_WRONG = 0.05  # of the pictures get a wrong label


@dataclass(frozen=True)
class Picture:
    """A picture of a data set.

    Attributes:
        name: of its file in the copy.
        file, mask: where its files are now.
        labels: those that apply.
        split: the one that the data set names, if any.
        content, mask_content: the files' bytes if they differ from those of `file` and `mask`.
    """

    name: str
    file: Path
    labels: tuple[str, ...] = ()
    mask: Path | None = None
    split: str | None = None
    content: bytes | None = None
    mask_content: bytes | None = None


@dataclass(frozen=True)
class Collection:
    """A data set: its task, the names of its labels, its pictures, and for masks the label of ignored pixels."""

    task: str
    labels: tuple[str, ...]
    pictures: tuple[Picture, ...]
    ignored: int | None = None

    @classmethod
    def labelled(cls, folder: Path, table: Path | None = None) -> Collection:
        """Reads a folder with a folder for each label, or a table with a column of 0 and 1 for each."""
        data = Labelled.read(folder, table, None)
        pictures = (
            Picture(file.name, file, tuple(data.labels[i] for i in np.flatnonzero(target).tolist()))
            for file, target in zip(data.files, data.targets, strict=True)
        )
        return cls("single_label" if data.exclusive else "multi_label", tuple(data.labels), tuple(pictures))

    @classmethod
    def masked(cls, folders: Iterable[tuple[Path, Path]], names: Sequence[str], ignored: int) -> Collection:
        """Reads pairs of a folder of images and one of masks with the same names."""
        data = [pair for images, masks in folders for pair in Masked.read((images, masks), None, names, ignored).files]
        return cls("segmentation", tuple(names), tuple(Picture(i.name, i, mask=m) for i, m in data), ignored)


@dataclass(frozen=True)
class Planted:
    """A fault in a copy: its name, the kinds of findings that name it, and the picture that a leak is a copy of."""

    fault: str
    kinds: tuple[str, ...]
    partner: str | None = None


@dataclass
class Copy:
    """A data set as it is written, and what was planted: path -> fault, and label -> what it can be told from."""

    name: str
    data: Collection
    pictures: list[Picture]
    planted: dict[str, Planted] = field(default_factory=dict)
    shortcuts: dict[str, str] = field(default_factory=dict)

    def path(self, picture: Picture) -> str:
        """Where the picture lies below the copy's root, which is what a finding calls it."""
        if self.data.task == "single_label":
            return "/".join(part for part in (picture.split, *picture.labels, picture.name) if part)
        return "/".join(part for part in ("images", picture.split, picture.name) if part)

    def write(self, folder: Path, training: Mapping[str, Any]) -> Path:
        """Writes the data set, linking the files that are unchanged, with a configuration; returns its path.

        Args:
            folder: is created.
            training: the section `training` of the configuration.

        Raises:
            FileExistsError: the folder exists; pictures of an earlier copy in it may be links to the data set's files.
        """
        folder.mkdir(parents=True)
        root = folder / "data"
        for picture in self.pictures:
            _place(picture.file, picture.content, root / self.path(picture))
            if picture.mask:
                name = Path(picture.name).with_suffix(picture.mask.suffix).name
                _place(picture.mask, picture.mask_content, root / "masks" / (picture.split or "") / name)
        config = {
            "name": "planted",
            "task": self.data.task,
            "data": {"root": "data", **self._layout(root)},
            "labels": {"names": list(self.data.labels)}
            | ({"ignore": self.data.ignored} if self.data.ignored is not None else {}),
            "training": dict(training),
            "output": "../output",  # of all copies, so that features of images that they share are computed once
            "push": {"destination": "served"},
        }
        (folder / "imagegate.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        (folder / RECORD).write_text(json.dumps(self.record(), indent=1), encoding="utf-8")
        return folder / "imagegate.yaml"

    def record(self) -> dict[str, Any]:
        """What other tools are told of the copy, and what was planted."""
        return {
            "task": self.data.task,
            "labels": self.data.labels,
            "images": [{"path": self.path(p), "labels": p.labels, "split": p.split} for p in self.pictures],
            "planted": {path: dataclasses.asdict(fault) for path, fault in self.planted.items()},
            "shortcuts": self.shortcuts,
        }

    def _layout(self, root: Path) -> dict[str, Any]:
        if self.data.task == "single_label":
            return {"layout": "folders"}
        named = sorted({picture.split for picture in self.pictures if picture.split})
        if self.data.task == "segmentation":
            return {"layout": "masks"} | {
                side: {split: f"{side}/{split}" for split in named} if named else side for side in ("images", "masks")
            }
        with (root / "labels.csv").open("w", encoding="utf-8", newline="") as f:
            rows = csv.writer(f)
            rows.writerow(["file", "labels", "split"])
            rows.writerows([self.path(p), "|".join(p.labels), p.split or ""] for p in self.pictures)
        columns = {"image": "file", "labels": "labels"} | ({"split": "split"} if named else {})
        return {"layout": "manifest", "manifest": "labels.csv", "columns": columns}


def clean(data: Collection, seed: int, share: float = 1.0) -> Copy:
    """A random share of the pictures, unchanged and without named splits."""
    kept = np.random.default_rng(seed).permutation(len(data.pictures))[: round(share * len(data.pictures))]
    return Copy(f"clean-{seed}", data, [data.pictures[i] for i in sorted(kept)])


def single(data: Collection, seed: int) -> Copy:
    """Every fault of a single picture, in different pictures."""
    copy = Copy("single", data, list(data.pictures))
    for (name, fault), indices in _chosen(len(data.pictures), faults.SINGLE, seed):
        for i in indices:
            copy.pictures[i] = _changed(data.pictures[i], fault, data.ignored)
            copy.planted[copy.path(copy.pictures[i])] = Planted(name, fault.kinds)
    return copy


def shortcut(data: Collection, name: str) -> Copy:
    """All pictures of the label of middle frequency can be told from one property."""
    fault = faults.SHORTCUTS[name]
    numbers = {label: sum(label in picture.labels for picture in data.pictures) for label in data.labels}
    label = sorted(data.labels, key=numbers.__getitem__)[len(data.labels) // 2]
    pictures = list(data.pictures)
    for i, picture in enumerate(data.pictures):
        if label in picture.labels and name == "file name":
            pictures[i] = dataclasses.replace(picture, name=f"scan_{i:05}{picture.file.suffix}")
        elif label in picture.labels:
            pictures[i] = _changed(picture, fault, data.ignored)
    return Copy(f"shortcut-{name.replace(' ', '-')}", data, pictures, shortcuts={label: name})


def wrong_labels(data: Collection, seed: int) -> Copy:
    """One in twenty pictures has a wrong label: another one, or of several labels one more or one less."""
    random = np.random.default_rng(seed)
    copy = Copy("labels", data, list(data.pictures))
    taken = {copy.path(picture) for picture in data.pictures}
    for i in random.permutation(len(data.pictures))[: round(_WRONG * len(data.pictures))]:
        picture = data.pictures[i]
        picture = dataclasses.replace(picture, labels=_other_labels(data, picture, random))
        if copy.path(picture) in taken and data.task == "single_label":  # by a picture of that label with this name
            picture = dataclasses.replace(picture, name=random.bytes(6).hex() + picture.file.suffix)
        copy.pictures[i] = picture
        copy.planted[copy.path(picture)] = Planted(faults.WRONG_LABEL, faults.WRONG_LABEL_KINDS)
    return copy


def leaks(data: Collection, seed: int, *, between: str) -> Copy:
    """Changed copies of pictures of train in test (`between` is "splits") or in train with other labels ("labels")."""
    random = np.random.default_rng(seed)
    number = len(data.pictures)
    pictures = [
        dataclasses.replace(picture, split=_split(place / number))
        for picture, place in zip(data.pictures, random.permutation(number), strict=True)
    ]
    copy = Copy(f"leaks-{between}", data, list(pictures))
    train = [i for i, picture in enumerate(pictures) if picture.split == "train"]
    for (name, fault), indices in _chosen(len(train), faults.LEAKS, seed):
        for i in indices:
            original = pictures[train[i]]
            added = _changed(original, fault, data.ignored)
            added = dataclasses.replace(added, name=random.bytes(6).hex() + added.file.suffix)
            if between == "splits":
                added = dataclasses.replace(added, split="test")
            else:
                added = dataclasses.replace(added, labels=_other_labels(data, original, random))
            copy.pictures.append(added)
            copy.planted[copy.path(added)] = Planted(name, fault.kinds, copy.path(original))
    return copy


def _chosen(number: int, kinds: Mapping[str, Fault], seed: int) -> Iterator[tuple[tuple[str, Fault], Sequence[int]]]:
    """Yields each fault with the indices of the pictures that get it; no picture gets two."""
    each = min(_MOST, max(1, round(_SHARE * number)))
    order = np.random.default_rng(seed).permutation(number)[: each * len(kinds)]
    yield from zip(kinds.items(), np.split(order, len(kinds)), strict=True)


def _split(place: float) -> str:
    """The split at a place in [0, 1): 80% are train, and a tenth each is eval and test."""
    return "train" if place < 0.8 else "eval" if place < 0.9 else "test"


def _other_labels(data: Collection, picture: Picture, random: np.random.Generator) -> tuple[str, ...]:
    if data.task == "single_label":
        return (str(random.choice([label for label in data.labels if label not in picture.labels])),)
    one = str(random.choice(data.labels))
    if picture.labels == (one,):  # no picture is left without any label
        return (str(random.choice([label for label in data.labels if label != one])),)
    return tuple(label for label in data.labels if (label in picture.labels) != (label == one))


def _changed(picture: Picture, fault: Fault, ignored: int | None) -> Picture:
    """The picture with a fault, encoded as before unless the fault is the format."""
    suffix = picture.file.suffix
    if fault.suffix:
        suffix = ".jpg" if suffix.lower() == ".png" else ".png"
    with Image.open(picture.file) as image:
        content = faults.encoded(fault.change(image.convert("RGB"), None), suffix, fault.quality)
    mask_content = picture.mask_content
    if picture.mask and fault.moves:
        with Image.open(picture.mask) as mask:
            mask_content = faults.encoded(fault.change(mask, ignored), picture.mask.suffix)
    name = Path(picture.name).with_suffix(suffix).name
    return dataclasses.replace(picture, name=name, content=content, mask_content=mask_content)


def _place(source: Path, content: bytes | None, target: Path) -> None:
    """Writes a file of a copy. Never writes into one that exists: it may be a link to a file of the data set itself.

    Raises:
        FileExistsError: two pictures have one path, or the folder holds an earlier copy.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        try:
            os.link(source, target)
            return
        except FileExistsError:
            raise
        except OSError:  # on another file system
            content = source.read_bytes()
    with target.open("xb") as f:
        f.write(content)
