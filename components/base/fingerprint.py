"""Fingerprints of the code. They are part of the cache keys: a stage whose code has changed runs again."""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from typing import Any

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PACKAGES = ("components", "schemas")
# The results depend on their behaviour as much as on our own code.
_LIBRARIES = (
    "tfx",
    "tensorflow",
    "keras",
    "pillow",
    "pillow-heif",
    "numpy",
    "tensorflow-transform",
    "tensorflow-model-analysis",
    "scikit-learn",
    "cleanlab",
    "opencv-python-headless",
)


# The template of the report counts as code, too.
_SOURCES = (".py", ".pbtxt", ".html", ".css", ".js")


def code(module: str) -> str:
    """SHA-256 over a module of `components` and all modules of `components` that it imports, directly or not.

    Imports are read from the source; nothing is imported. A change runs exactly those stages again that import the
    changed module.

    Args:
        module: dotted name, such as "components.model.fitting.training".
    """
    digest = hashlib.sha256(_library_versions().encode())
    for name in sorted(_closure(module)):
        with open(_path(name), "rb") as f:
            digest.update(f"{name}\0".encode() + _source_digest(f.read()))
    for path in _data_files(_closure(module)):
        with open(path, "rb") as f:
            digest.update(f.read())
    return digest.hexdigest()


def everything() -> str:
    """SHA-256 over the source of every module and schema, and the libraries' versions."""
    digest = hashlib.sha256(_library_versions().encode())
    for path, content in _files():
        found = _source_digest(content) if path.endswith(".py") else hashlib.sha256(content).digest()
        digest.update(f"{path}\0".encode() + found)
    return digest.hexdigest()


def files() -> str:
    """SHA-256 over the same as it is on disk, and Python's version; where it is equal, so is `everything`.

    It takes a fiftieth of the time, since nothing is parsed.
    """
    digest = hashlib.sha256(f"{sys.version} {_library_versions()}".encode())
    for path, content in _files():
        digest.update(f"{path}\0".encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()


def _files() -> Iterator[tuple[str, bytes]]:
    """Yields the path of each source and what it holds, in order."""
    for folder in ("components", "pipeline", "schemas"):
        for parent, _, names in sorted(os.walk(os.path.join(_ROOT, folder))):
            for name in sorted(n for n in names if n.endswith(_SOURCES)):
                with open(os.path.join(parent, name), "rb") as f:
                    yield f"{parent[len(_ROOT) :]}/{name}", f.read()


def libraries(modules: Iterable[str]) -> str:
    """Versions of the installed distributions that modules come from, such as "nncf==3.4.0 openvino==2026.4.1"."""
    known = metadata.packages_distributions()
    names = sorted({name for module in modules for name in known.get(module, ())})
    return " ".join(f"{name}=={metadata.version(name)}" for name in names)


def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that results depend on."""
    return {"python": platform.python_version()} | {n: _version(n) for n in ("imagegate", *_LIBRARIES)}


@cache
def _source_digest(source: bytes) -> bytes:
    """SHA-256 over the syntax tree of a module, without docstrings and the descriptions of settings."""
    parts: list[str] = []
    _flatten(ast.parse(source), parts)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()


def _flatten(node: Any, parts: list[str]) -> None:
    """Appends the types and values of a syntax tree, in order; five times as fast as `ast.dump`."""
    if isinstance(node, list):
        parts.append("[")
        for entry in node:
            _flatten(entry, parts)
        parts.append("]")
    elif isinstance(node, ast.AST):
        parts.append(type(node).__name__)
        for name in node._fields:
            _flatten(_without_prose(node, name), parts)
    else:
        parts.append(repr(node))


def _without_prose(node: ast.AST, name: str) -> Any:
    value: Any = getattr(node, name, None)
    if name == "body" and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        first = value[0].value if value and isinstance(value[0], ast.Expr) else None
        return value[1:] if isinstance(first, ast.Constant) and isinstance(first.value, str) else value
    if name == "keywords" and isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Field":
        return [keyword for keyword in value if keyword.arg != "description"]
    return value


@cache
def _library_versions() -> str:
    return " ".join(f"{name}=={_version(name)}" for name in _LIBRARIES)


@cache
def _version(name: str) -> str:
    return metadata.version(name)


def _data_files(modules: set[str]) -> list[str]:
    """Files that these modules read besides the data: schemas, and the template of the report."""
    folders = {"components.data.schema": "schemas", "components.report.page": "components/report"}
    paths = []
    for module, folder in folders.items():
        names = os.listdir(os.path.join(_ROOT, folder)) if module in modules else ()
        paths += [os.path.join(_ROOT, folder, name) for name in names if name.endswith(_SOURCES[1:])]
    return sorted(paths)


def _closure(module: str) -> set[str]:
    modules: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name not in modules:
            modules.add(name)
            todo += _imports(name)
    return modules


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Modules of `components` that this one imports anywhere in its text, and the packages that contain them."""
    with open(_path(module), encoding="utf-8") as f:
        tree = ast.parse(f.read())
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            named |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    parts = {".".join(name.split(".")[:i]) for name in named for i in range(1, name.count(".") + 2)}
    return tuple(p for p in parts if p.split(".")[0] in _PACKAGES and os.path.isfile(_path(p)))


def _path(module: str) -> str:
    base = os.path.join(_ROOT, *module.split("."))
    return os.path.join(base, "__init__.py") if os.path.isdir(base) else base + ".py"
