"""Ingest without Beam: nothing is lost, nothing depends on threads or order, and a changed shard is found."""

import dataclasses
import hashlib
import io
import itertools
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from prepared import ingest

from components.data import features, images
from components.data.dataset import SPLITS, Dataset, Record
from components.data.mask_rules import Rule, rule
from components.ingest import ledger, manifest, shards, splits
from components.ingest.layouts import folders, masks
from components.ingest.workers import processes

Png = Callable[..., bytes]
WriteFiles = Callable[..., Path]
SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}
MAX_PIXELS = 10_000


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def examples(folder: Path, split: str) -> list[dict[str, Any]]:
    """The records of a split as plain values."""
    found = []
    for raw in tf.data.TFRecordDataset(manifest.verify(str(folder), split)).as_numpy_iterator():
        feature = tf.train.Example.FromString(raw).features.feature
        found.append({name: list(getattr(f, f.WhichOneof("kind")).value) for name, f in feature.items()})
    return found


@pytest.fixture(scope="session")
def pictures(png: Png) -> list[bytes]:
    return [png(seed) for seed in range(8)]


def test_an_image_becomes_an_example(tmp_path: Path, write_files: WriteFiles, png: Png) -> None:
    files = {f"{label}/{i}.png": png(seed) for seed, (label, i) in enumerate(itertools.product(["cat", "dög"], "123"))}
    root = write_files(tmp_path / "data", files)
    ingest(folders.read(str(root), SHARES), tmp_path / "out")

    found = {example[features.PATH][0].decode(): example for s in SPLITS for example in examples(tmp_path / "out", s)}
    assert found.keys() == files.keys()
    for path, data in files.items():
        assert found[path] == {
            features.IMAGE: [data],
            features.PATH: [path.encode()],
            features.SHA256: [hashlib.sha256(data).hexdigest().encode()],
            features.FORMAT: [b"png"],
            features.WIDTH: [6],
            features.HEIGHT: [4],
            features.WEIGHT: [1.0],
            features.LABEL: [path.split("/")[0].encode()],
            features.UNKNOWN: [],
        }


def test_the_manifest_counts_every_label_and_split(tmp_path: Path, write_files: WriteFiles, png: Png) -> None:
    files = {"train/cat/1.png": png(1), "train/cat/2.png": png(2), "train/dog/1.png": png(3), "val/cat/1.png": png(4)}
    odd = {"test/dog/1.png": b"no image", "test/cat/1.png": png(6)[:-20], "LICENSE": b"x", "train/notes.txt": b""}
    root = write_files(tmp_path / "data", files | odd | {"test/dog/2.png": png(5)})
    counted = ingest(folders.read(str(root), SHARES), tmp_path / "out")

    assert counted.labels == ("cat", "dog")
    assert counted.counts == {"train": 3, "eval": 1, "test": 1}
    assert counted.label_counts == {
        "cat": {"train": 2, "eval": 1, "test": 0},
        "dog": {"train": 1, "eval": 0, "test": 1},
    }
    assert [q.path for q in counted.quarantined] == ["test/cat/1.png", "test/dog/1.png"]
    assert all(q.reason for q in counted.quarantined)
    assert counted.ignored == ("LICENSE", "train/notes.txt")
    assert counted == manifest.read(str(tmp_path / "out"))


# Each file: its label, its content (some equal, some no image) and whether it is there when it is read.
FILE = st.tuples(st.sampled_from("ab"), st.sampled_from([*range(8), "broken", "empty", "gone"]))


def laid_out(root: Path, files: Sequence[tuple[str, Any]], pictures: Sequence[bytes]) -> Dataset:
    for i, (label, content) in enumerate(files):
        path = root / label / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures[content] if isinstance(content, int) else b"" if content == "empty" else b"x")
    dataset = folders.read(str(root), SHARES)
    for i, (label, content) in enumerate(files):
        if content == "gone":
            (root / label / f"{i}.png").unlink()
    return dataset


@settings(max_examples=10)
@given(st.lists(FILE, min_size=1, max_size=30), st.integers(2, 5), st.randoms(use_true_random=False))
def test_nothing_is_lost_and_neither_order_nor_threads_change_the_shards(
    pictures: list[bytes], files: list[tuple[str, Any]], threads: int, order: random.Random
) -> None:
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        dataset = laid_out(temporary / "data", files, pictures)
        counted = ingest(dataset, temporary / "one")
        again = ingest(dataset, temporary / "two", threads, order)

        assert again == counted
        assert content_of(temporary / "two") == content_of(temporary / "one")
        assert sum(counted.counts.values()) + len(counted.quarantined) == len(files)
        stored = [
            (s, e[features.PATH][0].decode(), e[features.SHA256][0])
            for s in SPLITS
            for e in examples(temporary / "one", s)
        ]
    quarantined = [q.path for q in counted.quarantined]
    assert sorted([path for _, path, _ in stored] + quarantined) == sorted(
        f"{label}/{i}.png" for i, (label, _) in enumerate(files)
    )
    assert set(quarantined) == {f"{label}/{i}.png" for i, (label, c) in enumerate(files) if not isinstance(c, int)}
    assert len({(split, sha256) for split, _, sha256 in stored}) == len({sha256 for _, _, sha256 in stored})


