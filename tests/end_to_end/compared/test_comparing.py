"""Compares methods: the tables are printed and written, nothing is pushed, and later runs go on as before."""

import pytest
from projects import Project, ran

from pipeline import cli

pytestmark = pytest.mark.end_to_end


def compare(project: Project, *arguments: str) -> int:
    return cli.main(["compare", project.config, *arguments, "--set", "training.epochs=1"])


def test_methods_are_compared_and_nothing_else_changes(tiny: Project, capfd: pytest.CaptureFixture[str]) -> None:
    before = tiny.served()
    assert compare(tiny, "--methods", "weights, none", "--seeds", "2") == 0
    out = capfd.readouterr().out
    assert "comparing weights, none: 2 seeds each, 4 trainings; about" in out
    assert "minus weights" in out
    assert tiny.served() == before
    summary = tiny.latest_summary()
    assert (summary["status"], summary["exit_code"]) == ("compared", 0)
    assert [method["name"] for method in summary["comparison"]["methods"]] == ["weights", "none"]
    assert {"Comparison"} <= ran(summary)
    assert not {"Trainer", "Tuner", "Evaluator", "Pusher"} & {stage["name"] for stage in summary["stages"]}
    written = (tiny.output / "compared.md").read_text()
    assert f"run {summary['run_id']}" in written
    assert "| minus `weights` | accuracy | balanced accuracy | macro F1 | loss |" in written
    page = (tiny.output / "latest" / "report.html").read_text()
    assert "Figures on the eval split" in page
    assert "Compared methods. Nothing was pushed." in page
    # The same comparison comes from the cache, and a run finds what it knew before.
    assert compare(tiny, "--methods", "weights,none", "--seeds", "2") == 0
    assert ran(tiny.latest_summary()) == set()
    assert tiny.run()["status"] == "up_to_date"
    assert cli.main(["history", tiny.config]) == 0
    assert "compared" in capfd.readouterr().out


def test_a_method_that_does_not_apply_is_one_sentence(tiny: Project, capfd: pytest.CaptureFixture[str]) -> None:
    runs = len(list((tiny.output / "history").iterdir()))
    assert compare(tiny, "--methods", "weigths") == 2
    assert capfd.readouterr().err == (
        "imagegate: --methods: 'weigths' is no method that can be compared; did you mean weights?\n"
    )
    assert len(list((tiny.output / "history").iterdir())) == runs
