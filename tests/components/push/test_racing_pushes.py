"""Many pushers at once: each model replaces only what it was compared with, and readers never meet a broken version."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import fsspec
import object_store
import pytest

from components.push import versions as push

ROOT = Path(__file__).parents[3]
KEEP = 3
# Each model's graph holds the digest of its variables, so that a reader can tell a mixture of two.
PUSHER = """
import hashlib, os, random, sys, time
from components.push import versions as push
from components.push.manifest import PushedManifest
folder, root, keep, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
os.makedirs(f"{folder}/variables")
chance = random.Random(folder)
for _ in range(wanted):
    content = chance.randbytes(20_000)
    with open(f"{folder}/variables/variables.data", "wb") as f:
        f.write(content)
    with open(f"{folder}/saved_model.pb", "w") as f:
        f.write(hashlib.sha256(content).hexdigest())
    refused = 0
    while True:
        served = push.current(root)
        compared = served.version if served else ""
        time.sleep(chance.uniform(0, 0.01))
        try:
            new = push.push(folder, root, PushedManifest(), compared=compared)
        except push.Superseded:
            refused += 1
            continue
        break
    problem = push.tidy(root, keep)[1]
    print(new.version, compared or "-", new.manifest.compared_with or "-", refused, problem, flush=True)
"""


class Reader:
    """Loads the largest version at once, again and again, as TensorFlow Serving does: as soon as it has a graph."""

    def __init__(self, root: str) -> None:
        self._fs, self._base = fsspec.core.url_to_fs(root)
        self._local = "://" not in root
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll)
        self.wrong: list[str] = []
        self.loaded: set[int] = set()
        self.looks = 0

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _versions(self, name: str) -> list[int]:
        """The versions that have a file, the largest first."""
        if self._local:  # one call, so that what is renamed meanwhile is not missed
            found = [[number, name] for number in os.listdir(self._base)]
        else:
            self._fs.invalidate_cache()
            found = [path.removeprefix(self._base).strip("/").split("/") for path in self._fs.find(self._base)]
        return sorted({int(p[0]) for p in found if p[0].isdigit() and p[1:] == [name]}, reverse=True)

    def _poll(self) -> None:
        most = 0
        while not self._done.is_set():
            self.looks += 1
            whole = self._versions("imagegate.json")
            most = max(most, len(whole))
            if len(whole) < min(KEEP, most):
                self.wrong.append(f"only {whole} are there")
            graphs = self._versions("saved_model.pb")
            if graphs and graphs[0] not in self.loaded:
                problem = self._load(graphs[0])
                if not problem:
                    self.loaded.add(graphs[0])
                elif sum(n > graphs[0] for n in self._versions("saved_model.pb")) < KEEP:  # else it may be removed
                    self.wrong.append(f"{graphs[0]}: {problem}")

    def _load(self, version: int) -> str:
        folder = f"{self._base}/{version}"
        try:
            graph = self._fs.cat_file(f"{folder}/saved_model.pb").decode()
            variables = self._fs.cat_file(f"{folder}/variables/variables.data")
        except OSError as error:
            return repr(error)
        return "" if hashlib.sha256(variables).hexdigest() == graph else "graph and variables are of different models"


def race(root: str, folder: Path, pushers: int, each: int) -> None:
    commands = [
        [sys.executable, "-c", PUSHER, str(folder / str(i)), root, str(KEEP), str(each)] for i in range(pushers)
    ]
    with Reader(root) as reader:
        running = [subprocess.Popen(c, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for c in commands]
        said = [process.communicate() for process in running]
    assert [(process.returncode, err[-2000:]) for process, (_, err) in zip(running, said, strict=True)] == [
        (0, b"")
    ] * pushers
    lines = [line.split(" ", 4) for out, _ in said for line in out.decode().splitlines()]
    assert {line[4] for line in lines} == {""}, "something could not be tidied"
    history = sorted((int(version), compared, told) for version, compared, told, *_ in lines)
    assert len({version for version, *_ in history}) == len(history) == pushers * each
    # Each version was compared with the one before it, in what its pusher read and in what its manifest says.
    before = ["-", *(str(version) for version, *_ in history[:-1])]
    assert [compared for _, compared, _ in history] == before
    assert [told for *_, told in history] == before
    assert sum(int(line[3]) for line in lines) > 0, "nobody was refused, so nobody raced"
    assert reader.wrong == []
    assert reader.looks > each / 2
    assert reader.loaded <= {version for version, *_ in history}
    left = [served.version for served in push.newest_first(push.at(root))]
    assert left == [str(version) for version, *_ in reversed(history[-KEEP:])]
    for version in left:
        push.verify(push.read(f"{root}/{version}"))


@pytest.mark.parametrize(
    ("pushers", "each"), [(4, 10), pytest.param(4, 250, marks=pytest.mark.slow)], ids=["40", "1000"]
)
def test_racing_pushes_to_a_folder_form_one_chain(tmp_path: Path, pushers: int, each: int) -> None:
    (tmp_path / "served").mkdir()
    race(str(tmp_path / "served"), tmp_path, pushers, each)


@pytest.mark.parametrize(("pushers", "each"), [(2, 3), pytest.param(4, 25, marks=pytest.mark.slow)], ids=["6", "100"])
def test_racing_pushes_to_an_object_store_form_one_chain(s3: str, tmp_path: Path, pushers: int, each: int) -> None:
    race(s3, tmp_path, pushers, each)
    the_lock_is_free(s3)


@pytest.mark.slow
@pytest.mark.go
def test_racing_pushes_to_another_s3_server_form_one_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with object_store.gateway(tmp_path) as url:
        for name, value in (object_store.ENVIRONMENT | {"AWS_ENDPOINT_URL": url}).items():
            monkeypatch.setenv(name, value)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        race("s3://models/served", tmp_path, 4, 25)
        the_lock_is_free("s3://models/served")
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def the_lock_is_free(root: str) -> None:
    fs, base = fsspec.core.url_to_fs(root)
    fs.invalidate_cache()
    [lock] = [name for name in fs.find(base) if "/.imagegate-lock-" in name]
    assert json.loads(fs.cat_file(lock))["released"] is True
