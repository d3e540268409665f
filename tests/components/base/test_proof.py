"""What proves a file unchanged, and where nothing does."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from components.base import proof
from components.data import storage

SECOND = 1_000_000_000
WriteFiles = Callable[..., Path]


def status(*, modified: int, changed: int, inode: int = 7) -> os.stat_result:
    """As os.stat gives it, with times in ns."""
    ten = (0o100644, inode, 0, 1, 0, 0, 3, 0, modified // SECOND, changed // SECOND)
    return os.stat_result(ten, {"st_mtime_ns": modified, "st_ctime_ns": changed})


def test_change_time_and_inode_count_beside_the_modification_time() -> None:
    now = 100 * SECOND
    told = [
        proof.of_status(status(modified=SECOND, changed=c, inode=i), trusted=True, now=now)
        for c, i in [(2 * SECOND, 7), (3 * SECOND, 7), (2 * SECOND, 8)]
    ]
    assert told == [f"{SECOND} {2 * SECOND} 7", f"{SECOND} {3 * SECOND} 7", f"{SECOND} {2 * SECOND} 8"]
    assert all(map(proof.proves, told))


@pytest.mark.parametrize("age", [0, 1, 1.9, -5])
def test_a_file_that_changed_within_the_last_tick_or_in_the_future_is_unproven(age: float) -> None:
    now = 100 * SECOND
    version = proof.of_status(status(modified=0, changed=now - int(age * SECOND)), trusted=True, now=now)
    assert not proof.proves(version)
    later = proof.of_status(status(modified=0, changed=now - int(age * SECOND)), trusted=True, now=now + 60 * SECOND)
    assert proof.proves(later)
    assert proof.facts(version) == later


def test_a_file_system_without_change_times_proves_nothing() -> None:
    assert not proof.proves(proof.of_status(status(modified=1, changed=1), trusted=False, now=100 * SECOND))


MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/root rw
40 22 8:17 / /media/my\\040stick rw,nosuid shared:1 - vfat /dev/sdb1 rw
41 22 0:50 / /home/me/photos rw,nosuid - fuse.sshfs me@host:/photos rw
42 22 0:51 / /srv/nas rw - nfs4 nas:/export rw
"""


@pytest.mark.parametrize(
    ("folder", "trusted"),
    [
        ("/data", True),
        ("/srv/nas/images", True),
        ("/media/my stick/dcim", False),
        ("/media/my", True),
        ("/home/me/photos", False),
        ("/home/me", False),  # part of it is such a mount
    ],
)
def test_the_table_of_mounts_tells_where_change_times_mean_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, trusted: bool
) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    monkeypatch.setattr(proof, "_MOUNTS", str(tmp_path / "mounts"))
    proof.has_change_times.cache_clear()
    assert proof.has_change_times(folder) is trusted
    proof.has_change_times.cache_clear()


@pytest.mark.parametrize(
    ("info", "version"),
    [
        ({"ETag": '"9b2c"', "LastModified": "2026"}, '"9b2c"'),
        ({"generation": "17", "md5Hash": "x"}, "17"),
        ({"ETag": 'W/"9b2c"'}, '~W/"9b2c"'),
        ({"mtime": 12.5, "size": 3}, "~12.5"),
        ({"size": 3}, "~"),
    ],
)
def test_a_store_proves_by_checksum_or_generation_and_by_no_time(info: dict[str, object], version: str) -> None:
    assert proof.of_store(info) == version
    assert proof.proves(version) is (not version.startswith("~"))


def settled(path: Path) -> None:
    """Waits until the file's last change is long enough ago."""
    while time.time_ns() - path.stat().st_ctime_ns <= 2.01 * SECOND:
        time.sleep(0.05)


def test_on_disk_overwriting_and_setting_the_time_back_is_seen(tmp_path: Path, write_files: WriteFiles) -> None:
    root = write_files(tmp_path, {"a.png": b"one", "b.png": b"two"})
    for name in ("a.png", "b.png"):
        os.utime(root / name, ns=(0, SECOND))
    settled(root / "b.png")
    before = {file.path: file.version for file in storage.files(str(root))}
    url = {file.path: file.version for file in storage.files(f"file://{root}")}
    assert all(map(proof.proves, [*before.values(), *url.values()]))
    assert url == before

    (root / "a.png").write_bytes(b"new")
    os.utime(root / "a.png", ns=(0, SECOND))
    after = {file.path: file.version for file in storage.files(str(root))}
    assert proof.facts(after["a.png"]) != before["a.png"]
    assert after["b.png"] == before["b.png"]


def test_a_store_in_memory_has_no_proof(write_files: WriteFiles) -> None:
    store = fsspec.filesystem("memory")
    store.pipe_file("/proof/1.png", b"one")
    [file] = storage.files("memory://proof")
    assert not proof.proves(file.version)
    store.rm("/proof", recursive=True)
