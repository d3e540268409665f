"""After a command that died while it read images, each image is read in another process, whatever that costs."""

import dataclasses
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.base import progress
from components.data import images
from components.ingest import shards
from components.ingest.layouts import folders
from components.ingest.workers import crash_mark, processes

SHARES = {"train": 0.6, "eval": 0.2, "test": 0.2}
DEADLY = b"deadly"


@pytest.fixture(scope="module", autouse=True)
def _released() -> Iterator[None]:
    yield
    processes.release()


@dataclasses.dataclass(frozen=True)
class Deadly(shards.Job):
    """A decoder that crashes at one content."""

    def examined(self, path: str, data: bytes) -> images.Checked:
        if data == DEADLY:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().examined(path, data)


_DIES = """
import os, sys
from components.ingest.workers import crash_mark
with crash_mark.reading(sys.argv[1], "run"):
    os.kill(os.getpid(), 11)
"""


def test_a_mark_stays_where_a_process_died_and_nowhere_else(tmp_path: Path) -> None:
    output, told = str(tmp_path / "output"), list[str]()
    progress.listen(None, told.append)
    try:
        with crash_mark.reading(output, "run") as died:
            assert not died
        with pytest.raises(RuntimeError), crash_mark.reading(output, "run"):
            raise RuntimeError
        with crash_mark.reading(output, "check") as died:
            assert not died
        assert os.listdir(output) == []
        assert subprocess.run([sys.executable, "-c", _DIES, output], check=False).returncode == -signal.SIGSEGV
        assert not told
        # Of whichever command it is.
        with crash_mark.reading(output, "check") as died:
            assert died
        with crash_mark.reading(output, "run") as died:
            assert died
        assert len(told) == 2
        assert "goes to quarantine" in told[0]
        with crash_mark.reading(output, "run") as died:
            assert not died
    finally:
        progress.listen(None)


def test_without_a_place_for_it_there_is_no_mark(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in ("", str(tmp_path / "file")):
        with crash_mark.reading(output, "run") as died:
            assert not died
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_small_set_or_an_archive_is_read_in_processes_then_and_loses_one_image(
    packed: bool, tmp_path: Path, png: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the image is one of the few that decide the splits of a rare label: all of them are asked."""
    monkeypatch.setattr(shards, "Job", Deadly)
    root = tmp_path / "photos"
    for i in range(8):
        (root / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (root / "ab"[i % 2] / f"{i}.png").write_bytes(DEADLY if i == 3 else png(i))
    if packed:
        with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
            for path in sorted(root.rglob("*.png")):
                archive.write(path, path.relative_to(root))
        root = tmp_path / "photos.zip"
    dataset = folders.read(str(root), SHARES)
    assert not shards.job(dataclasses.replace(dataset, records=()), 1000).processes
    job = shards.job(dataset, 1000, careful=True)
    assert job.processes
    found = {item.record.path: item for item in shards.examine(dataset.records, job)}
    assert {path for path, item in found.items() if item.problem} == {"b/3.png"}
    assert "crashed" in found["b/3.png"].problem
    assert {item.split for item in found.values() if not item.problem} == set(SHARES)
