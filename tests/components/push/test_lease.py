"""The lock of an object store: one holder at a time, also when holders are stopped, killed or many."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import object_store
import pytest

from components.base.errors import ImagegateError
from components.data.storage.calls import Calls
from components.push import versions as push
from components.push.destination import at, lease
from components.push.destination.lease import Holder, Lease, Lost
from components.push.destination.process import alive, this_process
from components.push.manifest import PushedManifest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def memory() -> Iterator[str]:
    yield "memory://lease/served"
    fs = fsspec.filesystem("memory")
    if fs.exists("/lease"):
        fs.rm("/lease", recursive=True)


@pytest.fixture(params=["memory", "s3"])
def root(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"graph")
    return str(tmp_path / "model")


def locks(root: str) -> dict[str, dict]:
    fs, base = fsspec.core.url_to_fs(root)
    fs.invalidate_cache()
    names = [name for name in fs.find(base) if "/.imagegate-lock-" in name]
    return {name.rpartition("-")[2]: json.loads(fs.cat_file(name)) for name in names}


def write_lock(root: str, number: int, holder: Holder) -> None:
    fs, base = fsspec.core.url_to_fs(root)
    fs.pipe_file(f"{base}/.imagegate-lock-{number}", holder.to_json())


def test_of_many_that_want_the_lock_one_at_a_time_has_it(root: str) -> None:
    inside, most = [], []

    def work() -> None:
        for _ in range(3):
            with at(root).locked():
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.005)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 12
    [(number, told)] = locks(root).items()
    assert (number, told["released"]) == ("12", True)


def test_a_lock_that_nobody_renews_is_taken_over_by_exactly_one(root: str) -> None:
    """The holder is on another machine, so that only time tells; its clock, which is a year behind, does not matter."""
    write_lock(root, 7, Holder("x", "far", 1, "other-machine ns 1 1", "2025-11-28 00:00:00 UTC", expiry_s=1.0))
    began, took, holding = time.monotonic(), [], []

    def work() -> None:
        with at(root).locked():
            took.append(time.monotonic() - began)
            holding.append(1)
            assert len(holding) == 1
            time.sleep(0.05)
            holding.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == 4
    assert min(took) > 1
    assert list(locks(root)) == ["11"]


def test_the_lock_of_a_process_of_this_machine_that_has_ended_is_free_at_once(root: str, model: str) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        boot, namespace, *_ = this_process().split()
        stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        name = f"{boot} {namespace} {process.pid} {stat[19]}"
        assert alive(name) is True
        process.kill()
    assert alive(name) is False
    assert alive("") is alive("other-machine ns 1 1") is None
    write_lock(root, 1, Holder("x", process=name))
    began = time.monotonic()
    push.push(model, root, PushedManifest())
    assert time.monotonic() - began < 20  # of the 60 after which it expires


def test_who_waits_in_vain_is_told_who_holds_the_lock(root: str, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "WAIT_S", 0.2)
    write_lock(root, 1, Holder("x", "far", 4711, "other-machine ns 1 1", "2026-11-28 03:00:00 UTC"))
    with pytest.raises(
        ImagegateError, match=r"process 4711 on far has held the lock of .* since 2026-11-28 03:00:00 U"
    ):
        push.push(model, root, PushedManifest())
    assert "process 4711 on far" in push.tidy(root, 1)[1]


def test_who_waits_in_vain_for_a_local_folder_is_told_who_holds_it(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.push.destination.folder.WAIT_S", 0.1)
    (tmp_path / "served").mkdir()
    with at(str(tmp_path / "served")).locked(), pytest.raises(ImagegateError, match=rf"process {os.getpid()} has held"):
        push.push(model, str(tmp_path / "served"), PushedManifest())


def test_a_held_lock_is_renewed(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "EXPIRY_S", 1.0)
    with at(memory).locked():
        monkeypatch.setattr(lease, "WAIT_S", 2.0)
        with pytest.raises(OSError, match="has held the lock"), at(memory).locked():
            pass
    assert locks(memory)["1"]["beat"] >= 3


def test_a_store_that_ignores_conditions_has_a_lease_that_is_read_back(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two write at the same time, the second over the first; after a while each reads who it is."""
    fs, base = fsspec.core.url_to_fs(memory)
    write = fs.pipe_file
    both = threading.Barrier(2)
    slept: list[float] = []

    def ignoring(path: str, value: bytes, mode: str = "overwrite") -> None:
        if mode == "create" and path.endswith("-1") and not slept:
            both.wait(5)
        write(path, value)

    monkeypatch.setattr(fs, "pipe_file", ignoring)
    monkeypatch.setattr(lease, "SETTLE_S", 0.3)
    taken = []

    def take() -> None:
        one = Lease(Calls(fs), base, memory, "other")
        if one._take(1):
            taken.append(one)

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    taken[0].check()


