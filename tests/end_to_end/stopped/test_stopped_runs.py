"""Runs that a signal stops in one of their stages: in time, with a row in the history; the next run goes on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from projects import ROOT, Project

pytestmark = pytest.mark.end_to_end

STAGES = (
    *("loading TFX", "ImageExampleGen", "CuratedSchema", "StatisticsGen", "ExampleValidator", "ClassBalance"),
    *("Transform", "Trainer", "Baseline", "Evaluator", "ServingCheck", "Pusher", "ModelReport", "Report"),
)


def begun(project: Project) -> "subprocess.Popen[str]":
    def heed() -> None:  # a shell that runs the tests in the background ignores SIGINT, and so would this
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    command = [sys.executable, "-m", "pipeline", "run", project.config, "--force"]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed,  # noqa: PLW1509  this is the only thread
    )


def wait_for(stage: str, project: Project, process: "subprocess.Popen[str]") -> None:
    """Until the newest run is in the stage, or past it: the shortest ones take a few milliseconds."""
    later = STAGES[STAGES.index(stage) :]
    while True:
        assert process.poll() is None, process.communicate()[0]
        for path in (project.output / "history").glob("*/running.json"):
            try:
                told = json.loads(path.read_text())["error"]
            except (OSError, ValueError):
                continue
            if any(f"in the stage {name};" in told for name in later):
                return
        time.sleep(0.01)


def rows(project: Project) -> list[dict]:
    paths = sorted((project.output / "history").glob("*/summary.json"))
    return [json.loads(path.read_text()) for path in paths]


@pytest.mark.parametrize(
    ("stage", "number", "code"),
    [
        ("Trainer", signal.SIGTERM, 143),
        *(pytest.param(stage, signal.SIGINT, 130, marks=pytest.mark.slow) for stage in STAGES),
        *(pytest.param(stage, signal.SIGTERM, 143, marks=pytest.mark.slow) for stage in STAGES if stage != "Trainer"),
    ],
)
def test_a_signal_stops_a_run_in_time_and_the_next_goes_on(
    tiny: Project, stage: str, number: signal.Signals, code: int
) -> None:
    before, served = len(rows(tiny)), tiny.served()
    process = begun(tiny)
    wait_for(stage, tiny, process)
    began = time.monotonic()
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert process.returncode == code, out
    assert "Traceback" not in out
    assert len(rows(tiny)) == before + 1
    row = rows(tiny)[-1]
    assert row["exit_code"] == code
    if row["status"] != "up_to_date":  # it had its verdict before the signal came
        assert row["status"] == "stopped"
        assert row["error"].startswith(f"stopped by {number.name}")
    assert not list((tiny.output / "history").glob("*/running.json"))
    assert tiny.served() == served
    after = tiny.run()
    assert (after["status"], after["exit_code"]) == ("up_to_date", 0)


@pytest.mark.slow
def test_a_killed_run_has_a_row_and_the_next_goes_on(tiny: Project) -> None:
    before = len(rows(tiny))
    process = begun(tiny)
    wait_for("Trainer", tiny, process)
    process.kill()
    process.communicate()
    assert len(rows(tiny)) == before
    after = tiny.run()
    assert (after["status"], after["exit_code"]) == ("up_to_date", 0)
    killed = rows(tiny)[-2]
    assert (killed["status"], killed["exit_code"]) == ("killed", 137)
    assert Path(tiny.output / "latest" / "summary.json").exists()
