"""The model gate in a whole run: what is judged, what is let pass, and what is said of it."""

import io
import json
from pathlib import Path

import pytest
from projects import Project
from rich.console import Console
from scipy import stats

from pipeline import config
from pipeline.runs import local
from pipeline.runs.show import show

pytestmark = pytest.mark.end_to_end


def run(project: Project, *overrides: str) -> tuple[dict, list[str]]:
    """summary.json's object, and what the terminal says at the end."""
    summary = local.Runner(config.load(project.config, overrides), lambda *_: None).run()
    out = io.StringIO()
    show(summary.freeze(), Console(file=out, width=400))
    return json.loads((project.output / "latest" / "summary.json").read_text()), out.getvalue().splitlines()


def rules(*given: str) -> str:
    return f"evaluation.thresholds=[{', '.join(given)}]"


def test_every_slice_value_is_judged_with_its_interval_and_small_ones_are_reported(tiny: Project) -> None:
    """As many of each digit are in the test split as the summary says; some have fewer than the most frequent one."""
    counts = {label: by_split["test"] for label, by_split in tiny.latest_summary()["data"]["labels"].items()}
    least = max(counts.values())
    small = sorted(label for label, n in counts.items() if n < least)
    assert small
    rule = f'{{metric: accuracy, slice: {{label: "*"}}, min: 0, min_examples: {least}}}'
    summary, lines = run(tiny, rules(rule, "{metric: accuracy, min: 0, max: 0.01, confidence: 0.9}"))
    gates = [g for g in summary["gates"] if g["gate"] == "model_gate"]
    judged = [g for g in gates if g["value"] is not None]
    assert sorted(g["slice"]["label"] for g in judged if g["slice"]) == sorted(set(counts) - set(small))
    for gate in judged[:-1]:
        n = counts[gate["slice"]["label"]]
        expected = stats.binomtest(round(gate["value"] * n), n).proportion_ci(method="wilson")
        assert (gate["examples"], gate["bound"]) == (n, 0)
        assert gate["interval"] == pytest.approx(list(expected))
    [told] = [g for g in gates if g["value"] is None]
    assert told["passed"]
    assert told["reason"].endswith(": " + ", ".join(f"label={label} ({counts[label]})" for label in small))
    assert f"not judged: {told['reason']}" in lines
    assert summary["status"] == "not_blessed"
    [refused] = [g for g in gates if not g["passed"]]
    assert (refused["bound"], refused["examples"]) == (0.01, sum(counts.values()))
    assert "with 90 % confidence at most" in refused["reason"]
    assert lines[-1].strip() == refused["reason"]


def test_without_a_threshold_nothing_is_pushed_unless_configured(tiny: Project) -> None:
    before = tiny.served()
    summary, lines = run(tiny, rules(), "training.seed=2")
    assert (summary["status"], summary["exit_code"]) == ("not_blessed", 4)
    assert "push.without_thresholds: true" in lines[-1]
    assert tiny.served() == before
    more = ("push.without_thresholds=true", "evaluation.tfma_metrics=[ExampleCount, AUC]")
    summary, lines = run(tiny, rules(), "training.seed=2", *more)
    assert (summary["status"], summary["exit_code"]) == ("pushed", 0)
    assert Path(summary["pushed"]["path"]).is_dir()
    assert [line for line in lines if line.startswith("warning: no threshold is configured")]
    assert lines[-1].startswith(f"pushed version {summary['pushed']['version']}: nothing has judged it -> ")
    # The second run asked TFMA for metrics, too: they are in the summary, and only ours in the model's manifest.
    assert sorted(summary["tfma"]) == ["auc", "example_count"]
    assert summary["tfma"]["example_count"] == summary["metrics"]["example_count"] == summary["data"]["counts"]["test"]
    assert 0 <= summary["tfma"]["auc"] <= 1
    manifest = json.loads((Path(summary["pushed"]["path"]) / "imagegate.json").read_text())
    assert not [name for name in manifest["metrics"] if name.startswith("tfma/")]
