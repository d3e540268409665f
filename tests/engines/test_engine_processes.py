"""An engine's processes: stopped with their children, and a start that fails says why."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engines import fetching, processes


def test_children_are_stopped_too_even_if_they_ignore_the_first_signal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "(trap '' TERM; echo here; exec sleep 300) & echo $!; wait"
    with processes.running(["sh", "-c", script], log, lambda: len(log.read_text().split()) == 2):
        [child] = [int(word) for word in log.read_text().split() if word != "here"]
        os.kill(child, 0)
    assert gone(child)


def test_they_end_with_the_tests_even_if_these_are_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = f"""
import os, pathlib
from engines import processes
log = pathlib.Path({str(log)!r})
with processes.running(["sh", "-c", "echo $$; exec sleep 300"], log, log.read_text):
    os.kill(os.getpid(), 9)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(processes.__file__).parents[1])}
    killed = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert gone(int(log.read_text()))


def gone(process: int) -> bool:
    """Whether a process ends within seconds; one that ended and that nobody waited for counts as gone."""
    for _ in range(100):
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_a_process_that_ends_before_it_is_ready_shows_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"log ended: no such setting"),
        processes.running(["sh", "-c", "echo no such setting"], tmp_path / "log", lambda: False),
    ):
        pass


def test_a_missing_program_is_the_reason_of_the_skip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="not on PATH: java, mvn"):
        fetching.jars("flink")
    with pytest.raises(pytest.skip.Exception, match="not on PATH: go"):
        fetching.prism()


def test_an_archive_that_does_not_answer_is_the_reason_of_the_skip(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "java").touch(0o755)
    (tmp_path / "mvn").write_text("#!/bin/sh\necho no such host\nexit 1\n")
    (tmp_path / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("IMAGEGATE_ENGINES", str(tmp_path / "cache"))
    with pytest.raises(pytest.skip.Exception, match="mvn cannot fetch the engine: no such host"):
        fetching.jars("flink")
