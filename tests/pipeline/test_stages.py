"""The table of stages: the only place that quotes their names, and the same stages as in the graph and on Kubeflow."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components.model.comparing.settings import Plan
from pipeline import config
from pipeline.stages import BY_NAME, STAGES, Stage

ROOT = Path(__file__).parents[2]
FOLDERS = ("components", "pipeline", "scripts", "benchmarks")


def quoted(tree: ast.AST) -> Iterator[str]:
    """Every string of a module but its docstrings."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            yield from quoted(node)


def test_only_the_table_quotes_the_name_of_a_stage() -> None:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(paths) > 100
    quoting = {
        str(path.relative_to(ROOT)): sorted(names)
        for path in paths
        if (names := set(quoted(ast.parse(path.read_text()))) & set(BY_NAME))
    }
    assert quoting == {"pipeline/stages.py": sorted(BY_NAME)}


def test_the_table_holds_the_stages_of_the_graph(tmp_path: Path) -> None:
    from pipeline import graph

    sections = {"name": "x", "task": "single_label", "data": {"root": "data"}, "push": {"destination": "models"}}
    (tmp_path / "imagegate.yaml").write_text(yaml.safe_dump(sections))
    settings = config.load(str(tmp_path / "imagegate.yaml"))
    built = graph.build(settings, data_fingerprint="", served_version="")
    names = {stage.name for stage in STAGES if stage.in_graph}
    always = {stage.name for stage in STAGES if stage.in_graph and stage.in_every_graph}
    assert {node.id for node in built.components} == always
    searching = config.load(
        str(tmp_path / "imagegate.yaml"),
        [
            "tuning={}",
            "data.unlabelled=pool",
            "training.synthetic={method: mixup}",
            "push.formats=[saved_model,litert]",
        ],
    )
    built = graph.build(searching, data_fingerprint="", served_version="")
    plan = Plan(methods={"none": {"imbalance": "none"}}, seeds=2)
    comparing = graph.build(searching, data_fingerprint="", served_version="", compares=plan)
    assert {node.id for node in (*built.components, *comparing.components)} == names


def test_names_are_unique_and_a_gate_is_never_retried() -> None:
    assert len(BY_NAME) == len(STAGES)
    with pytest.raises(ValueError, match="Gate: a gate must not be retried"):
        Stage("Gate", refusal=3)
