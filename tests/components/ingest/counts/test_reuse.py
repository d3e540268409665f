"""A nightly ingest reads what is new, links or copies the rest, and leaves what one from nothing leaves."""

import dataclasses
import io
import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from prepared import ingest

from components.data import mask_rules
from components.data.arrays.spec import Bands
from components.data.dataset import SPLITS, Dataset, Record
from components.data.manifest import Assigned, DatasetManifest
from components.ingest import ledger, manifest, reuse, shard_files, shards, splits
from components.ingest.earlier import Earlier, joined
from components.ingest.layouts import folders
from components.ingest.settings import NearLimits
from components.ingest.stored.copies import NOTHING

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


def different(one: Path, other: Path) -> set[str]:
    """The files that differ, of two folders with files of the same names."""
    contents, others = content(one), content(other)
    assert contents.keys() == others.keys()
    return {name for name, data in contents.items() if data != others[name]}


def shared(one: Path, other: Path) -> set[str]:
    """Shard files that both folders hold as one file on disk."""
    return {str(p.relative_to(one)) for p in one.glob(OF_THE_SHARDS) if p.samefile(other / p.relative_to(one))}


def test_with_one_new_image_only_this_is_read_and_only_its_file_is_written(
    root: Path, runs: Path, tmp_path: Path, png: Png, reads: list[str]
) -> None:
    night(listed(root), runs / "1")
    (root / "cat" / "new.png").write_bytes(png(99))
    dataset = listed(root)
    reads.clear()
    counted = night(dataset, runs / "2", reuse.find(str(runs / "2")))

    assert reads == ["cat/new.png"]
    names = {str(p.relative_to(runs / "2")) for p in (runs / "2").glob(OF_THE_SHARDS)}
    assert len(names) == 4 * 3  # four shards in three splits
    assert len(names - shared(runs / "1", runs / "2")) == 1  # the file of its shard and split
    assert counted == night(dataset, tmp_path / "alone")
    assert different(runs / "2", tmp_path / "alone") == {"ledger.jsonl"}  # which holds the name of its folder here


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
    assert reuse.known(previous, part, job, "code").whole
    if changed == "code":
        assert reuse.known(previous, part, job, "other code") == NOTHING
    elif changed == "max_pixels":
        assert reuse.known(previous, part, dataclasses.replace(job, max_pixels=20_000), "code") == NOTHING
    else:
        assert previous.proofs is not None
        [known] = previous.proofs.find([part[0].path])
        assert known is not None
        digest = known.digest
        here = splits.assign(part[0], digest, job.fractions, job.moved, job.earlier)
        elsewhere = dataclasses.replace(job, moved={digest: "test" if here == "train" else "train"})
        copied = reuse.known(previous, part, elsewhere, "code")
        assert not copied.whole
        assert list(copied.kept) == list(range(len(part)))
    relabelled = [dataclasses.replace(part[0], labels=("other",)), *part[1:]]
    assert list(reuse.known(previous, relabelled, job, "code").kept) == list(range(1, len(part)))
    fewer = reuse.known(previous, part[1:], job, "code")
    assert not fewer.whole
    assert list(fewer.kept) == list(range(len(part) - 1))
    everything = reuse.known(previous, relabelled, job, "code").kept
    assert list(fewer.kept.values()) == list(everything.values())  # the same places
    assert fewer.claims == []


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
    assert not reuse.known(reuse.find(str(runs / "3")), part, shards.job(dataset, 10_000), "code").whole


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
    reads.clear()
    night(dataset, runs / "2", reuse.find(str(runs / "2")), near=near, earlier=earlier)
    assert reads == ["cat/new.png"]
    night(dataset, tmp_path / "alone", near=near, earlier=earlier)
    assert different(runs / "2", tmp_path / "alone") == {"ledger.jsonl"}


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
    dataset = listed(root)
    night(dataset, runs / "1")
    previous = reuse.find(str(runs / "2"))
    assert len(previous.starts) == len(previous.numbers) == 4
    assert all(previous.line(number) for number in range(4))
    path = runs / "1" / "shards.jsonl"
    for damaged in (b"\xff" * path.stat().st_size, b"\n" * path.stat().st_size, b""):
        path.write_bytes(damaged)
        assert [previous.line(number) for number in range(4)] == [None] * 4
        part = shards.plan(dataset.records)[0]
        assert reuse.known(reuse.find(str(runs / "2")), part, shards.job(dataset, 10_000), "code") == NOTHING
    path.unlink()
    assert [previous.line(number) for number in range(4)] == [None] * 4


