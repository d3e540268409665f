"""Scenes that are cut into tiles: records, splits, masks, and what is left out."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.data.arrays import stored
from components.data.dataset import Dataset
from components.data.manifest import Assigned
from components.ingest import earlier, ledger, settling, shards
from components.ingest.counts import census
from components.ingest.earlier import Earlier
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


def test_a_scene_that_cannot_be_used_is_quarantined_once_by_its_own_name(root: Path) -> None:
    (root / "images" / "4.npy").write_bytes(b"\x93NUMPY nothing")
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(root / "masks" / "5.png")
    dataset, job, items = examined(source(root))
    report = census.Report()
    for item in items:
        shards.enter(item, report)
    assert [path for path, _ in report.quarantined] == ["images/4.npy", "images/5.npy"]
    assert "the mask has 8 x 6 pixels, but the image has 7 x 6" in report.quarantined[1][1]
    manifest, _ = settling.merge(dataset, [report], job, None)
    assert "3 images with no part in the data, more tiles of scenes that are in quarantine" in " ".join(manifest.notes)


def test_a_scene_and_its_copy_are_in_one_split_and_stay_there(root: Path) -> None:
    """Also under other names, and with other shares."""
    scene = np.load(root / "images" / "2.npy")
    np.save(root / "images" / "2 again.npy", scene)
    (root / "masks" / "2 again.png").write_bytes((root / "masks" / "2.png").read_bytes())
    dataset, job, items = examined(source(root))
    report = census.Report()
    for item in items:
        shards.enter(item, report)
    limits = NearLimits(distance=10, max_share=1.0)
    _, seen = settling.merge(dataset, [report], job, limits)
    split_of = report.splits()
    assert len({split_of[f"images/{name}.npy@{at}"] for name in ("2", "2 again") for at in ("0,0", "4,4")}) == 1
    # A later run whose shares put nearly all new images into eval.
    assigned = Assigned(fractions=dataset.fractions, origin="", earlier="")
    before = Earlier().after(seen.rows, assigned, "")
    for kind in ("images", "masks"):
        for path in (root / kind).iterdir():
            path.rename(path.with_stem(f"renamed {path.stem}"))
    later, rule = reading.read(source(root, split={"train": 0.01, "eval": 0.98, "test": 0.01}))
    known = earlier.joined(before, None, later.fractions)
    job = shards.job(later, 1000, rule, earlier=known, bands=source(root).data.arrays)
    found = {item.record.path: item.split for item in shards.examine(later.records, job)}
    # What was in train stays there; test follows the new shares, which put it closer to train.
    follows = {"train": "train", "eval": "eval", "test": "eval"}
    assert found == {path.replace("images/", "images/renamed "): follows[split] for path, split in split_of.items()}
    assert "train" in found.values()


def test_scenes_beyond_the_limits_are_not_cut(root: Path, tmp_path: Path) -> None:
    """A header of 128 bytes that says 2^80 pixels, and a file whose size is beyond all limits."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"shape": (1 << 40, 1 << 40, 2), "fortran_order": False, "descr": "<u2"})
    (root / "images" / "0.npy").write_bytes(out.getvalue())
    with open(root / "images" / "1.npy", "r+b") as f:
        f.truncate(1 << 32)
    items = {item.record.path: item.problem for item in examined(source(root))[2] if item.problem}
    assert items["images/0.npy"].endswith("values are more than 4 times data.max_pixels (1,000)")
    assert items["images/1.npy"] == "4,294,967,296 bytes are more than data.max_pixels allows for"
    assert len(items) == 2


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
