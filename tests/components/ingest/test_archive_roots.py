"""A data set in an archive gives the same shards as unpacked, with its labels at the top or one folder below."""

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from prepared import ingest

from components.data.dataset import Dataset
from components.ingest import shards
from components.ingest.layouts import folders, masks

Png = Callable[..., bytes]
WriteFiles = Callable[..., Path]
SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}


def packed(folder: Path, top: str) -> dict[str, Path]:
    """The folder in every kind of archive, below a folder `top` or at the top of the archive ("")."""
    files = sorted(folder.rglob("*"))
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, Path(top) / file.relative_to(folder))
    for ending, mode in ((".tar", "w"), (".tar.gz", "w:gz")):
        with tarfile.open(folder.with_suffix(ending), mode) as tar:  # type: ignore[call-overload]
            tar.add(folder, top or ".")
    return {ending: folder.with_suffix(ending) for ending in (".zip", ".tar", ".tar.gz")}


@pytest.mark.parametrize("top", ["", "clothes"])
def test_the_shards_are_those_of_the_folder(tmp_path: Path, write_files: WriteFiles, png: Png, top: str) -> None:
    files = {f"{label}/{i}.png": png(10 * n + i) for n, label in enumerate(["hat", "shirt"]) for i in range(10)}
    folder = write_files(tmp_path / "data", files | {"hat/broken.png": b"x", ".DS_Store": b"", "LICENSE": b""})
    (folder / "shoe").mkdir()
    expected = folders.read(str(folder), SHARES)
    assert len(expected.records) == 21
    assert expected.labels == ("hat", "shirt", "shoe")
    unpacked = ingest(expected, tmp_path / "out")

    for ending, path in packed(folder, top).items():
        dataset = folders.read(f"{path}/{top}".rstrip("/"), SHARES)
        counted = ingest(dataset, tmp_path / f"out{ending}")
        assert [f.sha256 for f in counted.files] == [f.sha256 for f in unpacked.files], ending
        assert counted == unpacked, ending


def test_images_and_masks_come_from_an_archive(tmp_path: Path, write_files: WriteFiles, png: Png) -> None:
    files = {f"{folder}/{i}.png": png(i) for folder in ("images", "masks") for i in range(4)}
    root = write_files(tmp_path / "data", files)

    def listed(path: Path) -> Dataset:
        return masks.read(str(path), SHARES, ["a"], images="images", masks="masks")

    paths = [(r.path, r.mask, r.size) for r in listed(root).records]
    assert len(paths) == 4
    for path in packed(root, "").values():
        dataset = listed(path)
        assert [(r.path, r.mask, r.size) for r in dataset.records] == paths
        job = shards.job(dataset, 10_000)
        assert [item.problem for item in shards.examine(dataset.records, job)] == [""] * 4
