"""What lies in files of the temporary folder is what was put there, leaves no file behind, and names a full disk."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import tempfile
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from components.base.compact import scratch

DTYPE = np.dtype([("digest", "<u8", 2), ("split", "u1")])  # 17 bytes


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even small arrays go to files, three rows at a time."""
    monkeypatch.setattr(scratch, "SMALL", -1)
    monkeypatch.setattr(scratch, "_ROWS", 3)


def test_blocks_are_read_as_they_were_written(folder: Path) -> None:
    blocks = scratch.Blocks()
    places = [blocks.append(content) for content in (b"one", b"", b"three" * 1000)]
    assert [place.read() for place in places] == [b"one", b"", b"three" * 1000]
    assert blocks.append(b"more").read() == b"more"
    assert list(folder.iterdir()) == []


def test_a_block_outlives_the_others(folder: Path) -> None:
    block = scratch.Blocks().append(b"alone")
    assert block.read() == b"alone"


@pytest.mark.usefixtures("in_files")
def test_an_array_in_a_file_is_an_array_of_zeros(folder: Path) -> None:
    found = scratch.zeros((5, 2), np.int32)
    assert_array_equal(found, [[0, 0]] * 5)
    found[3] = [1, 2]
    assert found.sum() == 3
    assert list(folder.iterdir()) == []
    assert scratch.zeros(0, DTYPE).shape == (0,)


@pytest.mark.parametrize(
    "values",
    [np.arange(6).reshape(2, 3), np.arange(6).reshape(2, 3).T, np.zeros((0, 4), "<u8"), np.ones(3, DTYPE), [[True]]],
    ids=["rows", "columns", "none", "of fields", "of bits"],
)
def test_an_array_is_saved_as_numpy_does(folder: Path, values: np.ndarray) -> None:
    values = np.asarray(values)
    scratch.save(str(folder / "ours.npy"), values)
    np.save(folder / "theirs.npy", np.ascontiguousarray(values))
    assert (folder / "ours.npy").read_bytes() == (folder / "theirs.npy").read_bytes()
    assert_array_equal(scratch.load(str(folder / "ours.npy")), values)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_told_by_the_number_that_the_system_gives() -> None:
    """`np.save` raises an error without a number: "100 requested and 0 written"."""
    with pytest.raises(OSError, match="No space left on device") as raised:
        scratch.save("/dev/full", np.zeros(100_000))
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.usefixtures("in_files")
def test_values_are_taken_and_joined_as_numpy_does() -> None:
    rows = np.zeros(8, DTYPE)
    rows["digest"], rows["split"] = np.arange(16).reshape(8, 2), np.arange(8)
    places = np.array([7, 0, 0, 3, 2, 1, 6])
    assert_array_equal(scratch.taken(rows, places), rows[places])
    assert_array_equal(scratch.taken(rows["digest"], places), rows["digest"][places])
    assert_array_equal(scratch.joined([rows[:5], rows[:0], rows[2:]]), np.concatenate([rows[:5], rows[2:]]))


@pytest.mark.parametrize("bound", [0, 1 << 24], ids=["mapped", "read"])
def test_an_array_is_loaded_as_it_was_saved(bound: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "SMALL", bound)
    rows = np.zeros(3, DTYPE)
    rows["split"] = [1, 2, 3]
    np.save(folder / "rows.npy", rows)
    assert_array_equal(scratch.load(str(folder / "rows.npy")), rows)
    np.save(folder / "rows.npy", rows[:0])
    assert scratch.load(str(folder / "rows.npy")).shape == (0,)


@pytest.mark.usefixtures("in_files")
def test_a_file_is_filled_where_the_system_has_no_call_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    found = scratch.zeros(300_000, np.float64)  # 2.4 MB, more than is written at once
    assert found.shape == (300_000,)
    assert not found.any()


def test_a_small_array_needs_no_file(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "missing"))
    assert_array_equal(scratch.zeros(3, np.int8), [0, 0, 0])
    with pytest.raises(FileNotFoundError, match="missing"):
        scratch.zeros(1 << 24, np.int64)


def _limited(queue: multiprocessing.Queue[object]) -> None:
    """In a process whose files may have a megabyte, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    told: list[object] = []
    for step in (lambda: scratch.zeros(1 << 24, np.int64), lambda: scratch.Blocks().append(bytes(1 << 21))):
        try:
            step()
        except OSError as error:
            told.append((error.errno, os.path.basename(error.filename)))
    queue.put(told)


def test_where_there_is_no_room_the_error_names_the_folder(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[object] = context.Queue()
    process = context.Process(target=_limited, args=(queue,))
    process.start()
    assert queue.get(timeout=60) == [(errno.EFBIG, folder.name)] * 2
    process.join()
    assert process.exitcode == 0
