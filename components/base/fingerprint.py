"""Fingerprints of the code. They are part of the cache keys: a stage whose code has changed runs again."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata

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
        with open(_path(name), encoding="utf-8") as f:
            digest.update(f"{name}\0{_without_prose(f.read())}\0".encode())
    for path in _data_files(_closure(module)):
        with open(path, "rb") as f:
            digest.update(f.read())
    return digest.hexdigest()


def everything() -> str:
    """SHA-256 over the source of every module and schema, and the libraries' versions."""
    digest = hashlib.sha256(_library_versions().encode())
    for path, content in _files():
        told = _without_prose(content.decode()).encode() if path.endswith(".py") else content
        digest.update(f"{path}\0".encode() + hashlib.sha256(told).digest())
    return digest.hexdigest()


def files() -> str:
    """SHA-256 over the same as it is on disk, and Python's version; where it is equal, so is `everything`.

    It takes less time, since nothing is left out.
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
    """Versions of the installed distributions that modules come from, such as "nncf==3.4.0 openvino==2026.4.1".

    `importlib.metadata.packages_distributions` tells the same, and takes a second for all there are.
    """
    wanted = sorted(set(modules))
    names = {d.name for d in metadata.distributions() if any(_holds(d, module) for module in wanted)}
    return " ".join(f"{name}=={metadata.version(name)}" for name in sorted(names))


def _holds(distribution: metadata.Distribution, module: str) -> bool:
    declared = distribution.read_text("top_level.txt")
    if declared:
        return module in declared.split()
    listed = distribution.read_text("RECORD") or ""
    return re.search(rf"^{re.escape(module)}(?:/|\.py,)", listed, re.MULTILINE) is not None


def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that results depend on."""
    return {"python": platform.python_version()} | {n: _version(n) for n in ("imagegate", *_LIBRARIES)}


# Code without comments and strings of three quotes; then one of these, or the end. The parts exclude each other, so
# that nothing is tried twice. No group is possessive: Python 3.11.2 matches such wrongly (python/cpython#106052).
_ONE_LINE = r"""[^"'#]++|"(?!"")(?:[^"\\\n]|\\[\s\S])*"|""(?!")|'(?!'')(?:[^'\\\n]|\\[\s\S])*'|''(?!')"""
_OTHER = r"""#[^\n]*|\"{3}(?:[^"\\]|\\[\s\S]|"(?!""))*\"{3}|'{3}(?:[^'\\]|\\[\s\S]|'(?!''))*'{3}|\Z"""
_CODE = re.compile(rf"((?:{_ONE_LINE})*)({_OTHER})")
_TEXT = r"""(?:f?(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')\s*+)+"""
_DESCRIPTION = re.compile(rf"\bdescription=(?:\(\s*+{_TEXT}\)|{_TEXT})")
_BLANK = re.compile(r"[ \t]*\n(?:[ \t]*\n)*")


@cache
def _without_prose(source: str) -> str:
    """A module without its comments, blank lines and descriptions of settings, and with `...` for its docstrings.

    A syntax tree would tell the same, and takes many times as long. Line breaks in other strings are written as NUL.
    """
    parts: list[str] = []
    end = 0
    last = ":"  # the last character of code so far: a docstring follows a colon, or nothing
    for match in _CODE.finditer(source):
        if match.start() != end:
            return source  # which is no Python
        end = match.end()
        before, other = match.groups()
        parts.append(before)
        head, _, indent = before.rpartition("\n")
        last = (head.rstrip() or last)[-1]
        if other.startswith("#"):
            last = (before.rstrip() or last)[-1]
        elif other and last == ":" and indent.strip(" \trR") == "" and source[end : end + 1] in "\n":
            parts[-1:] = [before.rstrip("rR"), "..."]
            last = "."
        elif other:
            parts.append(other.replace("\n", "\0"))
            last = other[-1]
    return _BLANK.sub("\n", _DESCRIPTION.sub("description=...", "".join(parts))).lstrip("\n").rstrip()


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


_IMPORT = re.compile(
    rf"^[ \t]*(?:from[ \t]+((?:{'|'.join(_PACKAGES)})[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)|import[ \t]+([^\n]*))",
    re.MULTILINE,
)


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Modules of `components` that this one imports anywhere in its text, and the packages that contain them."""
    with open(_path(module), encoding="utf-8") as f:
        source = f.read()
    named: set[str] = set()
    for package, members, plain in _IMPORT.findall(_without_prose(source)):
        if package:
            named |= {package} | {f"{package}.{name}" for name in _names(members.strip("()"))}
        else:
            named |= _names(plain)
    parts = {".".join(name.split(".")[:i]) for name in named for i in range(1, name.count(".") + 2)}
    return tuple(p for p in parts if p.split(".")[0] in _PACKAGES and os.path.isfile(_path(p)))


def _names(listed: str) -> set[str]:
    """What a list of imports names, without what it is called from there on."""
    return {words[0] for words in (name.split() for name in listed.split(",")) if words}


def _path(module: str) -> str:
    base = os.path.join(_ROOT, *module.split("."))
    return os.path.join(base, "__init__.py") if os.path.isdir(base) else base + ".py"
