"""How much memory a process can still take, from files as Linux writes them."""

import os
from pathlib import Path

import pytest

from components.base.machine import available_memory, cores, limit_threads, peak_memory, restart_peak

MACHINE = "MemTotal:       2000 kB\nMemFree:         100 kB\nMemAvailable:   1000 kB\nSwapFree:         24 kB\n"


def written(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return str(root)


V2 = {"sys/fs/cgroup/memory.current": "5000\n", "sys/fs/cgroup/memory.stat": "anon 9\ninactive_file 700\n"}
V1 = "sys/fs/cgroup/memory/memory"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/meminfo": MACHINE}, (1000 + 24) * 1024),
        ({"proc/meminfo": MACHINE, "sys/fs/cgroup/memory.max": "max\n", **V2}, 1024 * 1024),  # without a limit
        ({"proc/meminfo": MACHINE, "sys/fs/cgroup/memory.max": "9000\n", **V2}, 9000 - 5000 + 700),
        ({"sys/fs/cgroup/memory.max": "4000\n", **V2}, 0),  # above its limit: nothing
        ({f"{V1}.limit_in_bytes": "9000\n", f"{V1}.usage_in_bytes": "8000\n"}, 1000),
        ({"proc/meminfo": "MemFree: 1 kB\n"}, None),
    ],
)
def test_the_least_of_machine_and_container(tmp_path: Path, files: dict[str, str], expected: int | None) -> None:
    assert available_memory(written(tmp_path, files)) == expected


def test_the_peak_of_memory_is_told_and_begins_anew(tmp_path: Path) -> None:
    assert peak_memory(written(tmp_path, {"proc/self/status": "Name:\tx\nVmHWM:\t    300 kB\n"})) == 300 * 1024
    assert peak_memory(str(tmp_path / "none")) is None
    assert not restart_peak(str(tmp_path / "none"))
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the system does not tell it")
    assert restart_peak()
    before = peak_memory()
    block = bytearray(b"x") * (64 << 20)
    with_block = peak_memory()
    del block
    assert before is not None
    assert with_block is not None
    assert 64 << 20 <= with_block - before < 128 << 20
    after = peak_memory()
    assert after is not None
    assert abs(after - with_block) < 4 << 20  # the most, not what is held now; the system counts with some delay
    restart_peak()
    again = peak_memory()
    assert again is not None
    assert again <= with_block - (60 << 20)


@pytest.mark.parametrize(
    ("files", "most"),
    [
        ({}, 1 << 30),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, 1 << 30),
        ({"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ({"sys/fs/cgroup/cpu.max": "20000 100000\n"}, 1),  # a fifth of a core
        ({"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 1 << 30),
    ],
)
def test_no_more_cores_than_a_container_has(tmp_path: Path, files: dict[str, str], most: int) -> None:
    assert cores(written(tmp_path, files)) == min(most, len(os.sched_getaffinity(0)))


def test_cores_are_those_that_the_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert cores() == len(allowed)


THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("200000 100000", {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "7"} | dict.fromkeys(THREADS[2:], "2")),
        ("max 100000", {"OMP_NUM_THREADS": "7"}),
        ("400000 100000", {"OMP_NUM_THREADS": "7"}),
    ],
)
def test_a_container_of_two_cores_on_a_machine_of_four_has_two_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, expected: dict[str, str]
) -> None:
    for name in THREADS:
        monkeypatch.setenv(name, "")  # so that the test leaves nothing behind
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # the user's
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    limit_threads(written(tmp_path, {"sys/fs/cgroup/cpu.max": f"{limit}\n"}))
    assert {name: os.environ[name] for name in THREADS if name in os.environ} == expected
