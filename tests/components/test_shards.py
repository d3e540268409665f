"""Ingest without Beam: nothing is lost, nothing depends on threads or order, and a changed shard is found."""

import dataclasses
import hashlib
import itertools
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components import features, images, shards, splits
from components.errors import ImagegateError
from components.layouts import SPLITS, Dataset, Record, folders

Png = Callable[..., bytes]
WriteFiles = Callable[..., Path]
SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}
MAX_PIXELS = 10_000


def ingest(
    dataset: Dataset, folder: Path, threads: int = 1, order: random.Random | None = None, count: int | None = None
) -> dict[str, Any]:
    """What the stage ImageExampleGen does, with a loop in the place of Beam."""
    job = dataclasses.replace(shards.job(dataset, MAX_PIXELS), threads=threads)
    records = list(dataset.records)
    plan = list(enumerate(shards.plan(records)))
    if order:
        order.shuffle(records)
        plan = list(enumerate(shards.plan(records)))
        order.shuffle(plan)
    reports = [shards.write(str(folder), i, len(plan), part, job, lambda _: None) for i, part in plan]
    manifest = shards.merge(dataset, reports)
    shards.write_manifest(str(folder), manifest)
    return manifest


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def examples(folder: Path, split: str) -> list[dict[str, Any]]:
    """The records of a split as plain values."""
    found = []
    for raw in tf.data.TFRecordDataset(shards.verify(str(folder), split)).as_numpy_iterator():
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
            features.LABEL: [path.split("/")[0].encode()],
        }


def test_the_manifest_counts_what_is_there(tmp_path: Path, write_files: WriteFiles, png: Png) -> None:
    files = {"train/cat/1.png": png(1), "train/cat/2.png": png(2), "train/dog/1.png": png(3), "val/cat/1.png": png(4)}
    odd = {"test/dog/1.png": b"no image", "test/cat/1.png": png(6)[:-20], "LICENSE": b"x", "train/notes.txt": b""}
    root = write_files(tmp_path / "data", files | odd | {"test/dog/2.png": png(5)})
    manifest = ingest(folders.read(str(root), SHARES), tmp_path / "out")

    assert manifest["labels"] == ["cat", "dog"]
    assert manifest["counts"] == {"train": 3, "eval": 1, "test": 1}
    assert manifest["label_counts"] == {
        "cat": {"train": 2, "eval": 1, "test": 0},
        "dog": {"train": 1, "eval": 0, "test": 1},
    }
    assert [q["path"] for q in manifest["quarantined"]] == ["test/cat/1.png", "test/dog/1.png"]
    assert all(q["reason"] for q in manifest["quarantined"])
    assert manifest["ignored"] == ["LICENSE", "train/notes.txt"]
    assert manifest == shards.read_manifest(str(tmp_path / "out"))


def test_equal_files_are_named_where_they_contradict(tmp_path: Path, write_files: WriteFiles, png: Png) -> None:
    files = {
        "train/cat/1.png": png(1),
        "train/dog/1.png": png(1),  # another label
        "test/cat/1.png": png(1),  # another split
        "train/cat/2.png": png(2),
        "train/cat/3.png": png(2),  # a mere copy
        "val/dog/1.png": png(3),
    }
    manifest = ingest(folders.read(str(write_files(tmp_path / "data", files)), SHARES), tmp_path / "out")

    def told(pairs: Sequence[Mapping[str, Any]]) -> set[str]:
        return {path for pair in pairs for path in pair["paths"]}

    assert (
        {"train/dog/1.png"}
        < told(manifest["conflicts"])
        <= {p for p in files if p.endswith("/1.png")} - {"val/dog/1.png"}
    )
    assert all(c["labels"] == ["cat", "dog"] for c in manifest["conflicts"])
    assert (
        {"test/cat/1.png"} < told(manifest["leaks"]) <= {p for p in files if p.endswith("/1.png")} - {"val/dog/1.png"}
    )
    assert all(leak["splits"] == ["test", "train"] for leak in manifest["leaks"])


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
def test_nothing_is_lost_and_no_order_and_no_thread_shows(
    pictures: list[bytes], files: list[tuple[str, Any]], threads: int, order: random.Random
) -> None:
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        dataset = laid_out(temporary / "data", files, pictures)
        manifest = ingest(dataset, temporary / "one")
        again = ingest(dataset, temporary / "two", threads, order)

        assert again == manifest
        assert content_of(temporary / "two") == content_of(temporary / "one")
        assert sum(manifest["counts"].values()) + len(manifest["quarantined"]) == len(files)
        stored = [
            (s, e[features.PATH][0].decode(), e[features.SHA256][0])
            for s in SPLITS
            for e in examples(temporary / "one", s)
        ]
    quarantined = [q["path"] for q in manifest["quarantined"]]
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
    manifest = ingest(folders.read(str(root), SHARES), tmp_path / "out")
    assert len(manifest["quarantined"]) == 1
    assert manifest["label_counts"]["cat"]["test"] == 1


def test_the_content_digest_knows_images_splits_and_labels_only(tmp_path: Path, png: Png) -> None:
    def digest(*seen: tuple[bytes, str, str, str]) -> str:
        rows = [(splits.digest(data), split, path, (label,)) for data, split, path, label in seen]
        dataset = Dataset("", ("cat", "dog"), (), SHARES)
        return str(shards.merge(dataset, [shards.Report(seen=[row]) for row in rows])["content"])

    one, two = (png(1), "train", "1.png", "cat"), (png(2), "train", "2.png", "dog")
    assert digest(one, two) == digest(two, one) == digest((png(1), "train", "other.png", "cat"), two)
    changed = [(png(3), "train", "1.png", "cat"), (png(1), "test", "1.png", "cat"), (png(1), "train", "1.png", "dog")]
    assert len({digest(one, two), digest(one), *(digest(c, two) for c in changed)}) == 5


