"""Digests of files, which are taken once as long as a proof shows that nothing changed."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from components.base import digests

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of b"abc", FIPS 180-2


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read."""
    found: list[str] = []
    whole = hashlib.file_digest

    def file_digest(file: Any, name: str) -> Any:
        found.append(os.path.basename(file.name))
        return whole(file, name)

    monkeypatch.setattr(hashlib, "file_digest", file_digest)
    return found


def test_a_digest_is_that_of_the_content_and_a_folder_has_one_for_each_file(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/b/1", "a/2", "a/3"):
        (tmp_path / name).write_bytes(b"abc")
    assert digests.of_file(str(tmp_path / "a" / "2")) == ABC
    assert digests.of_folder(str(tmp_path / "a"), ["3"]) == {"2": ABC, "b/1": ABC}
    assert digests.of_folder(str(tmp_path / "none")) == {}


def test_a_file_is_read_again_until_its_last_change_is_long_enough_ago(tmp_path: Path, taken: list[str]) -> None:
    path = tmp_path / "1"
    path.write_bytes(b"abc")
    for _ in range(2):
        assert digests.of_file(str(path)) == ABC
    assert taken == ["1", "1"]
    time.sleep(2.1)
    for _ in range(3):
        assert digests.of_file(str(path)) == ABC
    assert taken == ["1"] * 3
    status = path.stat()
    path.write_bytes(b"abd")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digests.of_file(str(path)) != ABC
