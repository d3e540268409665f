"""Packages stay small enough to be looked through."""

from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_no_package_holds_more_than_15_modules() -> None:
    paths = [
        path
        for package in ("benchmarks", "components", "pipeline", "scripts", "tests")
        for path in (ROOT / package).rglob("*.py")
    ]
    sizes = Counter(path.parent.relative_to(ROOT) for path in paths if path.name not in ("__init__.py", "conftest.py"))
    assert {str(folder): size for folder, size in sizes.items() if size > 15} == {}
