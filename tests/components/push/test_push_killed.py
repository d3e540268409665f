"""Pushes and removals killed at any moment: who reads as TensorFlow Serving does never meets a broken version."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fsspec
import pytest

from components.push import history
from components.push import versions as push
from components.push.manifest import PushedManifest

ROOT = Path(__file__).parents[3]
KILLS, KEEP = 20, 2
PUSHING = """
import sys
from components.push import history
from components.push import versions as push
from components.push.manifest import PushedManifest
push.current(sys.argv[2])  # what the store needs is imported and connected before the clock starts
print("ready", flush=True)
while True:
    push.push(sys.argv[1], sys.argv[2], PushedManifest(), {"card": b"about"})
    push.tidy(sys.argv[2], int(sys.argv[3]))
"""


class Reader:
    """Looks at a folder all the time, and reads each version under a number at once; the largest is what is served."""

    def __init__(self, destination: Path) -> None:
        self._destination, self._done = destination, threading.Event()
        self.broken: list[str] = []
        self.loaded: set[int] = set()
        self._thread = threading.Thread(target=self._poll)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._done.is_set():
            versions = sorted((int(n) for n in os.listdir(self._destination) if n.isdigit()), reverse=True)
            for version in versions:
                problem = wrong(self._destination / str(version))
                if problem and version == versions[0] and not self._superseded(version):
                    self.broken.append(f"{version}, the largest: {problem}")
                elif problem and (self._destination / str(version)).exists():  # or removed while it was read
                    self.broken.append(f"{version}: {problem}")
                elif version == versions[0]:
                    self.loaded.add(version)

    def _superseded(self, version: int) -> bool:
        """Whether so many newer ones have come while it was read that it may have been removed."""
        return sum(int(n) > version for n in os.listdir(self._destination) if n.isdigit()) >= KEEP


def wrong(version: Path) -> str:
    """What is wrong with a version, by its manifest; "" for nothing. Nothing of the code under test is in here."""
    try:
        wanted = json.loads((version / "imagegate.json").read_bytes())["files"]
        there = {str(p.relative_to(version)): p for p in version.rglob("*") if p.is_file()}
        there.pop("imagegate.json")
        found = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in there.items()}
    except (OSError, ValueError, KeyError) as error:
        return repr(error)
    return "" if found == wanted else f"has {found}, expected {wanted}"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """3 MB in 12 files."""
    content = random.Random(1)
    for name in ["saved_model.pb", *(f"variables/{i}" for i in range(11))]:
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.randbytes(250_000))
    return tmp_path / "model"


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    (tmp_path / "served").mkdir()
    return tmp_path / "served"


def test_a_reader_never_meets_a_broken_version_whenever_a_push_is_killed(model: Path, destination: Path) -> None:
    moments, left, highest, kills = random.Random(7), [], 0, 0
    command = [sys.executable, "-c", PUSHING, str(model), str(destination), str(KEEP)]
    with Reader(destination) as reader:
        # More kills where a slow machine pushed, or was read, too seldom to say anything.
        while kills < KILLS or (kills < 5 * KILLS and (len(left) < 3 or len(reader.loaded) <= KILLS / 2)):
            kills += 1
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
                assert process.stdout.readline() == b"ready\n"
                time.sleep(moments.uniform(0, 0.25))
                process.send_signal(signal.SIGKILL)
                assert process.wait() == -signal.SIGKILL
            names = set(os.listdir(destination)) - {history.RECORD}
            left += [name for name in names if not name.isdigit()]
            versions = [int(name) for name in names if name.isdigit()]
            assert max(versions, default=0) >= highest
            highest = max(versions, default=0)
            assert all(wrong(destination / str(version)) == "" for version in versions)
        assert reader.broken == []
        assert len(reader.loaded) > KILLS / 2
    assert len(left) >= 3, "nothing was killed in the middle, so this test says nothing"
    # The next push cleans up.
    last = push.push(str(model), str(destination), PushedManifest())
    assert push.tidy(str(destination), KEEP)[1] == ""
    names = sorted(set(os.listdir(destination)) - {history.RECORD})
    assert (len(names), names[-1]) == (KEEP, last.version)
    assert reader.broken == []


def test_an_upload_that_is_killed_is_no_version_and_the_next_removes_it(model: Path, s3: str, tmp_path: Path) -> None:
    """The same in an object store, where nothing can be renamed: a version counts once it has its manifest."""
    moments, kills, incomplete = random.Random(8), 0, 0
    files = fsspec.filesystem("s3", use_listings_cache=False)
    base = s3.removeprefix("s3://")
    files.pipe_file(f"{base}/5/saved_model.pb", b"somebody else's")
    for _ in range(KEEP):
        began = time.monotonic()
        push.push(str(model), s3, PushedManifest(), {"card": b"about"})
        takes = time.monotonic() - began  # a fast and a slow machine are both killed in the middle
    command = [sys.executable, "-c", PUSHING, str(model), s3, str(KEEP)]
    while kills < KILLS // 2 or (incomplete < 2 and kills < 3 * KILLS):
        kills += 1
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(moments.uniform(0, 1.5) * takes)
            process.send_signal(signal.SIGKILL)
            process.wait()
        names = {name.removeprefix(f"{base}/").split("/")[0] for name in files.find(base)}
        numbers = {int(name) for name in names if name.isdigit()}
        incomplete += sum(not files.exists(f"{base}/{n}/imagegate.json") for n in numbers - {5})
        served = push.current(s3)
        if served is not None:
            push.verify(served)
    assert incomplete >= 2, "nothing was killed in the middle, so this test says nothing"
    last = push.push(str(model), s3, PushedManifest())
    assert int(last.version) > max(numbers)
    assert push.tidy(s3, KEEP)[1] == ""
    files.get(base, str(tmp_path / "copy"), recursive=True)
    left = sorted((name for name in os.listdir(tmp_path / "copy") if name.isdigit()), key=int)
    locks = [name for name in os.listdir(tmp_path / "copy") if name.startswith(".imagegate-lock-")]
    others = set(os.listdir(tmp_path / "copy")) - {history.RECORD}
    assert len(others) == len(left) + len(locks) == len(left) + 1
    assert (len(left), left[0], left[-1]) == (1 + KEEP, "5", last.version)
    assert all(wrong(tmp_path / "copy" / name) == "" for name in left[1:])
    assert push.current(s3) == last