STOPPED = """
import sys, time
from components.push import versions as push
from components.push.destination import lease, store
from components.push.manifest import PushedManifest
lease.EXPIRY_S = 1.0
held = getattr(store.Store, sys.argv[3])
def say_and_wait(*arguments):
    print("here", flush=True)
    sys.stdin.readline()
    return held(*arguments)
setattr(store.Store, sys.argv[3], say_and_wait)
try:
    print(push.push(sys.argv[1], sys.argv[2], PushedManifest(name="stopped")).version)
except Exception as error:
    print(error)
"""


@pytest.mark.parametrize("moment", [pytest.param("_put", marks=pytest.mark.slow), "_complete"])
def test_a_pusher_that_was_stopped_for_too_long_gives_up(s3: str, model: str, moment: str) -> None:
    """SIGSTOP before its first file or before its manifest; another pushes meanwhile; then SIGCONT."""
    command = [sys.executable, "-c", STOPPED, model, s3, moment]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGSTOP)
        between = push.push(model, s3, PushedManifest(name="between"))
        process.send_signal(signal.SIGCONT)
        said = process.communicate("\n" * 20)[0]
    assert "lost its lock" in said, said
    assert push.current(s3) == between
    push.verify(between)
    fs = fsspec.filesystem("s3", use_listings_cache=False)
    there = {name.split("/")[3] for name in fs.find(s3) if "/.imagegate-lock-" not in name}
    assert there == {between.version}


def test_a_version_that_was_closed_cannot_be_completed(
    memory: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look at the lock was too early: whoever took over has closed the version before its manifest came."""
    place = at(memory)
    with place.locked():
        monkeypatch.setattr(place._lease, "check", lambda: None)

        def seal(arrived: dict[str, str]) -> bytes:
            place._close()
            return b'{"files": {}}'

        with pytest.raises(Lost, match="another writer has closed"):
            place.put("5", {"saved_model.pb": b"graph"}, seal)
    assert push.current(memory) is None
    assert push.tidy(memory, 1) == ([], "")
    assert place.versions() == []


def test_an_upload_whose_last_answer_was_lost_is_one_version_and_succeeds(server: str, s3: str, model: str) -> None:
    object_store.faults(server, ("PUT", "imagegate.json", 1, "lost"))
    pushed = push.push(model, s3, PushedManifest())
    assert at(s3).versions() == [pushed.version]
    assert push.current(s3) == pushed
    push.verify(pushed)


@pytest.mark.parametrize("what", [*(pytest.param(x, marks=pytest.mark.slow) for x in ("500", "503")), "lost"])
def test_errors_of_a_store_pass(server: str, s3: str, model: str, what: str) -> None:
    def fail() -> None:
        object_store.faults(server, *((method, "models", 1, what) for method in ("GET", "PUT", "DELETE", "HEAD")))

    fail()
    pushed = push.push(model, s3, PushedManifest())
    fail()
    push.push(model, s3, PushedManifest(name="2"))
    fail()
    assert push.tidy(s3, 1) == ([pushed.version], "")
    assert len(at(s3).versions()) == 1
    assert push.tidy(s3, 1) == ([], "")


@pytest.mark.slow
def test_an_error_that_stays_is_one_sentence(server: str, s3: str, model: str) -> None:
    object_store.faults(server, ("PUT", "saved_model.pb", 10**6, "503"))
    with pytest.raises(ImagegateError, match=r"^push: cannot write to s3://models/served/digits: ") as error:
        push.push(model, s3, PushedManifest())
    assert "\n" not in str(error.value)
    object_store.faults(server)
    assert at(s3).versions() == []
