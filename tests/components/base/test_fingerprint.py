"""What is run again after a change: what can see it, and nothing else."""

import ast
import re
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from components.base import fingerprint

ROOT = Path(__file__).parents[3]

# a imports b inside a function, b the package c.d by its member, and nobody imports e.
SOURCES = {
    "components/__init__.py": "",
    "components/a.py": "import os\ndef f():\n    from components import b\n",
    "components/b.py": "from components.c import d\nimport numpy as np\n",
    "components/c/__init__.py": "",
    "components/c/d.py": "x = 1\n",
    "components/e.py": "from components import a\nfrom components.data import schema\n",
    "components/data/__init__.py": "",
    "components/data/schema.py": "from importlib import resources\n",
    "schemas/__init__.py": "",
    "schemas/s.pbtxt": "feature {}",
    "pipeline/p.py": "from components import a\n",
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small package in the place of the real one."""
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(fingerprint, "_ROOT", str(tmp_path))
    fingerprint._imports.cache_clear()
    yield tmp_path
    fingerprint._imports.cache_clear()


def changed(tree: Path, name: str, compute: Callable[[], object]) -> bool:
    """Whether another line in file `name` changes what `compute` returns."""
    before = compute()
    assert compute() == before
    with (tree / name).open("a") as f:
        f.write("more = 1\n")
    fingerprint._imports.cache_clear()
    return compute() != before


@pytest.mark.parametrize(
    ("name", "seen_by"),
    [
        ("components/a.py", "ae"),
        ("components/b.py", "abe"),
        ("components/c/d.py", "abe"),
        ("components/c/__init__.py", "abe"),
        ("components/__init__.py", "abe"),
        ("components/e.py", "e"),
        ("schemas/s.pbtxt", "e"),  # by way of components.data.schema
        ("pipeline/p.py", ""),
    ],
)
def test_the_fingerprint_of_a_module_covers_everything_it_imports(tree: Path, name: str, seen_by: str) -> None:
    seen = [m for m in "abe" if changed(tree, name, lambda m=m: fingerprint.code(f"components.{m}"))]
    assert "".join(seen) == seen_by


@pytest.mark.parametrize("name", SOURCES)
def test_the_fingerprint_of_everything_covers_every_module(tree: Path, name: str) -> None:
    assert changed(tree, name, fingerprint.everything)


@pytest.mark.parametrize("name", SOURCES)
def test_the_quick_fingerprint_changes_wherever_that_of_everything_does(tree: Path, name: str) -> None:
    assert changed(tree, name, fingerprint.files)


def test_the_quick_fingerprint_changes_with_a_comment_too_and_with_a_library(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint.files(), fingerprint.everything()
    assert fingerprint.files() == before[0]
    path = tree / "components" / "e.py"
    path.write_text(path.read_text() + "# a comment\n")
    assert fingerprint.files() != before[0]
    assert fingerprint.everything() == before[1]
    now = fingerprint.files()
    monkeypatch.setattr(fingerprint, "_library_versions", lambda: "keras==0")
    assert fingerprint.files() != now


def test_new_and_moved_files_change_the_fingerprint(tree: Path) -> None:
    seen = [fingerprint.everything()]
    (tree / "pipeline" / "new.py").write_text("")
    seen.append(fingerprint.everything())
    (tree / "pipeline" / "new.py").rename(tree / "pipeline" / "newer.py")
    seen.append(fingerprint.everything())
    (tree / "pipeline" / "notes.txt").write_text("")  # no code
    assert len({*seen, fingerprint.everything()}) == 3


def test_other_library_versions_change_the_fingerprint(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint.code("components.b"), fingerprint.everything()
    versions = fingerprint._library_versions()
    assert "tensorflow==" in versions
    monkeypatch.setattr(fingerprint, "_library_versions", lambda: versions + ".post1")
    assert fingerprint.code("components.b") != before[0]
    assert fingerprint.everything() != before[1]


def test_only_stages_that_import_changed_code_change_their_fingerprint() -> None:
    ingest = fingerprint._closure("components.stages.ingest")
    model = fingerprint._closure("components.model.fitting.training")
    assert "components.data.images" in ingest & model
    assert "components.model.networks.network" in model - ingest
    assert "components.ingest.layouts.folders" in ingest - model
    for module in ("softmax", "sigmoid", "pixels"):
        assert f"components.labels.learning.{module}" in fingerprint._closure("components.model.preprocessing")
    assert "components.labels.learning.losses" in model


@pytest.mark.parametrize("stage", ["ingest", "schema"])
def test_a_changed_loss_or_metric_never_reads_or_judges_the_data_again(stage: str) -> None:
    closure = fingerprint._closure(f"components.stages.{stage}")
    assert not [name for name in closure if name.startswith("components.labels.learning")]
    assert not closure & {"components.labels.kinds", "components.metrics.single"}


def test_no_module_imports_in_a_way_that_the_fingerprint_cannot_follow() -> None:
    for path in (ROOT / "components").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
            called = isinstance(node, ast.Call) and ast.unparse(node.func)
            assert called not in ("__import__", "importlib.import_module", "import_module"), f"{path}: {called}"


def test_every_stage_is_followed_to_the_end() -> None:
    for path in (ROOT / "components" / "stages").rglob("*.py"):
        closure = fingerprint._closure(".".join(path.relative_to(ROOT).with_suffix("").parts))
        imported = [
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module == "components"
            for alias in node.names
        ]
        assert {f"components.{name}" for name in imported} <= closure


SETTINGS = '''"""A module."""
class A:
    """A class."""
    x: int = Field(1, ge=0, description="how many")
    def f(self, y):
        """A function."""
        return self.x + y  # a comment
'''


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("A module.", "The module.", True),
        ("A class.", "The class.", True),
        ("A function.", "The function.", True),
        ("a comment", "another", True),
        ("how many", "the number", True),
        ("Field(1", "Field(2", False),
        ("ge=0", "ge=1", False),
        ("self.x + y", "self.x - y", False),
    ],
)
def test_only_what_runs_counts_and_no_prose(tree: Path, old: str, new: str, same: bool) -> None:
    prints = []
    for text in (SETTINGS, SETTINGS.replace(old, new)):
        (tree / "components/b.py").write_text(text)
        prints.append((fingerprint.code("components.b"), fingerprint.everything()))
    assert all((a == b) is same for a, b in zip(*prints, strict=True))


class _Prose(ast.NodeTransformer):
    """Takes the prose out of a syntax tree, as Python reads it."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                node.body[0] = ast.Expr(ast.Constant(...))
        elif isinstance(node, ast.keyword) and node.arg == "description":
            is_text = isinstance(node.value, ast.JoinedStr) or isinstance(getattr(node.value, "value", None), str)
            node.value = ast.Constant(...) if is_text else node.value
        return node


def test_what_counts_of_each_source_is_what_python_reads_without_its_prose() -> None:
    """Of this project and of its tests, which have strings of all kinds; this file has settings in strings."""
    folders = ("components", "pipeline", "schemas", "tests")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 500
    for path in set(sources) - {Path(__file__)}:
        text = fingerprint._without_prose(path.read_text())
        assert not text or not re.search(r"^[ \t]*(#|$)", text, re.MULTILINE), path
        expected = _Prose().visit(ast.parse(path.read_text()))
        assert ast.dump(ast.parse(text.replace("\0", "\n"))) == ast.dump(expected), path


def test_the_imports_that_are_followed_are_those_that_python_reads() -> None:
    for path in (ROOT / "components").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        named = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                named |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        packages = {".".join(name.split(".")[:i]) for name in named for i in range(1, name.count(".") + 2)}
        ours = {name for name in packages if name.split(".")[0] in ("components", "schemas")}
        assert set(fingerprint._imports(module)) == {name for name in ours if Path(fingerprint._path(name)).is_file()}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('x = "a # b"', 'x = "a # c"', False),
        (r"x = 'it\'s # b'", r"x = 'it\'s # c'", False),
        ('x = "" # b', 'x = "" # c', True),
        ('x = """\na\n\nb"""', 'x = """\na\nb"""', False),
        ("x = '''a # b'''", "x = '''a # c'''", False),
        ('def f():  # why\n    r"""a"""', 'def f():\n    """b"""', True),
        ('def f():  # why\n    """a"""', 'def f():\n\n    """b"""', True),
        ('"""a"""\nx = 1', '# b\n"""b"""\n\nx = 1  # c', True),
        ('y(\n    """a"""\n)', 'y(\n    """b"""\n)', False),
        ('x = [\n    """a""",\n]', 'x = [\n    """b""",\n]', False),
        ('Field(1, description=("a" "b"))', "Field(1, description=f'c {1}')", True),
        ('x = "unterminated # b', 'x = "unterminated # c', False),
    ],
)
def test_strings_count_and_prose_does_not(one: str, other: str, same: bool) -> None:
    assert (fingerprint._without_prose(one) == fingerprint._without_prose(other)) is same


def test_the_versions_of_what_modules_come_from_are_told() -> None:
    version = metadata.version
    assert fingerprint.libraries(["PIL", "tensorflow_serving", "not_installed"]) == (
        f"pillow=={version('pillow')} tensorflow-serving-api=={version('tensorflow-serving-api')}"
    )


def test_no_pattern_of_ours_has_a_possessive_group() -> None:
    """Python 3.11.2 matches them wrongly: https://github.com/python/cpython/issues/106052."""
    possessive = re.compile(r"(?<!\\)\)(?:[*+?]|\{[\d,]+\})\+")
    assert possessive.search(r"(?:a|b)++c")
    paths = [path for folder in ("components", "pipeline") for path in (ROOT / folder).rglob("*.py")]
    assert [str(path) for path in paths if possessive.search(path.read_text())] == []
