"""Searches for better settings: what they find is written, repeated by later runs, and shown; what is served stays."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from projects import Project, ran

from pipeline import cli

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

SHORT = ("--set", "training.epochs=1")


def tune(project: Project, *arguments: str) -> int:
    return cli.main(["tune", project.config, *arguments, *SHORT])


def trials(project: Project) -> list[dict[str, Any]]:
    [journal] = (project.output / "tuning").glob("*/trials.jsonl")
    return [json.loads(line) for line in journal.read_text().splitlines()]


def test_what_a_search_found_is_what_later_runs_do(tiny: Project, capfd: pytest.CaptureFixture[str]) -> None:
    before, configuration = tiny.served(), Path(tiny.config).read_bytes()
    assert tune(tiny, "--trials", "2", "--over", "loss") == 0
    told = capfd.readouterr().out
    assert "tuning loss: at most 2 trials" in told
    assert tiny.served() == before
    assert Path(tiny.config).read_bytes() == configuration
    summary = tiny.latest_summary()
    assert (summary["status"], summary["exit_code"], len(summary["tuning"]["trials"])) == ("tuned", 0, 2)
    text = (tiny.output / "tuned.yaml").read_text()
    values = yaml.safe_load(text)
    assert {"loss", "imbalance"} <= set(values) <= {"loss", "imbalance", "label_weights"}
    assert text.rstrip() in told
    assert values == summary["tuning"]["values"]
    page = (tiny.output / "latest" / "report.html").read_text()
    assert "Trials, best first" in page
    assert "the configuration" not in (summary["error"] or "")
    # Later runs take the values, and do not search.
    run = tiny.run(f"training.tuned={tiny.output}/tuned.yaml", "training.epochs=1")
    assert "Tuner" not in {stage["name"] for stage in run["stages"]}
    assert {key: run["configuration"]["training"][key] for key in values} == values
    # The same search comes from the cache, and a longer one goes on where it was.
    first = trials(tiny)
    assert tune(tiny, "--trials", "2", "--over", "loss") == 0
    assert "Tuner" not in ran(tiny.latest_summary())
    assert tune(tiny, "--trials", "3", "--over", "loss") == 0
    assert trials(tiny)[:2] == first
    assert len(trials(tiny)) == 3


def test_refused_data_are_not_searched_on(tiny: Project) -> None:
    assert tune(tiny, "--trials", "1", "--set", "balance.min_examples=1000") == 3
    assert not (tiny.output / "tuning").exists()
    assert tiny.latest_summary()["status"] == "data_rejected"


def test_with_the_section_a_run_searches_and_trains_with_the_best(tiny: Project) -> None:
    over = "tuning.over={learning_rate: [0.00001, 0.01], loss: [focal], label_weights: [{'1': 2.5}]}"
    slow = "training.learning_rate=0.000001"  # so that the configuration itself is not the best
    summary = tiny.run("training.epochs=2", slow, over, "tuning.trials=3", "push.without_thresholds=true")
    assert [s["name"] for s in summary["stages"]].index("Tuner") < [s["name"] for s in summary["stages"]].index(
        "Trainer"
    )
    best = summary["tuning"]["values"]
    assert best["learning_rate"] == 0.01
    # The label weights that are shown are the Trainer's, not those of the configuration.
    assert best["label_weights"] == {"1": 2.5}
    assert summary["label_weights"] == dict.fromkeys(summary["label_weights"], 1.0) | {"1": 2.5}
    history = json.loads((tiny.artifact("Trainer", "model_run") / "history.json").read_text())
    # The Trainer repeats the best trial: the same loss on eval after each epoch, whatever the configuration says.
    found = json.loads((tiny.artifact("Tuner", "best_hyperparameters") / "best_hyperparameters.txt").read_text())
    assert found["values"]["learning_rate"] == best["learning_rate"]
    assert len(history["all"]) == 2
    page = (tiny.output / "latest" / "report.html").read_text()
    assert "Trials, best first" in page


def test_a_search_that_is_killed_goes_on(tiny: Project) -> None:
    arguments = ["tune", tiny.config, "--trials", "3", "--over", "loss", *SHORT]
    process = subprocess.Popen([sys.executable, "-m", "pipeline", *arguments], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list((tiny.output / "tuning").glob("*/trials.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    begun = trials(tiny)
    assert 1 <= len(begun) < 3
    assert tune(tiny, "--trials", "3", "--over", "loss") == 0
    assert trials(tiny)[: len(begun)] == begun
    assert len(trials(tiny)) == 3
