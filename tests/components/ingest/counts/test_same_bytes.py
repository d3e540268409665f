"""Shards and census are those of the release that held every record and report in memory at once, to the byte."""

import dataclasses
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from prepared import ingest

from components.base.compact import packed
from components.data import looks
from components.ingest.counts import census
from components.ingest.layouts import folders
from components.ingest.settings import NearLimits

# Taken with that release: the listing's fingerprint with each version as "1"; SHA-256 of the files; of the shards, that
# of their digests one behind the other.
FINGERPRINT = "65b84c1aa9ef5e603f21179b7d8469028c2aece74edba768026cc79af5c05760"
ROWS = "2e1ece73f53419d3679100c7c77bc0caebec29a9761a986bfc0e055bc0fcf982"
PATHS = "1e81727f5c53b422c48852669a530b6533695a5a50505d6b920e8464c23a0a5f"
SHARDS = "6f8c74e171f8731a08b8d88f87de4ff1958f645705c652886a3fe6a1c1d68d5b"


def png(seed: int, spot: int) -> bytes:
    """Noise of 40 x 40 pixels, not compressed, so that no version of zlib matters; `spot` changes one bit of it."""
    pixels = np.random.default_rng(seed).integers(0, 256, (10, 10, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    pixels[spot // 40, spot % 40] ^= 1 if spot else 0
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 40, 40, 8, 2, 0, 0, 0)
    stored = b"\x78\x01\x01" + struct.pack("<HH", len(raw), len(raw) ^ 0xFFFF) + raw
    data = chunk(b"IDAT", stored + struct.pack(">I", zlib.adler32(raw)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """60 pictures, of which 10 nearly equal others, a broken one, and a note."""
    for i in range(60):
        path = tmp_path / "data" / ("cat" if i % 3 else "dog") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i % 50, i // 50 * (i + 1)))
    (tmp_path / "data" / "cat" / "broken.png").write_bytes(b"no image")
    (tmp_path / "data" / "note.txt").write_text("beside")
    return tmp_path / "data"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("blocks", [(1024, 32768), (4, 8)], ids=str)
def test_the_bytes_are_those_of_before(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: tuple[int, int]
) -> None:
    """Also where so few records are in one block that 61 are sorted in eight runs."""
    for name, size in zip(("_BLOCK", "_RUN"), blocks, strict=True):
        monkeypatch.setattr(packed, name, size)
    dataset = folders.read(str(root), {"train": 0.6, "eval": 0.2, "test": 0.2})
    records = [dataclasses.replace(record, version="1") for record in dataset.records]
    found = ingest(dataset, tmp_path / "out", near=NearLimits(distance=32, max_share=1.0))
    assert dataclasses.replace(dataset, records=records).fingerprint() == FINGERPRINT
    assert found.counts == {"train": 43, "eval": 5, "test": 12}
    assert found.notes[1].startswith("10 nearly equal images were moved to train (6 from eval and 4 from test)")
    rows = np.load(tmp_path / "out" / "images.npy")
    before = np.zeros(len(rows), census.ROW.descr[: -len(looks.LOOK)])  # that release kept nothing of the looks
    for name in before.dtype.names or ():
        before[name] = rows[name]
    np.save(tmp_path / "before.npy", before)
    assert digest(tmp_path / "before.npy") == ROWS
    assert digest(tmp_path / "out" / "paths.txt") == PATHS
    shards = "".join(map(digest, sorted((tmp_path / "out").glob("Split-*/*"))))
    assert hashlib.sha256(shards.encode()).hexdigest() == SHARDS
