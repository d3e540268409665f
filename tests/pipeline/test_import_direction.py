"""`pipeline` imports `components`, never the reverse; and nothing heavy before a command needs it."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("components", "pipeline") for path in (ROOT / package).rglob("*.py"))


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Everything that a file imports anywhere, also inside functions and for type checkers only."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", [p for p in SOURCES if "components" in p.parts], ids=module)
def test_components_never_import_pipeline(path: Path) -> None:
    assert not [name for name in imported(path) if name.split(".")[0] == "pipeline"]


@pytest.mark.parametrize("path", SOURCES, ids=module)
def test_no_module_imports_tensorflows_own_keras(path: Path) -> None:
    assert not [name for name in imported(path) if name.startswith(("tensorflow.keras", "tf_keras"))]


def loads_tensorflow(path: Path) -> bool:
    """Whether importing this module does: it, or what it imports at its top, says so."""
    tree = ast.parse(path.read_text())
    names = {a.name for n in tree.body if isinstance(n, ast.Import) for a in n.names}
    names |= {str(n.module) for n in tree.body if isinstance(n, ast.ImportFrom)}
    return any(name.split(".")[0].startswith(("tensorflow", "tfx", "apache_beam", "keras")) for name in names)


HEAVY = {module(p) for p in SOURCES if loads_tensorflow(p)}
LIGHT = [module(p) for p in SOURCES if "stages" not in p.parts and module(p) not in HEAVY | {"pipeline.__main__"}]

LOADED = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def loaded(*modules: str) -> set[str]:
    """Top-level packages in a fresh interpreter after these imports."""
    command = [sys.executable, "-c", LOADED, *modules]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(process.stdout))


def test_light_modules_load_no_tensorflow() -> None:
    assert {
        "pipeline.cli",
        "pipeline.config",
        "pipeline.runs.local",
        "components.data.images",
        "components.ingest.shards",
    } <= set(LIGHT)
    assert loaded(*LIGHT).isdisjoint({"tensorflow", "tfx", "apache_beam", "keras", "tensorflow_transform"})


def test_only_the_modules_that_tensorflow_calls_load_it() -> None:
    """Transform, the Trainer and the Evaluator import these by name; whoever adds one here should know why."""
    assert {m for m in HEAVY if ".stages." not in m} <= {
        "components.model.answers",
        "components.model.batches",
        "components.evaluation.analysis",
        "components.labels.losses",
        "components.labels.measures",
        "components.evaluation.tfma_standard",
        "components.evaluation.tfma_metrics",
        "components.model.network",
        "components.model.preprocessing",
        "components.model.pyramid",
        "components.model.signatures",
        "components.model.training",
    }


def test_the_command_line_loads_nothing_but_the_standard_library() -> None:
    ours = {"pipeline", "components"}
    site = loaded() | sys.stdlib_module_names | ours
    assert loaded("pipeline.cli") <= site
