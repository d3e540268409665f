"""Measures the structure of a checkout: `python -m scripts.structure [FOLDER]`.

Prints the figures that the layer contracts do not hold: how wide folders are, how long modules and functions, how much
of the code knows a task or a stage by its name. The figures are read from the syntax trees; nothing is imported.
"""

from __future__ import annotations

import ast
import collections
import re
import statistics
import sys
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from pipeline.stages import STAGES

_PACKAGES = ("components", "pipeline")
_TASKS = ("single_label", "multi_label", "segmentation")
_STAGES = [stage.name for stage in STAGES]


def modules(root: Path) -> dict[str, ast.Module]:
    """Dotted name -> syntax tree of every module of the two packages."""
    trees = {}
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


def imports(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Module -> modules of ours that it imports when it runs; imports for type checkers do not count."""
    return {name: {m for m in _imported(tree, trees) if m in trees and m != name} for name, tree in trees.items()}


def _imported(tree: ast.AST, known: Mapping[str, ast.Module]) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (member if member in known else node.module for member in members)
        yield from _imported(node, known)


def cycles(graph: Mapping[str, set[str]]) -> int:
    """Number of edges that have to be removed, one cycle after the other, until no cycle is left."""
    rest, removed = {name: set(others) for name, others in graph.items()}, 0
    while True:
        try:
            TopologicalSorter(rest).prepare()
            return removed
        except CycleError as error:
            before, after = error.args[1][:2]
            rest[after].discard(before)
            removed += 1


def _texts(tree: ast.Module) -> list[str]:
    """Every string of a module but its docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {id(n.body[0].value) for n in ast.walk(tree) if isinstance(n, documented) and ast.get_docstring(n)}  # type: ignore[attr-defined]
    constants = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in docs]
    return [n.value for n in constants if isinstance(n.value, str)]


def _percentiles(lengths: Sequence[int]) -> str:
    return f"{statistics.median(lengths):.0f} and {statistics.quantiles(lengths, n=10)[-1]:.0f}"


def _comments(root: Path) -> str:
    lines = comments = 0
    for package in _PACKAGES:
        for path in (root / package).rglob("*.py"):
            with path.open("rb") as f:
                tokens = list(tokenize.tokenize(f.readline))
            lines += len({t.start[0] for t in tokens if t.string.strip()})
            comments += sum(t.type == tokenize.COMMENT for t in tokens)
    return f"{comments / lines:.1%}"


def figures(root: Path) -> dict[str, str]:
    """The figures by name."""
    trees = modules(root)
    paths = [p for package in _PACKAGES for p in (root / package).rglob("*.py")]
    widest = collections.Counter(p.parent.relative_to(root) for p in paths if p.name != "__init__.py").most_common(1)
    functions = [n for tree in trees.values() for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    classes = [n for tree in trees.values() for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
    documented: list[ast.Module | ast.FunctionDef | ast.ClassDef] = [*trees.values(), *functions, *classes]
    first_words = [(ast.get_docstring(n) or "").partition(" ")[0] for n in documented]
    source = "\n".join(p.read_text(encoding="utf-8") for p in paths)
    quoting = {name: sum(text in _STAGES for text in _texts(tree)) for name, tree in trees.items()}
    tasks = [name for name, tree in trees.items() if any(text in _TASKS for text in _texts(tree))]
    return {
        "modules in the widest folder": f"{widest[0][1]} ({widest[0][0]})",
        "import cycles between modules": str(cycles(imports(trees))),
        "dict[str, Any]": str(source.count("dict[str, Any]")),
        "Mapping[str, Any]": str(source.count("Mapping[str, Any]")),
        "modules that quote a stage's name": str(sum(n > 0 for n in quoting.values())),
        "places that quote a stage's name": str(sum(quoting.values())),
        "modules that quote a task's name": str(len(tasks)),
        "of these outside labels, settings and configuration": str(
            sum(not re.search(r"\.labels\b|settings|pipeline\.config", name) for name in tasks)
        ),
        "lines of a function, median and 90th percentile": _percentiles(
            [int(n.end_lineno or 0) - n.lineno + 1 for n in functions]
        ),
        "lines of a module, median and 90th percentile": _percentiles(
            [len(p.read_text(encoding="utf-8").splitlines()) for p in paths if p.name != "__init__.py"]
        ),
        "docstrings that begin with Of, What, As or Those": str(
            sum(word in ("Of", "What", "As", "Those", "That", "Whatever") for word in first_words)
        ),
        "runnable examples (>>>)": str(len(re.findall(r"^\s*>>> ", source, re.MULTILINE))),
        "comments among lines of code": _comments(root),
    }


def main(arguments: Sequence[str]) -> None:
    """Prints the figures of a checkout, by default this one."""
    root = Path(arguments[0]) if arguments else Path(__file__).parent.parent
    for name, value in figures(root).items():
        print(f"{name:<55} {value}")


if __name__ == "__main__":
    main(sys.argv[1:])