def test_the_rare_image_that_is_broken_is_replaced(tmp_path: Path, write_files: WriteFiles, png: Png) -> None:
    """The only image that hash puts into test is broken: another one has to go there."""
    good, broken = [], b""
    for seed in itertools.count():
        data = png(seed)
        split = splits.by_hash(splits.digest(data), SHARES)
        if split != "test" and len(good) < 12:
            good.append(data)
        if not broken and splits.by_hash(splits.digest(data[:-20]), SHARES) == "test":
            broken = data[:-20]
        if broken and len(good) == 12:
            break
    root = write_files(tmp_path / "data", {f"cat/{i}.png": data for i, data in enumerate([*good, broken])})
    counted = ingest(folders.read(str(root), SHARES), tmp_path / "out")
    assert len(counted.quarantined) == 1
    assert counted.label_counts["cat"]["test"] == 1


# Masks.


def grey(rows: Sequence[Sequence[int]]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.array(rows, np.uint8)).save(out, "PNG")
    return out.getvalue()


SKY = grey([[0, 0, 0], [0, 0, 0]])


def masked(root: Path, write_files: WriteFiles, png: Png, given: Mapping[str, bytes]) -> tuple[Dataset, Rule]:
    """Images of 3 x 2 pixels in the folders of `given`, which says their masks' files."""
    files = {f"images/{name}.png": png(i, 3, 2) for i, name in enumerate(given)}
    write_files(root, files | {f"masks/{name}.png": data for name, data in given.items()})
    meaning = rule(["sky", "road", "car"], ignore=9)
    in_splits = {split: f"images/{split}" for split in SPLITS}
    of_masks = {split: f"masks/{split}" for split in SPLITS}
    return masks.read(str(root), SHARES, meaning.labels, images=in_splits, masks=of_masks), meaning


def test_a_mask_becomes_indices_and_counts(tmp_path: Path, write_files: WriteFiles, png: Png) -> None:
    given = {"train/1": grey([[0, 0, 2], [2, 2, 9]]), "eval/1": SKY, "test/1": SKY}
    dataset, meaning = masked(tmp_path / "data", write_files, png, given)
    ingest(dataset, tmp_path / "out", rule=meaning)
    [example] = examples(tmp_path / "out", "train")
    assert example[features.PATH] == [b"images/train/1.png"]
    [encoded] = example[features.MASK]
    np.testing.assert_array_equal(Image.open(io.BytesIO(encoded)), [[0, 0, 2], [2, 2, features.IGNORED_ID]])
    assert (example[features.PIXELS], example[features.IGNORED]) == ([2, 0, 3], [1])
    assert features.LABEL not in example
    assert features.UNKNOWN not in example


def test_the_manifest_sums_the_pixels_of_labels_and_of_their_images(
    tmp_path: Path, write_files: WriteFiles, png: Png
) -> None:
    given = {
        "train/1": grey([[0, 0, 2], [2, 2, 9]]),  # sky 2, car 3, ignored 1
        "train/2": grey([[0, 0, 0], [0, 1, 1]]),  # sky 4, road 2
        "train/3": grey([[9, 9, 9], [9, 9, 9]]),  # nothing
        "eval/1": grey([[1, 1, 1], [1, 1, 1]]),
        "test/1": grey([[3, 0, 0], [0, 0, 0]]),  # an id without a name
        "test/2": grey([[0, 0, 0], [0, 0, 2]]),
    }
    dataset, meaning = masked(tmp_path / "data", write_files, png, given)
    counted = ingest(dataset, tmp_path / "out", rule=meaning)
    # Of each label, then of the ignored: own pixels, and those of the images it is in, known ones and all.
    assert counted.pixels == {
        "train": ((6, 5 + 6, 6 + 6), (2, 6, 6), (3, 5, 6), (7, 5 + 0, 6 + 6)),
        "eval": ((0, 0, 0), (6, 6, 6), (0, 0, 0), (0, 0, 0)),
        "test": ((5, 6, 6), (0, 0, 0), (1, 6, 6), (0, 0, 0)),
    }
    assert counted.label_counts == {
        "sky": {"train": 2, "eval": 0, "test": 1},
        "road": {"train": 1, "eval": 1, "test": 0},
        "car": {"train": 1, "eval": 0, "test": 1},
    }
    assert counted.unlabelled == {"train": 1, "eval": 0, "test": 0}
    [quarantined] = counted.quarantined
    assert quarantined.path == "images/test/1.png"
    assert "mask masks/test/1.png: the id 3 at x=0, y=0 means nothing; expected 0 to 2, 9" in quarantined.reason


