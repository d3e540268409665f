"""docs/reliability.md: every promise names tests, and these exist."""

import ast
from pathlib import Path

import pytest

from scripts.promises import DOCUMENT, promises

ROOT = Path(__file__).parent.parent
PROMISES = promises(DOCUMENT.read_text(encoding="utf-8"))


@pytest.mark.parametrize("promise", PROMISES)
def test_each_promise_names_tests_that_exist(promise: str) -> None:
    tests = PROMISES[promise]
    assert tests, f"{promise}: no test is named"
    for test in tests:
        path, _, function = test.partition("::")
        assert (ROOT / path).is_file(), f"{promise}: there is no file {path}"
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert function in names, f"{promise}: {path} has no test {function}"
