"""A nightly ingest writes the shards that changed and links the others, and leaves what one from nothing leaves."""

import dataclasses
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from prepared import ingest

from components.data.dataset import Dataset, Record
from components.data.manifest import Assigned, DatasetManifest
from components.ingest import ledger, manifest, reuse, shard_files, shards, splits
from components.ingest.earlier import Earlier, joined
from components.ingest.layouts import folders
from components.ingest.settings import NearLimits

Png = Callable[..., bytes]
SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}
OF_THE_SHARDS = "Split-*/*.tfrecord"


def listed(root: Path) -> Dataset:
    """The listing as it would be some seconds later, when the last change is long ago."""
    dataset = folders.read(str(root), SHARES)
    records = [dataclasses.replace(r, version=r.version.replace("~", "")) for r in dataset.records]
    return dataclasses.replace(dataset, records=tuple(records))


def night(dataset: Dataset, folder: Path, previous: reuse.Previous | None = None, **told: object) -> DatasetManifest:
    """One ingest with its ledger."""
    counted = ingest(dataset, folder, previous=previous, **told)  # type: ignore[arg-type]
    digests = {record.path: content for record, content in ledger.digests(dataset.root, dataset.records, 1 << 30)}
    ledger.write(str(folder), folder.name, dataset, ((r.path, r.version) for r in dataset.records), digests.items())
    return counted


