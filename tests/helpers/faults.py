"""Faults to plant in copies of real data sets: what goes wrong with data that are collected again and again."""

import csv
import io
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image


class Clothing:
    """A folder of photos for each of ten labels."""

    config: ClassVar[dict[str, Any]] = {"name": "clothing", "task": "single_label", "data": {"root": "data"}}
    label, other = "pants", "shorts"

    def __init__(self, source: Path, folder: Path) -> None:
        self.root = folder / "data"
        shutil.copytree(source / "clothing", self.root, copy_function=shutil.copyfile)
        (self.root / "LICENSE").unlink()

    def photos(self, label: str | None = None) -> list[Path]:
        return sorted(self.root.glob(f"{label or '*'}/*.jpg"))

    def cut(self) -> None:
        for path in self.photos(self.label)[3:]:
            path.unlink()

    def swamp(self) -> None:
        for path in self.photos("hat")[3:]:
            path.unlink()
        _copies(self.photos("t-shirt"), 8)

    def vanish(self) -> None:
        shutil.rmtree(self.root / self.label)

    def twin(self) -> None:
        shutil.copytree(self.root / self.label, self.root / "trousers")

    def relabel(self) -> None:
        for path in self.photos(self.label)[::10]:
            path.rename(self.root / self.other / path.name)

    def leak(self) -> None:
        for i, path in enumerate(self.photos()):
            split = ("train", "train", "train", "val", "test")[i % 5]
            (self.root / split / path.parent.name).mkdir(parents=True, exist_ok=True)
            path.rename(self.root / split / path.parent.name / path.name)
        for folder in self.root.iterdir():
            if folder.name not in ("train", "val", "test"):
                folder.rmdir()
        photo = sorted((self.root / "train" / self.label).iterdir())[0]
        recoded(photo, self.root / "test" / self.label / "again.jpg")

    def contradict(self) -> None:
        shutil.copyfile(self.photos(self.label)[0], self.root / self.other / "again.jpg")

    def truncate(self) -> None:
        truncated(self.photos()[::20])

    def darken(self) -> None:
        darkened(self.photos(self.label))


class Miml:
    """Photos with five labels each, in a table."""

    config: ClassVar[dict[str, Any]] = {
        "name": "miml",
        "task": "multi_label",
        "data": {
            "root": "data",
            "layout": "manifest",
            "manifest": "labels.csv",
            "images": "images",
            "columns": {"image": "Filenames", "labels": ["desert", "mountains", "sea", "sunset", "trees"]},
        },
    }
    label, other = "sunset", "trees"

    def __init__(self, source: Path, folder: Path) -> None:
        self.root = folder / "data"
        shutil.copytree(source / "miml", self.root, copy_function=shutil.copyfile)
        with (self.root / "labels.csv").open(newline="") as f:
            self.rows = list(csv.DictReader(f))

    def path(self, row: dict[str, str]) -> Path:
        return self.root / "images" / row["Filenames"]

    def write(self) -> None:
        with (self.root / "labels.csv").open("w", newline="") as f:
            table = csv.DictWriter(f, list(self.rows[0]))
            table.writeheader()
            table.writerows(self.rows)

    def with_label(self, label: str) -> list[dict[str, str]]:
        return [row for row in self.rows if row[label] == "1"]

    def cut(self) -> None:
        for row in self.with_label(self.label)[3:]:
            self.rows.remove(row)
        self.write()

    def swamp(self) -> None:
        for row in self.with_label(self.label)[5:]:
            self.rows.remove(row)
        for path in _copies([self.path(row) for row in self.with_label("trees")], 5):
            self.rows.append(dict.fromkeys(self.rows[0], "0") | {"Filenames": path.name, "trees": "1"})
        self.write()

    def vanish(self) -> None:
        self.rows = [row for row in self.rows if row[self.label] == "0"]
        self.write()

    def twin(self) -> None:
        for row in self.rows:
            row[self.other] = row[self.label]
        self.write()

    def relabel(self) -> None:
        for row in self.with_label(self.label)[::10]:
            row[self.label], row[self.other] = "0", "1"
        self.write()

    def leak(self) -> None:
        for i, row in enumerate(self.rows):
            row["split"] = ("train", "train", "train", "val", "test")[i % 5]
        self.config["data"]["columns"]["split"] = "split"
        row = next(row for row in self.rows if row["split"] == "train")
        recoded(self.path(row), self.root / "images" / "again.jpg")
        self.rows.append(row | {"Filenames": "again.jpg", "split": "test"})
        self.write()

    def contradict(self) -> None:
        row = self.with_label(self.label)[0]
        shutil.copyfile(self.path(row), self.root / "images" / "again.jpg")
        self.rows.append(row | {"Filenames": "again.jpg", self.label: "0"})
        self.write()

    def truncate(self) -> None:
        truncated(self.path(row) for row in self.rows[::20])

    def darken(self) -> None:
        darkened(self.path(row) for row in self.with_label(self.label))


