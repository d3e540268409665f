"""Scenes that are cut into tiles: records, splits, masks, and what is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.data.arrays import stored
from components.data.dataset import Dataset
from components.ingest import census, ledger, settling, shards
from components.ingest.layouts import reading
from components.ingest.settings import Data, Labels, NearLimits, Source


def source(root: Path, **data: object) -> Source:
    told = {"root": str(root), "layout": "masks", "images": "images", "masks": "masks", "bands": 2, "tile": (4, 4)}
    labels = Labels(names=("a", "b"), ignore=255)
    return Source(exclusive=True, per_pixel=True, data=Data(**{**told, **data, "invalid": "zero"}), labels=labels)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six scenes of 6 x 7 pixels; a value is 100 times its row and its column, and 1 more in the second band."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for i in range(6):
        place = np.arange(6)[:, None] * 100 + np.arange(7)
        np.save(tmp_path / "images" / f"{i}.npy", np.stack([place + i * 1000, place + 1], axis=-1).astype(np.uint16))
        Image.fromarray((np.arange(42).reshape(6, 7) % 2).astype(np.uint8)).save(tmp_path / "masks" / f"{i}.png")
    return tmp_path


def examined(told: Source) -> tuple[Dataset, shards.Job, list[shards.Examined]]:
    dataset, rule = reading.read(told)
    job = shards.job(dataset, 1000, rule, bands=told.data.arrays)
    return dataset, job, list(shards.examine(dataset.records, job))


def test_a_scene_is_cut_into_tiles_that_stay_together(root: Path) -> None:
    dataset, job, items = examined(source(root))
    assert [record.path for record in dataset.records[:5]] == [
        *("images/0.npy@0,0", "images/0.npy@0,4", "images/0.npy@4,0", "images/0.npy@4,4", "images/1.npy@0,0")
    ]
    assert not [item.problem for item in items if item.problem]
    assert len({item.sha256 for item in items}) == 24
    for start in range(0, 24, 4):
        assert len({item.split for item in items[start : start + 4]}) == 1
    last = items[7]  # of the scene 1, at 4, 4: two rows and three columns are inside
    assert last.image is not None
    assert last.mask is not None
    array = stored.restored(last.image.encoded)
    assert array.pixels[0, :, :, 1].tolist() == [[405, 406, 407, 0], [505, 506, 507, 0], [0] * 4, [0] * 4]
    assert array.valid[0].sum() == 6
    assert (last.mask.pixels, last.mask.ignored) == ((3, 3), 10)
    report = census.Report()
    for item in items:
        shards.enter(item, report)
    manifest, _ = settling.merge(dataset, [report], job, NearLimits(distance=10, max_share=1.0))
    assert manifest.arrays is not None
    assert (manifest.arrays.height, manifest.arrays.width) == (4, 4)
    assert sum(manifest.counts.values()) == 24
    known = sum(sum(own for own, _, _ in cells[:2]) for cells in manifest.pixels.values())
    assert known == 6 * 42


def test_tiles_without_a_valid_or_a_labelled_pixel_are_left_out_and_told(root: Path) -> None:
    scene = np.load(root / "images" / "2.npy")
    scene[:, 4:] = 0  # both tiles at the right
    np.save(root / "images" / "2.npy", scene)
    mask = np.asarray(Image.open(root / "masks" / "3.png")).copy()
    mask[4:, :4] = 255
    Image.fromarray(mask).save(root / "masks" / "3.png")
    dataset, job, items = examined(source(root))
    report = census.Report()
    for item in items:
        shards.enter(item, report)
    manifest, _ = settling.merge(dataset, [report], job, None)
    assert manifest.quarantined == ()
    assert sum(manifest.counts.values()) == 21
    told = " ".join(manifest.notes)
    assert "2 images with no valid pixel" in told
    assert "1 image with no labelled pixel" in told
    assert "images/3.npy@4,0" in told


def test_a_broken_scene_is_quarantined_once_and_a_mask_of_another_size_for_each_tile(root: Path) -> None:
    (root / "images" / "4.npy").write_bytes(b"\x93NUMPY nothing")
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(root / "masks" / "5.png")
    problems = [(item.record.path, item.problem) for item in examined(source(root))[2] if item.problem]
    assert [path for path, _ in problems] == [
        "images/4.npy",
        *(f"images/5.npy@{at}" for at in ("0,0", "0,4", "4,0", "4,4")),
    ]
    assert "the mask has 8 x 6 pixels, but the image has 7 x 6" in problems[1][1]


def test_each_scene_is_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = source(root)
    dataset, rule = reading.read(told)
    job = shards.job(dataset, 1000, rule, bands=told.data.arrays)
    read, whole = [], shards.storage.read

    def counted(place: str, path: str, *moments: object) -> bytes:
        read.append(path)
        return whole(place, path, *moments)

    monkeypatch.setattr(shards.storage, "read", counted)
    list(shards.examine(dataset.records, job))
    assert sorted(read) == sorted(
        f"{kind}/{i}.{end}" for kind, end in (("images", "npy"), ("masks", "png")) for i in range(6)
    )
    read.clear()
    assert len({r.path: d for r, d in ledger.digests(str(root), dataset.records, 1000)}) == 24
    assert sum(path.endswith("npy") for path in read) == 6
