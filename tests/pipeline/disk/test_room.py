"""Full disks: each is a sentence that says where and how much is needed, whatever a library made of it."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.disk import room
from pipeline.terminal import output_to

NEEDS = (("/", 65_000_000),)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OSError(errno.ENOSPC, "x", "/a/b"),
            r"^Trainer: no space left on device: /.* needs about 65\.0 MB there; make",
        ),
        (OSError(errno.EDQUOT, "x", "/a/b"), "^Trainer: the disk quota is used up: /a/b; "),
        (OSError(errno.EFBIG, "x", "/a/b"), "^Trainer: a file is larger than the system allows: /a/b; "),
        (OSError(errno.EIO, "x", "/a/b"), "^Trainer: the device cannot be read or written: /a/b; "),
        (OSError(errno.EROFS, "x", "/a/b"), "^Trainer: the file system is read-only: /a/b; "),
        (RuntimeError("database or disk is full query: COMMIT;"), "^Trainer: no space left on device: /"),
        (RuntimeError("attempt to write a readonly database"), "^Trainer: the file system is read-only: /"),
        (ValueError("/a/b/part-0; No space left on device [Op:SaveV2]"), "^Trainer: no space left on device: /"),
        (ValueError("H5: errno = 122, error message = 'Disk quota exceeded'"), "^Trainer: the disk quota is used up"),
    ],
)
def test_what_libraries_make_of_a_full_disk_is_known(error: Exception, says: str) -> None:
    outer = KeyError("in between")
    outer.__cause__ = error
    for raised in (error, outer):
        explained = room.explain(raised, NEEDS, stage="Trainer")
        assert explained is not None
        assert explained.exit_code == 1
        assert re.search(says, str(explained)), explained


def test_the_name_of_a_step_of_beam_is_not_taken_for_a_path(tmp_path: Path) -> None:
    """As Beam 2.77 says it where a file of StatisticsGen cannot get its name."""
    error = RuntimeError(
        "Encountered exceptions in finalize_write: [OSError(OSError(122, 'Disk quota exceeded'))] "
        "[while running 'WriteStatsOutput[train]/WriteStats/Write/WriteImpl/FinalizeWrite']"
    )
    explained = room.explain(error, [(str(tmp_path), 0)], stage="StatisticsGen")
    assert str(explained) == f"StatisticsGen: the disk quota is used up: {tmp_path}; see to that disk and run again"


def test_other_errors_are_not_blamed_on_the_disk() -> None:
    assert room.explain(ValueError("shapes differ"), NEEDS) is None
    assert room.explain(FileNotFoundError(errno.ENOENT, "x", "/a"), NEEDS) is None


def test_the_room_that_a_run_reserves_is_given_up(tmp_path: Path) -> None:
    with room.reserved(str(tmp_path)):
        [reserve] = tmp_path.iterdir()
        assert reserve.stat().st_blocks * 512 >= 256 * 1024  # real room, not a hole
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_takes_no_log_and_stops_nothing() -> None:
    with output_to("/dev/full"):
        print("lost", flush=True)
        os.system("echo lost")
    with open("/dev/full", "w") as full:
        saved = os.dup(1)
        try:
            os.dup2(full.fileno(), 1)
            program = "from pipeline.terminal import Terminal; Terminal().stage('Trainer', 'finished', 1.0, False)"
            done = subprocess.run([sys.executable, "-c", program], check=False)
        finally:
            os.dup2(saved, 1)
            os.close(saved)
    assert done.returncode == 0


def test_a_reserve_that_does_not_fit_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from pipeline.disk import room\n"
        "try:\n    room.reserved(sys.argv[1]).__enter__()\nexcept room.NoRoom as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("a file is larger than the system allows: ")
    assert list(tmp_path.iterdir()) == []
