"""Processes that read images: in order, like one process, and without those on which they die."""

import dataclasses
import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from components.base.errors import ImagegateError
from components.data import images
from components.data.formats import proof
from components.ingest import shards
from components.ingest.layouts import folders
from components.ingest.workers import processes

SHARES = {"train": 0.6, "eval": 0.2, "test": 0.2}
_DEADLY = b"deadly"


@pytest.fixture(scope="module", autouse=True)
def _released() -> Iterator[None]:
    yield
    processes.release()


def act(factor: int, item: int) -> tuple[int, int]:
    """The product and the process; dies at 13, and takes long for 14."""
    if item == 13:
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == 14:
        time.sleep(60)
    return factor * item, os.getpid()


def died(item: int) -> tuple[int, int]:
    return -item, 0


def products(items: list[int], size: int = 3, count: int = 2) -> tuple[list[int], set[int]]:
    assert processes.can_start()
    parts = iter([items[i : i + size] for i in range(0, len(items), size)])
    found = list(processes.ordered(act, 10, parts, count, died, longest=2.0))
    return [product for product, _ in found], {pid for _, pid in found}


def test_items_come_in_order_from_other_processes() -> None:
    found, pids = products(list(range(12)))
    assert found == [10 * i for i in range(12)]
    assert os.getpid() not in pids


def test_an_item_that_ends_its_process_takes_no_other_along() -> None:
    """Once by a crash and once by taking too long; at the begin, in the middle, and at the end of parts."""
    assert products([13, 0, 1, 2, 14, 3, 4, 5, 13])[0] == [-13, 0, 10, 20, -14, 30, 40, 50, -13]


def broken(setting: None, item: int) -> int:
    raise AssertionError("never called")


def test_processes_that_cannot_start_are_said_and_blame_no_item(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_begin", dying)
    assert processes.can_start()
    with pytest.raises(ImagegateError, match="end at once, without any image"):
        list(processes.ordered(broken, None, iter([[1]]), 1, died))


def dying(told: bytes) -> None:
    os._exit(3)


def test_release_ends_them_and_others_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the folder for temporary files is the run's own, and goes with it."""
    processes.release()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
        assert products([1, 2])[0] == [10, 20]
        assert multiprocessing.active_children()
        assert list((tmp_path / name).iterdir())
        processes.release()
        assert multiprocessing.active_children() == []
        (tmp_path / name).rmdir()  # empty again


def test_where_no_server_can_start_threads_do_it(dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes.release()
    long = tmp_path / ("x" * 120)  # a socket's path has 107 bytes at most
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    assert not processes.can_start()
    job = dataclasses.replace(shards.job(dataset, 1000), threads=2, processes=True)
    found = list(shards.examine(dataset.records[:40], job))
    assert [item.record for item in found] == list(dataset.records[:40])
    assert multiprocessing.active_children() == []
    processes.release()


def test_a_release_while_another_thread_reads_ends_nothing() -> None:
    """As where a worker of an engine ends one step while it is in another."""
    found: list[int] = []
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(lambda: found.extend(products(list(range(15, 200)), size=1)[0]))
        while not (multiprocessing.active_children() or reading.done()):
            time.sleep(0.01)
        for _ in range(20):
            processes.release()
        reading.result(timeout=120)
    assert found == [10 * i for i in range(15, 200)]
    processes.release()
    assert multiprocessing.active_children() == []


def test_modules_of_the_folder_in_which_the_user_works_are_not_imported(tmp_path: Path) -> None:
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "__init__.py").touch()
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('imported')")
    (tmp_path / "work").mkdir()
    script = tmp_path / "work" / "script.py"
    script.write_text(_SCRIPT.format(folder=str(Path(__file__).parent)).replace("[14]", "[3]"))
    done = subprocess.run(
        [sys.executable, "-P", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 3


_SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import test_processes
from components.ingest.workers import processes
if __name__ == "__main__":
    processes.can_start()
    for product, pid in processes.ordered(test_processes.act, 10, iter([[1], [2], [14]]), 1, test_processes.died):
        print(pid, flush=True)
"""


def test_they_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(_SCRIPT.format(folder=str(Path(__file__).parent)))
    with subprocess.Popen([sys.executable, tmp_path / "script.py"], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert starter.stdout.readline() == f"{pid}\n"  # now it sleeps at the third
        starter.kill()
    until = time.monotonic() + 30
    while os.path.exists(f"/proc/{pid}") and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < until, "the process lives on"
        time.sleep(0.1)


@dataclasses.dataclass(frozen=True)
class Deadly(shards.Job):
    """A decoder that crashes at one content."""

    def examined(self, path: str, data: bytes) -> proof.Steps[images.Checked]:
        if data == _DEADLY:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().examined(path, data)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, png: Any) -> Any:
    root = tmp_path_factory.mktemp("data")
    for i in range(90):
        (root / "ab"[i % 2]).mkdir(exist_ok=True)
        content = b"no image" if i == 40 else _DEADLY if i == 50 else png(i)
        (root / "ab"[i % 2] / f"{i}.png").write_bytes(content)
    return folders.read(str(root), SHARES)


def report(dataset: Any, folder: Path, **changes: Any) -> Any:
    job = dataclasses.replace(shards.job(dataset, 1000), **changes)
    job = Deadly(**{field.name: getattr(job, field.name) for field in dataclasses.fields(job)})
    return shards.write(str(folder), 0, 1, list(dataset.records), job, lambda _: None)


def test_shards_are_the_same_and_a_decoder_that_crashes_takes_one_image_with_it(dataset: Any, tmp_path: Path) -> None:
    records = tuple(record for record in dataset.records if not record.path.endswith("/50.png"))
    alone = report(dataclasses.replace(dataset, records=records), tmp_path / "alone", threads=1)
    apart = report(dataset, tmp_path / "apart", threads=2, processes=True)
    assert ("a/50.png", shards._CRASHED) in apart.quarantined
    apart.quarantined.remove(("a/50.png", shards._CRASHED))
    # Its content is known, so that the next run knows that nothing is new.
    assert apart.digests.pop("a/50.png") == hashlib.sha256(_DEADLY).hexdigest()
    assert apart.to_json() == alone.to_json()
    assert len(alone.quarantined) == 1


@pytest.mark.parametrize(
    ("images", "size", "expected"),
    [
        (100, 40_000, False),  # 0.07 s and 4 MB x 12 ns = 0.05 s
        (18_000, 40_000, True),  # 12.6 s and 720 MB x 12 ns = 8.6 s
        (18_000, 1_000, False),  # 12.6 s and 0.2 s
        (30_000, 1_000, True),  # 21 s
    ],
)
def test_they_are_for_long_lists(images: int, size: int, expected: bool, tmp_path: Path, dataset: Any) -> None:
    one = dataclasses.replace(next(iter(dataset.records)), size=size)
    many = [dataclasses.replace(one, path=f"{i}.jpg", split="train") for i in range(images)]
    assert shards.job(dataclasses.replace(dataset, records=tuple(many)), 1000).processes is expected


@pytest.mark.parametrize("folder", ["", "/train"])
def test_archives_are_read_in_one_process(folder: str, tmp_path: Path, dataset: Any) -> None:
    root = tmp_path / "photos.zip"
    with zipfile.ZipFile(root, "w") as archive:
        archive.writestr("train/a/0.png", b"x")
    one = dataclasses.replace(next(iter(dataset.records)), size=1 << 32, split="train")
    assert not shards.job(dataclasses.replace(dataset, root=f"{root}{folder}", records=(one,)), 1000).processes
