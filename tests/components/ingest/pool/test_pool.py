"""Images without labels: which are read, and which are left out because training is judged on them or sees them."""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from prepared import ingest

from components.base.errors import ConfigError
from components.data.dataset import UNLABELLED, Dataset, Record
from components.ingest import manifest, shards
from components.ingest.counts import census
from components.ingest.settings import Pool
from components.ingest.unlabelled import listing, merging, overlap

WriteFiles = Callable[..., Path]
DISTANCE = 32


def photo(seed: int, form: str = "PNG", size: int = 64, **options: object) -> bytes:
    """Coloured squares that a change of size or of compression keeps recognisable."""
    squares = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(squares).resize((64, 64), Image.Resampling.BICUBIC).resize((size, size)).save(out, form, **options)
    return out.getvalue()


def labelled(folder: Path, write_files: WriteFiles) -> census.Images:
    """Three images in each split: the photos 0 to 2 in train, 3 to 5 in eval, 6 to 8 in test."""
    names = ["train", "train", "train", "eval", "eval", "eval", "test", "test", "test"]
    root = write_files(folder / "data", {f"{i}.png": photo(i) for i in range(9)})
    records = tuple(Record(f"{i}.png", ("cat",), split, 1, "") for i, split in enumerate(names))
    ingest(Dataset(str(root), ("cat",), records, {}), folder / "examples")
    return census.Images.read(str(folder / "examples"))


def read(folder: Path, root: Path, images: census.Images, distance: int | None = DISTANCE) -> tuple[list[str], object]:
    """What the stage does, with a loop in the place of Beam: the paths of the records, and the manifest."""
    pool = Pool(root=str(root), max_pixels=10_000, distance=distance)
    dataset = listing.read(pool)
    job = dataclasses.replace(shards.job(dataset, pool.max_pixels), splits=(UNLABELLED,))
    plan = shards.plan(dataset.records)
    out = str(folder / "pool")
    reports = [shards.write(out, i, len(plan), part, job, lambda _: None) for i, part in enumerate(plan)]
    counted = merging.merge(dataset, reports, images, distance, out)
    manifest.write(out, counted)
    records = tf.data.TFRecordDataset(manifest.verify(out, UNLABELLED))
    examples = [tf.train.Example.FromString(record.numpy()) for record in records]
    return sorted(e.features.feature["image/path"].bytes_list.value[0].decode() for e in examples), counted


def test_images_of_eval_and_test_are_left_out_by_name_however_they_are_encoded(
    tmp_path: Path, write_files: WriteFiles
) -> None:
    """Photos 0 to 2 are in train: an equal file teaches nothing new, a re-encoded one does no harm."""
    files = {
        "deep/equal-to-train.png": photo(0),
        "train-as-jpeg.jpg": photo(1, "JPEG", quality=80),
        "equal-to-eval.png": photo(3),
        "eval-smaller.jpg": photo(4, "JPEG", size=48, quality=70),
        "eval-smaller-again.jpg": photo(4, "JPEG", size=48, quality=70),
        "deep/test-as-webp.webp": photo(6, "WEBP", quality=95),
        "new.png": photo(100),
        "another.png": photo(101),
        "broken.png": photo(102)[:100],
        "notes.txt": b"not an image",
    }
    root = write_files(tmp_path / "pool-data", files)
    paths, counted = read(tmp_path, root, labelled(tmp_path, write_files))
    assert paths == ["another.png", "new.png", "train-as-jpeg.jpg"]
    assert counted.counts == {UNLABELLED: 3}
    reasons = {one.path: one.reason for one in counted.excluded}
    assert reasons == {
        "equal-to-eval.png": "equals or nearly equals 3.png, which is in eval",
        "eval-smaller.jpg": "equals or nearly equals 4.png, which is in eval",
        "eval-smaller-again.jpg": "equals or nearly equals 4.png, which is in eval",
        "deep/test-as-webp.webp": "equals or nearly equals 6.png, which is in test",
    }
    assert [one.path for one in counted.quarantined] == ["broken.png"]
    assert any("1 images are in train" in note for note in counted.notes)
    assert any("notes.txt" in note for note in counted.notes)


def test_without_a_distance_only_equal_files_are_left_out(tmp_path: Path, write_files: WriteFiles) -> None:
    root = write_files(tmp_path / "p", {"a.png": photo(6), "b.jpg": photo(7, "JPEG", quality=80), "c.png": photo(50)})
    paths, counted = read(tmp_path, root, labelled(tmp_path, write_files), None)
    assert paths == ["b.jpg", "c.png"]
    assert [one.path for one in counted.excluded] == ["a.png"]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=12), st.lists(st.integers(0, 5), max_size=12))
def test_equal_files_are_found_whatever_the_order(known: list[tuple[int, int]], found: list[int]) -> None:
    """Content i has the digest i. One that is in several splits counts as one of eval or test."""
    truth, rows = np.zeros(len(known), census.ROW), np.zeros(len(found), census.ROW)
    truth["sha256"][:, 0], rows["sha256"][:, 0] = [content for content, _ in known], found
    truth["split"] = [split for _, split in known]
    result = overlap.find(rows, truth, DISTANCE)
    judged = {content for content, split in known if split > 0}
    trained = {content for content, _ in known} - judged
    assert set(result.judged) == {i for i, content in enumerate(found) if content in judged}
    assert set(result.train) == {i for i, content in enumerate(found) if content in trained}


def test_the_fingerprint_changes_with_the_images(tmp_path: Path, write_files: WriteFiles) -> None:
    root = write_files(tmp_path / "p", {"a.png": photo(1), "b.png": photo(2)})
    pool = Pool(root=str(root), max_pixels=10_000)
    first = listing.fingerprint(pool)
    assert first == listing.fingerprint(pool) != ""
    (root / "b.png").write_bytes(photo(3))
    second = listing.fingerprint(pool)
    (root / "c.png").write_bytes(photo(4))
    assert len({first, second, listing.fingerprint(pool)}) == 3
    assert listing.fingerprint(None) == ""


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.unlabelled: .*nowhere"):
        listing.read(Pool(root=str(tmp_path / "nowhere"), max_pixels=100))