@pytest.fixture
def root(tmp_path: Path, png: Png) -> Path:
    """Forty different pictures of two labels."""
    for i in range(40):
        path = tmp_path / "data" / ("cat" if i % 2 else "dog") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i))
    return tmp_path / "data"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The folder of the ingests of one output, which are numbered."""
    (tmp_path / "examples").mkdir()
    return tmp_path / "examples"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the files that are read to be written."""
    found: list[str] = []
    whole = shards.examine

    def examine(records: list[Record], *others: object, **options: object) -> object:
        found.extend(record.path for record in records)
        return whole(records, *others, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(shards, "examine", examine)
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def shared(one: Path, other: Path) -> set[str]:
    """Shard files that both folders hold as one file on disk."""
    return {str(p.relative_to(one)) for p in one.glob(OF_THE_SHARDS) if p.samefile(other / p.relative_to(one))}


def test_with_one_new_image_only_its_shard_is_read_and_only_its_file_is_written(
    root: Path, runs: Path, tmp_path: Path, png: Png, reads: list[str]
) -> None:
    night(listed(root), runs / "1")
    (root / "cat" / "new.png").write_bytes(png(99))
    dataset = listed(root)
    [changed] = [part for part in shards.plan(dataset.records) if "cat/new.png" in {r.path for r in part}]
    reads.clear()
    counted = night(dataset, runs / "2", reuse.find(str(runs / "2")))

    assert sorted(reads) == sorted(record.path for record in changed)
    names = {str(p.relative_to(runs / "2")) for p in (runs / "2").glob(OF_THE_SHARDS)}
    assert len(names) == 4 * 3  # four shards in three splits
    assert len(names - shared(runs / "1", runs / "2")) == 1  # the file of its shard and split
    again = night(dataset, tmp_path / "alone")
    assert counted == again
    different = {name for name, data in content(runs / "2").items() if data != content(tmp_path / "alone")[name]}
    assert different == {"ledger.jsonl"}  # which holds the name of its folder here


def test_nothing_is_linked_that_changed_since_it_was_written(root: Path, runs: Path, png: Png) -> None:
    night(listed(root), runs / "1")
    largest = max((runs / "1").glob(OF_THE_SHARDS), key=lambda p: p.stat().st_size)
    whole = largest.read_bytes()
    largest.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    (root / "cat" / "new.png").write_bytes(png(99))
    night(listed(root), runs / "2", reuse.find(str(runs / "2")))
    for split in SHARES:
        manifest.verify(str(runs / "2"), split)
    assert not largest.samefile(runs / "2" / largest.relative_to(runs / "1"))


def test_a_report_that_changed_since_it_was_written_is_not_taken_over(
    root: Path, runs: Path, tmp_path: Path, png: Png
) -> None:
    """Its counts would be those of the data gate: here, that of quarantined files."""
    (root / "cat" / "broken.png").write_bytes(b"no image")
    night(listed(root), runs / "1")
    path = runs / "1" / "shards.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line.replace("cat/broken.png", "dog/broken.png") for line in lines))
    assert path.read_text() != "".join(lines)
    (root / "dog" / "new.png").write_bytes(png(99))
    dataset = listed(root)
    plan = [{record.path for record in part} for part in shards.plan(dataset.records)]
    assert not any({"cat/broken.png", "dog/new.png"} <= part for part in plan), "its shard would be written anyway"
    counted = night(dataset, runs / "2", reuse.find(str(runs / "2")))
    assert [one.path for one in counted.quarantined] == ["cat/broken.png"]
    assert counted == night(dataset, tmp_path / "alone")


def test_files_that_changed_without_a_word_are_read(root: Path, runs: Path, tmp_path: Path, reads: list[str]) -> None:
    """Two files of one size and time, swapped."""
    one, other = root / "cat" / "1.png", root / "cat" / "3.png"
    longest = max(one.stat().st_size, other.stat().st_size)
    for path in (one, other):
        path.write_bytes(path.read_bytes() + bytes(longest - path.stat().st_size))
        os.utime(path, ns=(0, 0))
    night(listed(root), runs / "1")
    one.rename(root / "aside")
    other.rename(one)
    (root / "aside").rename(other)
    reads.clear()
    dataset = listed(root)
    night(dataset, runs / "2", reuse.find(str(runs / "2")))
    assert {"cat/1.png", "cat/3.png"} <= set(reads)
    night(dataset, tmp_path / "alone")
    assert content(runs / "2")["images.npy"] == content(tmp_path / "alone")["images.npy"]


@pytest.mark.parametrize("changed", ["code", "max_pixels", "moved"])
def test_other_settings_other_code_and_other_splits_share_no_shard(root: Path, runs: Path, changed: str) -> None:
    dataset = listed(root)
    night(dataset, runs / "1")
    previous, job = reuse.find(str(runs / "2")), shards.job(dataset, 10_000)
    part = shards.plan(dataset.records)[0]
    assert reuse.report(previous, part, job, "code") is not None
    if changed == "code":
        assert reuse.report(previous, part, job, "other code") is None
    elif changed == "max_pixels":
        assert reuse.report(previous, part, dataclasses.replace(job, max_pixels=20_000), "code") is None
    else:
        assert previous.proofs is not None
        [known] = previous.proofs.find([part[0].path])
        assert known is not None
        digest = known.digest
        here = splits.assign(part[0], digest, job.fractions, job.moved, job.earlier)
        elsewhere = dataclasses.replace(job, moved={digest: "test" if here == "train" else "train"})
        assert reuse.report(previous, part, elsewhere, "code") is None
    relabelled = [dataclasses.replace(part[0], labels=("other",)), *part[1:]]
    assert reuse.report(previous, relabelled, job, "code") is None
    assert reuse.report(previous, part[1:], job, "code") is None


def test_a_file_that_is_no_image_is_known_again_and_one_that_could_not_be_read_is_not(
    root: Path, runs: Path, reads: list[str]
) -> None:
    (root / "cat" / "broken.png").write_bytes(b"no image")
    dataset = listed(root)
    first = night(dataset, runs / "1")
    reads.clear()
    assert night(dataset, runs / "2", reuse.find(str(runs / "2"))) == first
    assert reads == []
    assert [file.path for file in first.quarantined] == ["cat/broken.png"]
    path = next(iter((runs / "2").glob("ledger.jsonl")))
    path.write_text(path.read_text().replace(splits.digest(b"no image"), ""))
    part = next(p for p in shards.plan(dataset.records) if any(r.path == "cat/broken.png" for r in p))
    assert reuse.report(reuse.find(str(runs / "3")), part, shards.job(dataset, 10_000), "code") is None


def photo(seed: int, spot: int) -> bytes:
    """Noise of 40 x 40 pixels; another `spot` changes one bit of one pixel, so the file but hardly how it looks."""
    pixels = np.random.default_rng(seed).integers(0, 256, (10, 10, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    pixels[spot // 40, spot % 40] ^= 1
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def in_split(split: str, seed: int) -> bytes:
    versions = (photo(seed, spot) for spot in range(1600))
    return next(v for v in versions if splits.by_hash(splits.digest(v), SHARES) == split)


def test_images_that_moved_to_nearly_equal_ones_are_not_read_again_in_the_next_night(
    root: Path, runs: Path, tmp_path: Path, png: Png, reads: list[str]
) -> None:
    """The first night moves them after their shards were written; the second knows their splits from the start."""
    near = NearLimits(distance=32, max_share=1.0)
    for seed in range(4):
        (root / "cat" / f"near{seed}.png").write_bytes(in_split("train", seed))
        (root / "dog" / f"near{seed}.png").write_bytes(in_split("test", seed))
    dataset = listed(root)
    night(dataset, runs / "1", near=near)
    rows = np.load(runs / "1" / "images.npy")
    assert [r.path for r, row in zip(dataset.records, rows, strict=True) if "near" in r.path and row["split"]] == []
    seen = Earlier().after(rows, Assigned(fractions=SHARES, origin="", earlier=""), "")
    earlier = joined(None, seen, dataset.fractions)

    (root / "cat" / "new.png").write_bytes(png(99))
    dataset = listed(root)
    [changed] = [part for part in shards.plan(dataset.records) if "cat/new.png" in {r.path for r in part}]
    reads.clear()
    night(dataset, runs / "2", reuse.find(str(runs / "2")), near=near, earlier=earlier)
    assert sorted(reads) == sorted(record.path for record in changed)
    night(dataset, tmp_path / "alone", near=near, earlier=earlier)
    alone = content(tmp_path / "alone")
    assert {name for name, data in content(runs / "2").items() if data != alone[name]} == {"ledger.jsonl"}


def test_on_another_file_system_files_are_copied(root: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = listed(root)
    night(dataset, runs / "1")

    def link(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(shard_files.os, "link", link)
    night(dataset, runs / "2", reuse.find(str(runs / "2")))
    assert shared(runs / "1", runs / "2") == set()
    assert content(runs / "1")["manifest.json"] == content(runs / "2")["manifest.json"]
    for split in SHARES:
        manifest.verify(str(runs / "2"), split)


def test_only_a_complete_ingest_before_this_one_counts(root: Path, runs: Path) -> None:
    night(listed(root), runs / "3")
    night(listed(root), runs / "20")
    (runs / "20" / "shards.jsonl").unlink()  # killed
    assert reuse.find(str(runs / "21")).files.folder == str(runs / "3")
    assert reuse.find(str(runs / "3")) == reuse.Previous()
    assert reuse.find(str(runs / "Split")) == reuse.Previous()


@pytest.mark.parametrize("count", range(4, 20))
def test_one_more_shard_takes_from_one_other_only(count: int) -> None:
    """Shard `count` takes half of one; each number in any other shard stays where it is."""
    before = [shards._place(n, count) for n in range(1000)]
    after = [shards._place(n, count + 1) for n in range(1000)]
    assert set(after) == set(range(count + 1))
    assert len({b for b, a in zip(before, after, strict=True) if a != b}) == 1
    assert {a for b, a in zip(before, after, strict=True) if a != b} == {count}


def test_a_report_that_cannot_be_read_is_none(root: Path, runs: Path) -> None:
    night(listed(root), runs / "1")
    previous = reuse.find(str(runs / "2"))
    keys = list(previous.reports)
    assert all(previous.report(key) for key in keys)
    path = runs / "1" / "shards.jsonl"
    for content in (b"\xff" * path.stat().st_size, b"\n" * path.stat().st_size, b""):
        path.write_bytes(content)
        assert [previous.report(key) for key in keys] == [None] * len(keys)
    path.unlink()
    assert [previous.report(key) for key in keys] == [None] * len(keys)
