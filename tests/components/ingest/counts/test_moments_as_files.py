"""Sequences whose moments are files of their own, in a folder each."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.data.arrays import stored
from components.data.dataset import Dataset
from components.data.storage import bundles
from components.data.storage.bundles import Part
from components.ingest import settling, shards
from components.ingest.counts import census
from components.ingest.layouts import reading
from components.ingest.settings import Data, Labels, Source

MONTHS = [f"2017-0{month}" for month in range(1, 7)]
LACKING = ("tile_03", "tile_07")


def source(root: object, **data: object) -> Source:
    told = {"root": str(root), "layout": "masks", "images": "frames", "masks": "masks", "bands": 2, "frames": 6}
    labels = Labels(names=("a", "b"))
    return Source(exclusive=True, per_pixel=True, data=Data(**{**told, **data}), labels=labels)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten tiles of six months, of which two lack March; a value says its month."""
    (tmp_path / "data" / "masks").mkdir(parents=True)
    for i in range(10):
        name = f"tile_{i:02}"
        (tmp_path / "data" / "frames" / name).mkdir(parents=True)
        for month, text in enumerate(MONTHS, 1):
            if not (name in LACKING and month == 3):
                pixels = np.full((4, 5, 2), month, np.uint16)
                pixels[0, 0, 0] = i
                np.save(tmp_path / "data" / "frames" / name / f"{text}.npy", pixels)
        Image.fromarray(np.ones((4, 5), np.uint8)).save(tmp_path / "data" / "masks" / f"{name}.png")
    return tmp_path / "data"


def examined(told: Source) -> tuple[Dataset, shards.Job, list[shards.Examined]]:
    dataset, rule = reading.read(told)
    job = shards.job(dataset, 1000, rule, bands=told.data.arrays)
    return dataset, job, list(shards.examine(dataset.records, job))


def test_a_missing_moment_is_invalid_in_its_place(root: Path) -> None:
    dataset, job, items = examined(source(root))
    assert [record.path for record in dataset.records] == [f"frames/tile_{i:02}.frames" for i in range(10)]
    assert [record.mask for record in dataset.records] == [f"masks/tile_{i:02}.png" for i in range(10)]
    assert not [item.problem for item in items if item.problem]
    for item in items:
        assert item.image is not None
        array = stored.restored(item.image.encoded)
        lacks = Path(item.record.path).stem in LACKING
        assert array.pixels[:, 1, 1, 1].tolist() == [1, 2, 0 if lacks else 3, 4, 5, 6]
        assert array.valid[:, 1, 1].tolist() == [True, True, not lacks, True, True, True]
        assert (array.times - array.times[0]).tolist() == [0, 31, 59, 90, 120, 151]
    report = census.Report()
    for item in items:
        shards.enter(item, report)
    manifest, _ = settling.merge(dataset, [report], job, None)
    assert manifest.arrays is not None
    assert manifest.arrays.calendar is not None
    assert len(manifest.arrays.calendar) == 6


def test_moments_of_other_dates_each_stay_as_they_are(root: Path) -> None:
    """Seven dates in all, of which each tile has six at most: no calendar, so that none has too many."""
    folder = root / "frames" / "tile_00"
    (folder / "2017-06.npy").rename(folder / "2017-06-20.npy")
    _, job, items = examined(source(root))
    assert job.expected is not None
    assert job.expected.calendar == ()
    lengths = [len(stored.restored(item.image.encoded).pixels) for item in items if item.image]
    assert lengths == [5 if f"tile_{i:02}" in LACKING else 6 for i in range(10)]


def test_a_wrong_moment_is_named(root: Path) -> None:
    np.save(root / "frames" / "tile_01" / "2017-02.npy", np.zeros((4, 6, 2), np.uint16))
    (root / "frames" / "tile_02" / "2017-04.npy").write_bytes(b"")
    problems = [item.problem for item in examined(source(root))[2]]
    assert problems[1:3] == ["2017-02.npy: 6 x 4 pixels, but 2017-01.npy has 5 x 4", "2017-04.npy: empty file"]
    assert not any(problems[:1] + problems[3:])


def test_two_moments_of_one_date_are_named(root: Path) -> None:
    np.save(root / "frames" / "tile_03" / "b_2017-02.npy", np.zeros((4, 5, 2), np.uint16))
    problems = [item.problem for item in examined(source(root))[2] if item.problem]
    assert problems == ["2017-02.npy and b_2017-02.npy have the same date"]


def test_files_that_hold_whole_sequences_stay_files(tmp_path: Path, root: Path) -> None:
    """They are dated as well, but each is an example."""
    shutil.rmtree(root / "frames")
    (root / "frames").mkdir()
    for i in range(10):
        np.save(root / "frames" / f"2017-01-{i + 1:02}.npy", np.ones((6, 4, 5, 2), np.uint16))
        (root / "masks" / f"tile_{i:02}.png").rename(root / "masks" / f"2017-01-{i + 1:02}.png")
    dataset, _, items = examined(source(root))
    assert dataset.records[0].path == "frames/2017-01-01.npy"
    assert not any(item.problem for item in items)