# Groups.


def grouped(root: Path, png: Png, groups: Mapping[str, str]) -> Dataset:
    """An image each, named like its content's number; of all it is a cat."""
    root.mkdir()
    records = []
    for name, group in groups.items():
        (root / name).write_bytes(png(int(name.split(".")[0])))
        records.append(Record(name, ("cat",), None, 1, "", group=group))
    return Dataset(str(root), ("cat",), tuple(records), SHARES)


@settings(max_examples=10)
@given(st.lists(st.sampled_from(["", "a", "b", "ü"]), min_size=1, max_size=25))
def test_a_group_stays_together(png: Png, groups: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        dataset = grouped(Path(name) / "data", png, {f"{i}.png": group for i, group in enumerate(groups)})
        ingest(dataset, Path(name) / "out")
        split_of = {e[features.PATH][0].decode(): s for s in SPLITS for e in examples(Path(name) / "out", s)}
    assert len(split_of) == len(groups)
    for group in {*groups} - {""}:
        assert len({split_of[f"{i}.png"] for i, g in enumerate(groups) if g == group}) == 1


def test_the_split_of_a_group_depends_only_on_its_name(tmp_path: Path, png: Png) -> None:
    dataset = grouped(tmp_path / "data", png, {f"{i}.png": f"patient {i % 30}" for i in range(240)})
    ingest(dataset, tmp_path / "out")
    for split in SPLITS:
        for example in examples(tmp_path / "out", split):
            number = int(example[features.PATH][0].split(b".")[0]) % 30
            at = int(hashlib.sha256(f"group\0patient {number}".encode()).hexdigest()[:16], 16) / 2**64
            assert split == ("train" if at < 0.8 else "eval" if at < 0.9 else "test")


def record(path: str, size: int) -> Record:
    return Record(path, ("cat",), None, size, "")


def test_a_plan_has_each_record_once_in_shards_of_64_mebibytes() -> None:
    records = [record(f"{i}.png", 10 << 20) for i in range(100)]
    plan = shards.plan(records)
    assert len(plan) == 16  # 1,000 MiB / 64 MiB = 15.6
    assert Counter(r.path for part in plan for r in part) == Counter(r.path for r in records)
    assert len(shards.plan(records[:3])) == len(shards.plan([])) == 4


@given(st.lists(st.text(max_size=5), unique=True, max_size=30), st.text(max_size=5))
def test_a_new_file_leaves_the_others_in_their_shards(paths: list[str], new: str) -> None:
    before = shards.plan([record(path, 1) for path in paths])
    after = shards.plan([record(path, 1) for path in {*paths, new}])
    assert [[r for r in part if r.path in paths] for part in after] == list(before)


def test_large_files_and_urls_get_threads_and_small_files_none() -> None:
    def threads(root: str, size: int) -> int:
        return shards.job(Dataset(root, (), (record("1.png", size),), SHARES), MAX_PIXELS).threads

    # 0: as many as there are cores where the images are read.
    assert (threads("/data", 16 << 10), threads("/data", (16 << 10) - 1), threads("memory://x", 1)) == (0, 1, 0)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    size = images.max_file_bytes(MAX_PIXELS) + 1
    dataset = Dataset(str(tmp_path), ("cat",), (record("not-there.png", size),), SHARES)
    [item] = shards.examine(dataset.records, shards.job(dataset, MAX_PIXELS))
    assert item.problem == f"{size:,} bytes are more than data.max_pixels allows for"


def test_a_file_that_cannot_be_read_goes_to_quarantine(tmp_path: Path) -> None:
    (tmp_path / "2.png").mkdir()
    dataset = Dataset(str(tmp_path), ("cat",), (record("1.png", 1), record("2.png", 1)), SHARES)
    gone, folder = shards.examine(dataset.records, shards.job(dataset, MAX_PIXELS))
    assert gone.problem == "cannot be read: No such file or directory"
    assert folder.problem == "cannot be read: Is a directory"


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_the_order_of_the_records(tmp_path: Path, pictures: list[bytes], threads: int) -> None:
    dataset = laid_out(tmp_path, [("a", i % 8) for i in range(150)], pictures)  # more than the look-ahead
    job = dataclasses.replace(shards.job(dataset, MAX_PIXELS), threads=threads)
    assert [item.record for item in shards.examine(iter(dataset.records), job)] == list(dataset.records)


@pytest.mark.parametrize(
    ("seconds", "mode", "expected"),
    [
        pytest.param(0, "RGB", "one", id="photos: others decode them ahead"),
        pytest.param(0.01, "RGB", "several", id="files that are waited for"),
        pytest.param(0, "P", "several", id="files that are stored anew"),
    ],
)
def test_threads_share_what_needs_no_lock_and_all_find_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, mode: str, expected: str
) -> None:
    """Whether one thread examines all files after the first ones, or several do."""
    for i in range(120):
        Image.new("RGB", (40, 30), (i, 2 * i, 255 - i)).convert(mode).save(tmp_path / f"{i:03}.png")
    records = tuple(record(f"{i:03}.png", (tmp_path / f"{i:03}.png").stat().st_size) for i in range(120))
    job = shards.job(Dataset(str(tmp_path), ("cat",), records, SHARES), MAX_PIXELS)
    alone = [shards._examined(job, each) for each in records]
    readers: set[int] = set()
    usual = shards.storage.read

    def read(*arguments: Any) -> bytes:
        readers.add(threading.get_ident())
        time.sleep(seconds)
        return usual(*arguments)

    monkeypatch.setattr(shards.storage, "read", read)
    monkeypatch.setattr(ledger, "WAIT", 0.005)
    found = list(shards.examine(records, dataclasses.replace(job, threads=3)))
    for one, other in zip(found, alone, strict=True):
        assert one.image is not None
        assert other.image is not None
        assert (one.record, one.sha256, one.image.encoded) == (other.record, other.sha256, other.image.encoded)
        assert (one.image.changed, one.image.properties) == (other.image.changed, other.image.properties)
    assert (len(readers) > 1) == (expected == "several")