@pytest.mark.parametrize("damage", ["cut in the first line", "cut in the last line", "zeros", "one line too many"])
def test_a_list_of_shards_of_another_length_tells_nothing(root: Path, runs: Path, damage: str) -> None:
    """As a loss of power leaves one: with one line, no number of a shard could be computed."""
    night(listed(root), runs / "1")
    path = runs / "1" / "shards.jsonl"
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    path.write_bytes(
        {
            "cut in the first line": whole[: first - 5],
            "cut in the last line": whole[: whole.rstrip(b"\n").rindex(b"\n")],
            "zeros": bytes(len(whole)),
            "one line too many": whole + whole[:first],
        }[damage]
    )
    assert reuse.find(str(runs / "2")) == reuse.Previous()
    dataset = listed(root)
    counted = night(dataset, runs / "2", reuse.find(str(runs / "2")))
    assert counted == night(dataset, runs.parent / "alone")


def removed(root: Path, png: Png) -> list[str]:
    (root / "dog" / "4.png").unlink()
    return []


def renamed(root: Path, png: Png) -> list[str]:
    (root / "dog" / "4.png").rename(root / "dog" / "four.png")
    return ["dog/four.png"]


def relabelled(root: Path, png: Png) -> list[str]:
    (root / "dog" / "4.png").rename(root / "cat" / "4.png")
    return ["cat/4.png"]


def rewritten(root: Path, png: Png) -> list[str]:
    (root / "dog" / "4.png").write_bytes(png(77))
    return ["dog/4.png"]


def broken(root: Path, png: Png) -> list[str]:
    (root / "dog" / "4.png").write_bytes(b"no image")
    return ["dog/4.png"]


def doubled(root: Path, png: Png) -> list[str]:
    (root / "dog" / "copy.png").write_bytes((root / "dog" / "4.png").read_bytes())
    return ["dog/copy.png"]


def touched(root: Path, png: Png) -> list[str]:
    """As `rsync` without `--times` leaves a copy: nothing proves what is in the files, so they are read for that."""
    for path in root.rglob("*.png"):
        path.write_bytes(path.read_bytes())
    return []


def everything(root: Path, png: Png) -> list[str]:
    (root / "cat" / "1.png").unlink()
    (root / "cat" / "3.png").rename(root / "dog" / "3.png")
    (root / "cat" / "5.png").write_bytes(png(55))
    (root / "cat" / "7.png").write_bytes(b"no image")
    (root / "dog" / "new.png").write_bytes(png(66))
    return ["dog/3.png", "cat/5.png", "cat/7.png", "dog/new.png"]


CHANGES = (removed, renamed, relabelled, rewritten, broken, doubled, touched, everything)


@pytest.mark.parametrize("minimum", [4, 5, 9, 2])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_whatever_happened_only_what_is_new_is_decoded(
    root: Path,
    runs: Path,
    tmp_path: Path,
    png: Png,
    reads: list[str],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path, Png], list[str]],
    minimum: int,
) -> None:
    """Also into more or fewer shards than there were, as of a data set that has grown or shrunk."""
    (root / "cat" / "broken.png").write_bytes(b"no image")
    night(listed(root), runs / "1")
    new = change(root, png)
    monkeypatch.setattr(shards, "_MIN_SHARDS", minimum)
    dataset = listed(root)
    near = NearLimits(distance=8, max_share=1.0)
    reads.clear()
    counted = night(dataset, runs / "2", reuse.find(str(runs / "2")), near=near)
    assert set(new) <= set(reads)
    assert set(reads) <= {*new, "cat/broken.png"}  # what was no image is read again with its shard
    assert counted == night(dataset, tmp_path / "alone", near=near)
    assert different(runs / "2", tmp_path / "alone") == {"ledger.jsonl"}


def test_a_damaged_record_is_examined_anew(root: Path, runs: Path, tmp_path: Path, png: Png) -> None:
    night(listed(root), runs / "1")
    for path in (runs / "1").glob(OF_THE_SHARDS):
        path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    (root / "cat" / "new.png").write_bytes(png(99))
    dataset = listed(root)
    night(dataset, runs / "2", reuse.find(str(runs / "2")))
    night(dataset, tmp_path / "alone")
    assert different(runs / "2", tmp_path / "alone") == {"ledger.jsonl"}


def test_a_damaged_file_costs_one_more_pass_not_one_per_image(
    root: Path, runs: Path, tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its records are examined together, and those of the other files are copied still."""
    night(listed(root), runs / "1")
    largest = max((runs / "1").glob(OF_THE_SHARDS), key=lambda p: p.stat().st_size)
    whole = largest.read_bytes()
    largest.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])  # in the first record
    monkeypatch.setattr(shards, "_MIN_SHARDS", 2)  # so that no shard is linked as a whole
    dataset = listed(root)
    reads.clear()
    counted = night(dataset, runs / "2", reuse.find(str(runs / "2")))
    told = next(file for file in manifest.read(str(runs / "1")).files if largest.match(file.name))
    assert len(reads) == len(set(reads)) == told.records < len(dataset.records)
    assert counted == night(dataset, tmp_path / "alone")
    assert different(runs / "2", tmp_path / "alone") == {"ledger.jsonl"}


def test_many_earlier_files_are_not_open_at_once(
    root: Path, runs: Path, tmp_path: Path, png: Png, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty shards of three splits become four, and of ninety files few are open at a time."""
    monkeypatch.setattr(shards, "_MIN_SHARDS", 30)
    night(listed(root), runs / "1")
    monkeypatch.setattr(shards, "_MIN_SHARDS", 4)
    (root / "cat" / "new.png").write_bytes(png(99))
    dataset = listed(root)
    reads.clear()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.open(os.devnull, os.O_RDONLY)
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare + 24, most[1]))
    try:
        counted = night(dataset, runs / "2", reuse.find(str(runs / "2")))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    assert reads == ["cat/new.png"]
    assert counted == night(dataset, tmp_path / "alone")


