"""No code asks which task it is: outside the label kinds and the configuration, nobody quotes the name of one."""

import ast
from pathlib import Path

from components.labels import kinds
from pipeline.init import TASKS
from pipeline.init.demo import _DEMOS

ROOT = Path(__file__).parents[3]
# The kinds themselves, what users write, and the demos that `imagegate init` writes for them.
ALLOWED = ("components/labels/", "pipeline/config", "pipeline/init/")
FOREIGN = {("components/ingest/layouts/coco.py", "segmentation")}  # a key of COCO's own


def quoted(path: Path) -> set[str]:
    """Task names among the string constants of a file; a docstring that is no more than one would count, too."""
    constants = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    return {text for text in constants if isinstance(text, str) and text in kinds.KINDS}


def test_a_task_is_named_by_its_kind_and_the_configuration_only() -> None:
    found = {
        (name, task)
        for package in ("components", "pipeline")
        for path in (ROOT / package).rglob("*.py")
        if not (name := path.relative_to(ROOT).as_posix()).startswith(ALLOWED)
        for task in quoted(path)
    }
    assert found == FOREIGN


def test_a_task_name_in_code_is_noticed_and_one_in_a_sentence_is_not(tmp_path: Path) -> None:
    file = tmp_path / "m.py"
    file.write_text(
        '"""For segmentation."""\nif task == "multi_label":\n    raise ValueError("not for single_label")\n'
    )
    assert quoted(file) == {"multi_label"}


def test_every_demo_is_of_a_kind() -> None:
    assert set(TASKS) == set(_DEMOS) <= set(kinds.KINDS)