def test_label_folders_of_single_images_are_no_sequences(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for text in MONTHS:
            np.save(tmp_path / label / f"{text}.npy", np.ones((4, 5, 2), np.uint16))
    told = Source(exclusive=True, per_pixel=False, data=Data(root=str(tmp_path), bands=2), labels=Labels())
    assert len(reading.read(told)[0].records) == 12


def test_an_archive_gives_the_same(root: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for path in sorted(root.rglob("*.*")):
            if path.is_file():
                archive.write(path, path.relative_to(root))
    here, there = (examined(source(place))[2] for place in (root, tmp_path / "data.zip"))
    assert [item.sha256 for item in here] == [item.sha256 for item in there]


def test_a_changed_moment_changes_the_sequence(root: Path) -> None:
    before = {file.path: file for file in reading.read(source(root))[0].records}
    np.save(root / "frames" / "tile_05" / "2017-02.npy", np.zeros((4, 5, 2), np.uint16))
    after = {file.path: file for file in reading.read(source(root))[0].records}
    assert {path for path in after if after[path].version != before[path].version} == {"frames/tile_05.frames"}


def test_contents_come_back_from_one() -> None:
    files = [Part("a.npy", b"one"), Part("b.npy", b"", 7.5)]
    assert bundles.unpacked("x.frames", bundles.packed(files)) == files
    hostile = bundles.packed(files)[:9] + b"{"
    assert bundles.unpacked("x.npy", hostile) == [Part("x.npy", hostile)]  # what a file says of itself is not believed
    assert bundles.unpacked("x", b"other") == [Part("x", b"other")]
    assert list(bundles.gathered("", [])) == []


def test_moments_are_in_the_order_of_their_dates_whatever_stands_before(root: Path) -> None:
    folder = root / "frames" / "tile_04"
    (folder / "2017-02.npy").rename(folder / "z_2017-02.npy")
    (folder / "2017-05.npy").rename(folder / "a_2017-05.npy")
    items = examined(source(root))[2]
    assert items[4].image is not None
    assert stored.restored(items[4].image.encoded).pixels[:, 1, 1, 1].tolist() == [1, 2, 3, 4, 5, 6]


def test_folders_of_numbered_moments_are_sequences(root: Path) -> None:
    """Without dates, the order is that of the names, as people count: 2 before 10."""
    for folder in (root / "frames").iterdir():
        for month, file in enumerate(sorted(folder.iterdir()), 1):
            file.rename(folder / f"moment {month * 5}.npy")  # 5, 10, 15, ...
    dataset, job, items = examined(source(root))
    assert [record.path for record in dataset.records] == [f"frames/tile_{i:02}.frames" for i in range(10)]
    assert job.expected is not None
    assert job.expected.calendar == ()
    assert items[0].image is not None
    array = stored.restored(items[0].image.encoded)
    assert array.pixels[:, 1, 1, 1].tolist() == [1, 2, 3, 4, 5, 6]
    assert array.times.tolist() == [0, 1, 2, 3, 4, 5]


def test_images_in_folders_whose_masks_are_in_folders_are_no_sequences(tmp_path: Path) -> None:
    for region in ("north", "south"):
        (tmp_path / "frames" / region).mkdir(parents=True)
        (tmp_path / "masks" / region).mkdir(parents=True)
        for i in range(3):
            np.save(tmp_path / "frames" / region / f"{i}.npy", np.ones((4, 5, 2), np.uint16))
            Image.fromarray(np.ones((4, 5), np.uint8)).save(tmp_path / "masks" / region / f"{i}.png")
    assert len(reading.read(source(tmp_path))[0].records) == 6


def test_sequences_below_the_folders_of_labels_and_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("rape", "wheat"):
            for field in range(3):
                (tmp_path / split / label / f"{split}{field}").mkdir(parents=True)
                for i in range(4):
                    np.save(tmp_path / split / label / f"{split}{field}" / f"{i}.npy", np.ones((4, 5, 2), np.uint16))
    data = Data(root=str(tmp_path), bands=2, frames=6)
    records = reading.read(Source(exclusive=True, per_pixel=False, data=data, labels=Labels()))[0].records
    assert len(records) == 12
    assert records[0].path == "test/rape/test0.frames"
    assert {record.labels for record in records} == {("rape",), ("wheat",)}


def test_a_file_that_only_looks_like_a_folder_of_moments_is_quarantined(root: Path) -> None:
    (root / "frames" / "trap.frames").write_bytes(b"IGF1" + b"\xff" * 100)
    Image.fromarray(np.ones((4, 5), np.uint8)).save(root / "masks" / "trap.png")
    items = examined(source(root))[2]
    assert [(item.record.path, item.problem) for item in items if item.problem] == [
        (
            "frames/trap.frames",
            "cannot be read: there is no folder frames/trap with the files of its moments",
        )
    ]
