"""Whether a benchmark says how busy the machine was with other work."""

import os
from pathlib import Path

import pytest

from benchmarks.__main__ import _noise
from benchmarks.side_by_side import load
from benchmarks.side_by_side.load import Clock


def test_what_other_work_took_is_what_all_took_without_our_own() -> None:
    """In 10 seconds, cores worked for 18, of which 15 were for us: 3 / 10 of a core was not."""
    assert load.others(Clock(0, 100, 10), Clock(10, 118, 25)) == pytest.approx(0.3)


def test_clocks_of_different_grain_do_not_make_it_less_than_nothing() -> None:
    assert load.others(Clock(0, 100, 10), Clock(10, 109.99, 20)) == 0


def test_idle_and_waiting_cores_are_not_busy(tmp_path: Path) -> None:
    """user 100, nice 20, system 30, idle 4,000, waiting 500, interrupts 6 and 7, taken by the host 8: 171 ticks."""
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 20 30 4000 500 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n")
    assert load.now(str(stat)).busy == 171 / os.sysconf("SC_CLK_TCK")


def test_without_such_a_file_nothing_is_said_of_other_work(tmp_path: Path) -> None:
    clock = load.now(str(tmp_path / "none"))
    assert clock.busy is None
    assert load.others(clock, clock) is None
    assert _noise([None]) == "This system does not tell how busy it was with other work."


def test_our_own_work_is_counted_as_ours() -> None:
    before = load.now()
    sum(range(3_000_000))
    assert load.now().own > before.own


def test_a_noisy_run_says_so() -> None:
    assert "0.02 of" in _noise([0.01, 0.02, 0.03])
    assert _noise([0.01, 0.02, 0.03]).endswith("at most 0.03.")
    assert _noise([0.0, 0.0, 0.5]).endswith("at most 0.50: this is noisy, and the times say little.")
