"""The manifest beside the shards: every change of a shard is found."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from prepared import ingest

from components.base.errors import ImagegateError
from components.ingest import manifest
from components.ingest.layouts import folders

SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}


@pytest.fixture
def written(tmp_path: Path, png: Callable[..., bytes]) -> Path:
    """A folder with shards, of which `train` holds several records."""
    (tmp_path / "data" / "a").mkdir(parents=True)
    for i in range(40):
        (tmp_path / "data" / "a" / f"{i}.png").write_bytes(png(i % 8))
    ingest(folders.read(str(tmp_path / "data"), SHARES), tmp_path / "out")
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
    assert [os.path.basename(p) for p in manifest.verify(str(written), "train")] == sorted(
        os.listdir(written / "Split-train")
    )
    damage(largest(written))
    with pytest.raises(ImagegateError, match=rf"shard Split-train/data-\S+ {message}") as error:
        manifest.verify(str(written), "train")
    assert error.value.exit_code == 1
    assert len(manifest.verify(str(written), "test")) == 4


def test_verify_finds_a_missing_split(written: Path) -> None:
    for path in (written / "Split-eval").iterdir():
        path.unlink()
    (written / "Split-eval").rmdir()
    with pytest.raises(ImagegateError, match=r"shard Split-eval/data-00000-of-00004\.tfrecord is missing"):
        manifest.verify(str(written), "eval")