@pytest.mark.parametrize("apart", [False, True])
def test_whoever_reads_a_file_makes_its_record_and_what_the_index_keeps_of_it(
    tmp_path: Path, pictures: list[bytes], apart: bool
) -> None:
    """In this process or in others, the bytes of the image then come back once, within the record."""
    dataset = laid_out(tmp_path, [("a", i % 8) for i in range(3)], pictures)
    job = shards.job(dataset, MAX_PIXELS)
    there = dataclasses.replace(job, threads=2, processes=apart)
    plain, made = (
        list(shards.examine(dataset.records, job)),
        list(shards.examine(dataset.records, there, serialised=True)),
    )
    for item, other in zip(plain, made, strict=True):
        assert item.image is not None
        assert other.image is not None
        assert (other.image.encoded, other.split, other.sha256) == (b"", item.split, item.sha256)
        example = tf.train.Example.FromString(other.example).features.feature
        assert example[features.IMAGE].bytes_list.value[0] == item.image.encoded
        assert example[features.PATH].bytes_list.value[0].decode() == item.record.path
        length = len(other.example).to_bytes(4, "little")
        assert other.entry == length + hashlib.sha256(other.example).digest()[:16]
    processes.release()


def test_a_store_behind_a_url_gives_the_same_shards(tmp_path: Path, pictures: list[bytes]) -> None:
    local = laid_out(tmp_path / "data", [("ab"[i % 2], i % 8) for i in range(12)], pictures)
    store = fsspec.filesystem("memory")
    store.put(str(tmp_path / "data"), "/shards", recursive=True)
    remote = folders.read("memory://shards", SHARES)
    assert ingest(remote, tmp_path / "remote") == ingest(local, tmp_path / "local")
    store.rm("/shards", recursive=True)
    assert content_of(tmp_path / "remote") == content_of(tmp_path / "local")


def test_progress_adds_up_to_the_number_of_files(tmp_path: Path, pictures: list[bytes]) -> None:
    dataset = laid_out(tmp_path / "data", [("a", i % 8) for i in range(37)], pictures)
    ticks: list[int] = []
    shards.write(str(tmp_path / "out"), 0, 1, dataset.records, shards.job(dataset, MAX_PIXELS), ticks.append)
    assert sum(ticks) == 37


def test_an_interrupted_shard_leaves_nothing(tmp_path: Path, pictures: list[bytes]) -> None:
    dataset = laid_out(tmp_path / "data", [("a", i % 8) for i in range(20)], pictures)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shards.write(str(tmp_path / "out"), 0, 1, dataset.records, shards.job(dataset, MAX_PIXELS), stop)
    assert content_of(tmp_path / "out") == {}
