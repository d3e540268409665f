"""The scripts that measure the code: equal results before and after a change, and its structure."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts import compare_runs, structure

VERDICT = {"gate": "balance", "rule": "at least 1", "label": "cat", "slice": None, "value": 3, "passed": True}


def output(folder: Path, **changes: Any) -> str:
    """An output folder with one run of one shard."""
    summary = {
        "task": "single_label",
        "status": "pushed",
        "exit_code": 0,
        "metrics": {"accuracy": 0.5},
        "label_weights": {"cat": 1.0},
        "gates": [VERDICT | {"reason": "3 examples"}],
        "artifacts": {"examples": "pipeline/examples"},
    }
    (folder / "latest").mkdir(parents=True)
    (folder / "pipeline" / "examples").mkdir(parents=True)
    (folder / "latest" / "summary.json").write_text(json.dumps(summary | changes))
    (folder / "pipeline" / "examples" / "manifest.json").write_text('{"files": [{"name": "a", "sha256": "00"}]}')
    return str(folder)


def test_equal_runs_have_no_differences_though_a_gate_was_renamed(tmp_path: Path) -> None:
    renamed = [VERDICT | {"reason": "3 examples", "gate": "data_gate"}]
    assert compare_runs.main([output(tmp_path / "a"), output(tmp_path / "b", gates=renamed)]) == 0


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"metrics": {"accuracy": 0.5000000001}}, ".metrics.accuracy: 0.5 != 0.5000000001"),
        ({"label_weights": {}}, ".label_weights.cat: only in the first"),
        ({"gates": [VERDICT | {"value": 4}]}, ".verdicts[0][3]: 3 != 4"),
    ],
    ids=["metric", "weight", "verdict"],
)
def test_a_difference_in_the_last_digit_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], line: str
) -> None:
    assert compare_runs.main([output(tmp_path / "a"), output(tmp_path / "b", **changes)]) == 1
    assert capsys.readouterr().out.splitlines()[0] == line


def test_a_changed_shard_is_shown_by_its_name(tmp_path: Path) -> None:
    one, other = compare_runs.results(output(tmp_path / "a")), compare_runs.results(output(tmp_path / "b"))
    other["shards"] = {"a": "01"}
    assert list(compare_runs.differences(one, other)) == [".shards.a: '00' != '01'"]


def test_structure_counts_cycles_and_quoted_names(tmp_path: Path) -> None:
    """a imports b and b imports a (one cycle); a quotes one stage, b one task; the docstring quotes nothing."""
    (tmp_path / "components").mkdir()
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "components" / "a.py").write_text(
        '"""Trainer"""\nfrom components import b\n\ndef f():\n    return "Trainer"\n'
    )
    (tmp_path / "components" / "b.py").write_text('from components import a\n\ndef g():\n    return "multi_label"\n')
    figures = structure.figures(tmp_path)
    assert figures["import cycles between modules"] == "1"
    assert figures["places that quote a stage's name"] == "1"
    assert figures["modules that quote a task's name"] == "1"
    assert figures["modules in the widest folder"] == "2 (components)"
