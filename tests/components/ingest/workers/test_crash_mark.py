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
from components.data.formats import proof
from components.ingest import settling, shards
from components.ingest.counts import census
from components.ingest.layouts import folders
from components.ingest.stored import copies
from components.ingest.stored.copies import Files, Known
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

    def examined(self, path: str, data: bytes) -> proof.Steps[images.Checked]:
        if data == DEADLY:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().examined(path, data)


_DIES = """
import os, sys
from components.ingest.workers import crash_mark
with crash_mark.reading(sys.argv[1], sys.argv[2]):
    os.kill(os.getpid(), 11)
"""


@pytest.fixture
def told() -> Iterator[list[str]]:
    lines = list[str]()
    progress.listen(None, lines.append)
    yield lines
    progress.listen(None)


def die(output: Path, images: str = "labelled") -> None:
    dies = subprocess.run([sys.executable, "-c", _DIES, str(output), images], check=False)
    assert dies.returncode == -signal.SIGSEGV


def test_a_mark_stays_where_a_process_died_and_nowhere_else(tmp_path: Path, told: list[str]) -> None:
    output = str(tmp_path)
    with crash_mark.reading(output) as found:
        assert not found.careful
    with pytest.raises(RuntimeError), crash_mark.reading(output):
        raise RuntimeError
    assert (os.listdir(output), told) == ([], [])
    die(tmp_path)
    # One that does not come to its end leaves it to the next.
    with pytest.raises(RuntimeError), crash_mark.reading(output):
        raise RuntimeError
    with crash_mark.reading(output) as found:
        assert found.careful
    assert len(told) == 2
    assert "an earlier command ended while it read the images" in told[0]
    assert "goes to quarantine" in told[0]
    # Whichever command it was, the next one of any kind has heeded it.
    assert os.listdir(output) == []
    with crash_mark.reading(output) as found:
        assert not found.careful
    assert len(told) == 2


def test_who_still_reads_is_not_taken_for_dead(tmp_path: Path, told: list[str]) -> None:
    output = str(tmp_path)
    with crash_mark.reading(output) as first:
        with crash_mark.reading(output) as second:
            assert len(os.listdir(output)) == 2
        assert not first.careful
        assert not second.careful
        assert crash_mark.remains(output) == []
        # A death beside them is known, and their marks stay.
        die(tmp_path)
        assert len(os.listdir(output)) == 2
        with crash_mark.reading(output) as third:
            assert third.careful
        assert len(os.listdir(output)) == 1
    assert os.listdir(output) == []


def test_the_mark_of_an_image_that_crashes_stays_until_it_does_not(tmp_path: Path, told: list[str]) -> None:
    """Otherwise a run that has to read it again would die every other night."""
    output = str(tmp_path)
    die(tmp_path)
    for night in range(3):
        with crash_mark.reading(output) as found:
            assert found.careful
            found.crashed = True
        assert len(os.listdir(output)) == 1
        assert ("an image crashed its decoder in an earlier run" in told[-1]) == (night > 0)
        assert crash_mark.remains(output) == []  # not for `imagegate clean`
    with crash_mark.reading(output) as found:
        assert found.careful
    assert os.listdir(output) == []


def test_images_without_labels_have_marks_of_their_own(tmp_path: Path) -> None:
    """The labelled ones are read before them, and would remove the mark at their end."""
    output = str(tmp_path)
    die(tmp_path, "unlabelled")
    with crash_mark.reading(output) as found:
        assert not found.careful
    assert len(crash_mark.remains(output)) == 1
    with crash_mark.reading(output, "unlabelled") as found:
        assert found.careful
    assert os.listdir(output) == []


def test_without_a_place_for_it_there_is_no_mark(tmp_path: Path) -> None:
    """`check` and `init` make no output."""
    (tmp_path / "file").touch()
    for output in ("", str(tmp_path / "file"), str(tmp_path / "none")):
        with crash_mark.reading(output) as found:
            assert not found.careful
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
    report = census.Report()
    for item in found.values():
        shards.enter(item, report)
    manifest, _ = settling.merge(dataset, [report], job, None)
    assert shards.crashed(manifest)


def test_the_one_new_image_of_many_takes_only_itself(
    tmp_path: Path, png: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the others are copied, it is as few to decode as a small data set; the plan of processes stays."""
    monkeypatch.setattr(shards, "Job", Deadly)
    for i in range(8):
        (tmp_path / "photos" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / "ab"[i % 2] / f"{i}.png").write_bytes(DEADLY if i == 3 else png(i))
    dataset = folders.read(str(tmp_path / "photos"), SHARES)
    job = dataclasses.replace(shards.job(dataset, 1000), processes=True)
    others = [record for record in dataset.records if record.path != "b/3.png"]
    before = shards.write(str(tmp_path / "1"), 0, 1, others, job, lambda _: None)
    place = {record.path: number for number, record in enumerate(dataset.records)}
    known = Known("", copies.kept(before, {at: place[path] for at, path in enumerate(before.paths)}))
    found = shards.write(
        str(tmp_path / "2"), 0, 1, dataset.records, job, lambda _: None, Files(str(tmp_path / "1")), known
    )
    assert found.reused == 7
    [(path, problem)] = found.quarantined
    assert path == "b/3.png"
    assert "crashed" in problem
    assert found.paths == before.paths


@dataclasses.dataclass(frozen=True)
class Noted(shards.Job):
    """Notes which process reads."""

    def examined(self, path: str, data: bytes) -> proof.Steps[images.Checked]:
        with Path(self.root, "processes.txt").open("a") as file:
            file.write(f"{os.getpid()}\n")
        return super().examined(path, data)


@pytest.mark.parametrize("careful", [False, True])
def test_images_that_move_are_read_again_in_processes_then(
    careful: bool, tmp_path: Path, png: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are few, so that it is done in this process otherwise."""
    monkeypatch.setattr(shards, "Job", Noted)
    for i in range(4):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / f"{i}.png").write_bytes(png(i))
    dataset, report = folders.read(str(tmp_path), SHARES), census.Report()
    job = shards.job(dataset, 1000, careful=careful)
    for item in shards.examine(dataset.records, job):
        shards.enter(item, report)
    (tmp_path / "processes.txt").unlink()
    there = report.splits()
    moves = {path: "train" if split == "eval" else "eval" for path, split in there.items()}
    settling._count_again(report, dataset.records, job, moves)
    assert report.splits() == moves
    readers = set((tmp_path / "processes.txt").read_text().split())
    assert (str(os.getpid()) in readers) == (not careful)