def test_masks_are_counted_as_if_they_were_read(tmp_path: Path, runs: Path, reads: list[str]) -> None:
    """Left half road, right half sky, one row ignored: in 8 x 8 pixels 28, 28 and 8."""
    meaning = mask_rules.rule(["road", "sky"], ignore=9)
    ids = np.repeat([[0] * 4 + [1] * 4], 8, axis=0).astype(np.uint8)
    ids[0] = 9
    (tmp_path / "data").mkdir()
    records = []
    for i in range(16):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)).save(
            tmp_path / "data" / f"{i:02}.png"
        )
        Image.fromarray(ids).save(tmp_path / "data" / f"{i:02}.mask.png")
        records.append(Record(f"{i:02}.png", (), SPLITS[i % 3], 100, f"v{i}", mask=f"{i:02}.mask.png"))
    dataset = Dataset(str(tmp_path / "data"), ("road", "sky"), tuple(records), SHARES)
    night(dataset, runs / "1", rule=meaning)
    reads.clear()
    fewer = dataclasses.replace(dataset, records=tuple(records[1:]))
    counted = night(fewer, runs / "2", reuse.find(str(runs / "2")), rule=meaning)
    assert reads == []
    # 15 images without 00.png: of train 3, 6, 9, 12, 15. [own, known of these images, all of these images]
    pixels = [list(cell) for cell in counted.pixels["train"]]
    assert pixels == [[5 * 28, 5 * 56, 5 * 64], [5 * 28, 5 * 56, 5 * 64], [5 * 8, 5 * 56, 5 * 64]]
    night(fewer, tmp_path / "alone", rule=meaning)
    assert different(runs / "2", tmp_path / "alone") == {"ledger.jsonl"}
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "data" / "05.mask.png")
    records[5] = dataclasses.replace(records[5], version="other")
    changed = dataclasses.replace(dataset, records=tuple(records))
    reads.clear()
    night(changed, runs / "3", reuse.find(str(runs / "3")), rule=meaning)
    assert sorted(reads) == ["00.png", "05.png"]
    night(changed, tmp_path / "changed", rule=meaning)
    assert different(runs / "3", tmp_path / "changed") == {"ledger.jsonl"}


def test_tiles_of_scenes_are_counted_as_if_they_were_cut(tmp_path: Path, runs: Path, reads: list[str]) -> None:
    """Four tiles of 8 x 8 of each of six scenes; of the last, the first tile has no valid pixel and is left out."""
    (tmp_path / "data").mkdir()
    bands = Bands(names=("a", "b"), tile=(8, 8))
    records = []
    for i in range(6):
        pixels = np.random.default_rng(i).normal(size=(16, 16, 2)).astype(np.float32)
        pixels[0, 0] = np.nan
        if i == 5:
            pixels[:8, :8] = np.nan
        np.save(tmp_path / "data" / f"{i}.npy", pixels)
        for top, left in [(0, 0), (0, 8), (8, 0), (8, 8)]:
            path, label = f"{i}.npy@{top},{left}", ("cat", "dog")[left // 8]
            records.append(Record(path, (label,), SPLITS[i % 3], 100, f"v{i}", tile=(top, left)))
    dataset = Dataset(str(tmp_path / "data"), ("cat", "dog"), tuple(records), SHARES)
    night(dataset, runs / "1", bands=bands)
    relabelled = [dataclasses.replace(records[0], labels=("dog",)), *records[1:]]
    changed = dataclasses.replace(dataset, records=tuple(relabelled))
    reads.clear()
    counted = night(changed, runs / "2", reuse.find(str(runs / "2")), bands=bands)
    assert set(reads) <= {"0.npy@0,0", "5.npy@0,0"}
    assert "0.npy@0,0" in reads
    assert counted.counts == {"train": 8, "eval": 8, "test": 7}
    assert counted.arrays is not None
    assert counted == night(changed, tmp_path / "alone", bands=bands)
    assert different(runs / "2", tmp_path / "alone") == {"ledger.jsonl"}