def record(path: str, size: int) -> Record:
    return Record(path, ("cat",), None, size, "")


def test_a_plan_holds_each_record_once_in_shards_of_64_mebibytes() -> None:
    records = [record(f"{i}.png", 10 << 20) for i in range(100)]
    plan = shards.plan(records)
    assert len(plan) == 16  # 1,000 MiB / 64 MiB = 15.6
    assert Counter(r.path for part in plan for r in part) == Counter(r.path for r in records)
    assert len(shards.plan(records[:3])) == len(shards.plan([])) == 4


@given(st.lists(st.text(max_size=5), unique=True, max_size=30), st.text(max_size=5))
def test_a_new_file_leaves_the_others_in_their_shards(paths: list[str], new: str) -> None:
    before = shards.plan([record(path, 1) for path in paths])
    after = shards.plan([record(path, 1) for path in {*paths, new}])
    assert [[r for r in part if r.path in paths] for part in after] == before


def test_large_files_and_urls_get_threads_and_small_files_none() -> None:
    def threads(root: str, size: int) -> int:
        return shards.job(Dataset(root, (), (record("1.png", size),), SHARES), MAX_PIXELS).threads

    cores = os.cpu_count()
    assert (threads("/data", 16 << 10), threads("/data", (16 << 10) - 1), threads("memory://x", 1)) == (cores, 1, cores)


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


def test_a_store_behind_a_url_gives_the_same_shards(tmp_path: Path, pictures: list[bytes]) -> None:
    local = laid_out(tmp_path / "data", [("ab"[i % 2], i % 8) for i in range(12)], pictures)
    store = fsspec.filesystem("memory")
    store.put(str(tmp_path / "data"), "/shards", recursive=True)
    remote = folders.read("memory://shards", SHARES)
    assert ingest(remote, tmp_path / "remote") == ingest(local, tmp_path / "local")
    store.rm("/shards", recursive=True)
    assert content_of(tmp_path / "remote") == content_of(tmp_path / "local")


def test_progress_adds_up(tmp_path: Path, pictures: list[bytes]) -> None:
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


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such names")
def test_a_report_survives_json_whatever_the_names(tmp_path: Path, png: Png) -> None:
    (tmp_path / "data" / "cat").mkdir(parents=True)
    name = os.fsdecode(b"\xff\n\x1b.png")
    for path, data in ((name, png(1)), ("2" + name, b"broken")):
        (tmp_path / "data" / "cat" / path).write_bytes(data)
    dataset = folders.read(str(tmp_path / "data"), {"train": 1.0})
    report = shards.write(str(tmp_path), 0, 1, dataset.records, shards.job(dataset, MAX_PIXELS), lambda _: None)
    line = report.to_json()

    assert line.isascii()
    assert "\n" not in line
    assert shards.merge(dataset, [shards.Report(**json.loads(line))]) == shards.merge(dataset, [report])


@pytest.fixture
def written(tmp_path: Path, pictures: list[bytes]) -> Path:
    """A folder with shards, of which `train` holds several records."""
    ingest(laid_out(tmp_path / "data", [("a", i % 8) for i in range(40)], pictures), tmp_path / "out")
    return tmp_path / "out"


def largest(folder: Path) -> Path:
    return max((folder / "Split-train").iterdir(), key=lambda p: p.stat().st_size)


def cut_last_record(path: Path) -> None:
    """At a record's boundary, where every reader takes it for the end."""
    data = path.read_bytes()
    ends = [0]
    while ends[-1] < len(data):
        ends.append(ends[-1] + int.from_bytes(data[ends[-1] : ends[-1] + 8], "little") + 16)
    path.write_bytes(data[: ends[-2]])
    assert len(list(tf.data.TFRecordDataset(str(path)))) == len(ends) - 2 > 0


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (cut_last_record, "changed after it was written: expected SHA-256 [0-9a-f]{64}, found [0-9a-f]{64}"),
    "flipped": (flip, "changed after it was written"),
    "emptied": (lambda p: p.write_bytes(b""), "changed after it was written"),
    "gone": (lambda p: p.unlink(), "is missing"),
    "one too many": (lambda p: p.with_name("data-9.tfrecord").write_bytes(p.read_bytes()), "is not in the manifest"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_verify_finds_every_change(written: Path, damage: Callable[[Path], object], message: str) -> None:
    assert [os.path.basename(p) for p in shards.verify(str(written), "train")] == sorted(
        os.listdir(written / "Split-train")
    )
    damage(largest(written))
    with pytest.raises(ImagegateError, match=rf"shard Split-train/data-\S+ {message}") as error:
        shards.verify(str(written), "train")
    assert error.value.exit_code == 1
    assert len(shards.verify(str(written), "test")) == 4


def test_verify_finds_a_missing_split(written: Path) -> None:
    for path in (written / "Split-eval").iterdir():
        path.unlink()
    (written / "Split-eval").rmdir()
    with pytest.raises(ImagegateError, match=r"shard Split-eval/data-00000-of-00004\.tfrecord is missing"):
        shards.verify(str(written), "eval")
