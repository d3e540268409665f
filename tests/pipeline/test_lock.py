"""The lock of an output folder, and what stands in the history of a run that was killed."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from components.base.errors import ImagegateError
from components.report.run_summary import RunSummary
from pipeline import config, lock
from pipeline.runs import history

ROOT = Path(__file__).parents[2]
HOLDING = """
import sys, time
from pipeline import lock
with lock.held(sys.argv[1], "run 7"):
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path) -> "subprocess.Popen[bytes]":
    """Another process, which holds the lock of `tmp_path`."""
    process = subprocess.Popen([sys.executable, "-c", HOLDING, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_is_refused_and_told_who_is_there(other: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    there = rf"run 7 \(process {other.pid} on {socket.gethostname()} since 20\d\d-.*\) is writing to {tmp_path}; wait"
    with pytest.raises(ImagegateError, match=there), lock.held(str(tmp_path), "run 8"):
        pass
    with pytest.raises(ImagegateError, match=there):
        lock.refuse_if_held(str(tmp_path))


def test_a_kill_releases_the_lock(other: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    other.kill()
    other.wait()
    assert lock.holder(str(tmp_path)) is None
    lock.refuse_if_held(str(tmp_path))
    with lock.held(str(tmp_path), "run 8"):
        assert lock.holder(str(tmp_path)).what == "run 8"
    assert lock.holder(str(tmp_path)) is None


def test_looking_at_the_lock_writes_nothing(tmp_path: Path) -> None:
    assert lock.holder(str(tmp_path / "missing")) is None
    lock.refuse_if_held(str(tmp_path))
    assert os.listdir(tmp_path) == []


def _count(folder: str, times: int) -> None:
    for _ in range(times):
        while True:
            try:
                with lock.held(folder, "one of four"):
                    path = Path(folder, "count")
                    path.write_text(str(int(path.read_text()) + 1))
                break
            except ImagegateError:
                continue


def test_no_two_hold_it_at_once(tmp_path: Path) -> None:
    """Four processes add 1 to a number 25 times each; if two ever did so at once, one addition would be lost."""
    (tmp_path / "count").write_text("0")
    workers = [multiprocessing.Process(target=_count, args=(str(tmp_path), 25)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (tmp_path / "count").read_text() == "100"


# The history.


def shown(tmp_path: Path) -> list[tuple[str, str, str]]:
    """Run, status and reason of each row that `imagegate history` shows."""
    path = tmp_path / "imagegate.yaml"
    path.write_text("name: x\ntask: single_label\noutput: out\ndata: {root: data}\npush: {destination: models}\n")
    table = history.table(config.load(str(path)))
    columns = {column.header: list(column.cells) for column in table.columns}
    return list(zip(columns["run"], columns["status"], columns["why"], strict=True))


def begun(tmp_path: Path, run: str, where: str) -> Path:
    folder = tmp_path / "out" / "history" / run
    folder.mkdir(parents=True)
    summary = RunSummary(
        run_id=run, name="x", task="single_label", status="failed", started="2026-01-05T03:00:00+00:00"
    )
    history.begin(str(folder), summary, where)
    return folder


def test_a_killed_run_is_shown_and_the_next_command_with_the_lock_writes_its_row(tmp_path: Path) -> None:
    folder = begun(tmp_path, "run-1", "in the stage Trainer")
    why = "imagegate run was killed, or the machine went down, in the stage Trainer; the next one goes on from there"
    assert shown(tmp_path) == [("run-1", "[red]killed[/]", why)]
    assert os.listdir(folder) == ["running.json"]  # looking has written nothing
    history.record_killed(str(tmp_path / "out"))
    assert os.listdir(folder) == ["summary.json"]
    [summary] = history.read(str(tmp_path / "out"))
    assert (summary.status, summary.exit_code, summary.error) == ("killed", 128 + signal.SIGKILL, why)
    assert shown(tmp_path) == [("run-1", "[red]killed[/]", why)]


def test_a_run_in_progress_is_shown_as_such(tmp_path: Path) -> None:
    begun(tmp_path, "run-1", "in the stage Trainer")
    begun(tmp_path, "run-2", "in the stage Evaluator")
    with lock.held(str(tmp_path / "out"), "run-2"):
        (_, running, by), (_, killed, _) = shown(tmp_path)
    assert (running, killed) == ("[cyan]running[/]", "[red]killed[/]")
    assert by == f"by process {os.getpid()} on {socket.gethostname()}"


def test_a_finished_run_is_no_killed_one(tmp_path: Path) -> None:
    """Also not if the kill came between its summary and the removal of the note."""
    folder = begun(tmp_path, "run-1", "in the stage Trainer")
    done = RunSummary(run_id="run-1", name="x", task="single_label", status="pushed", exit_code=0)
    (folder / "summary.json").write_text(done.to_json())
    history.record_killed(str(tmp_path / "out"))
    assert os.listdir(folder) == ["summary.json"]
    assert next(history.read(str(tmp_path / "out"))).status == "pushed"