def _copies(paths: Iterable[Path], times: int) -> list[Path]:
    made = [path.with_name(f"{path.stem}-{i}{path.suffix}") for path in paths for i in range(times)]
    for copy in made:
        os.link(copy.with_name(copy.name.rsplit("-", 1)[0] + copy.suffix), copy)
    return made


def recoded(photo: Path, to: Path) -> None:
    """The same photo at 70 % of its size, compressed more."""
    with Image.open(photo) as image:
        smaller = image.convert("RGB").resize((round(image.width * 0.7), round(image.height * 0.7)))
    smaller.save(to, quality=60)


def truncated(paths: Iterable[Path]) -> None:
    for path in paths:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[: len(content) // 2])


def darkened(paths: Iterable[Path]) -> None:
    for path in paths:
        with Image.open(path) as image:
            darker = image.convert("RGB").point(lambda level: level // 2)
        out = io.BytesIO()
        darker.save(out, "JPEG", quality=90)
        path.write_bytes(out.getvalue())


# Fault -> what the gate must say, for clothing and for miml.
FAULTS: dict[str, tuple[str, str]] = {
    "cut": (
        r"examples in train of label 'pants' is [0-3], below the minimum 10",
        r"examples in train of label 'sunset' is [0-3], below the minimum 10",
    ),
    "swamp": (
        r"most to the least frequent label in train is \d+, above the maximum 100: 't-shirt' has \d+, 'hat' has \d",
        r"most to the least frequent label in train is [\d.]+, above the maximum 100: 'trees' has .*'sunset' has \d",
    ),
    "vanish": (
        r"vanished labels of label 'pants' is 1, above the maximum 0: 'pants', which version \d+ of the model",
        r"vanished labels of label 'sunset' is 1, above the maximum 0: 'sunset', which version \d+ of the model",
    ),
    "twin": (
        r"equal files under different labels is 67, above the maximum 0: pants/\S+ = trousers/",
        r"co-occurrence \(phi\) of labels 'sunset' and 'trees' in train is 1, above the maximum 0.98: 187 of 808",
    ),
    "relabel": (
        r"relabelled since version \d+ of label 'pants' is 0.1045, above the maximum 0.05: 7 of 67 images, shorts/",
        r"relabelled since version \d+ of label 'sunset' is 0.1039, above the maximum 0.05: 24 of 231 images",
    ),
    "leak": (
        r"images in different predefined splits is 1, .*: test/pants/again.jpg ~ train/pants/",
        r"images in different predefined splits is \d+, .*images/1.jpg ~ images/again.jpg",
    ),
    "contradict": (
        r"equal files under different labels is 1, above the maximum 0: pants/\S+ = shorts/again.jpg",
        r"equal files under different labels is 1, above the maximum 0: images/\d+.jpg = images/again.jpg",
    ),
    "truncate": (
        r"share of quarantined files is 0.05204, above the maximum 0.01: 23 of 442 files",
        r"share of quarantined files is 0.05, above the maximum 0.01: 50 of 1000 files",
    ),
    "darken": (
        r"distance of the brightness in train from that of version \d+ of label 'pants' is 0.9\d+, above",
        r"distance of the brightness in train from that of version \d+ of label 'sunset' is 0.\d+, above",
    ),
}

SETS: tuple[Callable[[Path, Path], Any], ...] = (Clothing, Miml)
