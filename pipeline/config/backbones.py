"""Checks `training.backbone` without TensorFlow, whose import takes seconds."""

from __future__ import annotations

import ast
import difflib
import functools
import importlib.util
import os
import zipfile
from collections.abc import Sequence

from components.base.errors import ConfigError
from components.base.text import truncated_list
from components.model.networks import catalogue
from components.model.settings import BUILT_IN

_FILE = ".keras"
_NETWORK = "config.json"  # in a .keras file, which is an archive
_BUILD = "build"  # see `components.model.networks.own`, which imports Keras
_SMALL = 5  # megabytes of the weights of the network `small`, 4 bytes each


def check(backbone: str) -> None:
    """Raises ConfigError unless the backbone is `small`, a path of a .keras file, or in keras.applications."""
    known = names()
    if backbone in BUILT_IN or backbone.endswith(_FILE) or backbone in known or not known:
        return
    expected = "neither small, nor the path of a .keras file, nor in keras.applications"
    raise ConfigError(f"training.backbone: {backbone!r} is {expected}{near(backbone, known)}")


def near(name: str, known: Sequence[str]) -> str:
    """The rest of a sentence about an unknown name: the one that is like it, or some of those that there are."""
    same = [other for other in known if other.lower() == name.lower()]
    found = same or difflib.get_close_matches(name, known, 1)
    return f"; did you mean {found[0]}?" if found else f", which has {truncated_list(known)}"


def check_file(path: str) -> None:
    """Raises ConfigError unless a .keras file can be read and holds a network."""
    where = f"training.backbone: {path}"
    try:
        with open(path, "rb") as f, zipfile.ZipFile(f) as archive:
            there = _NETWORK in archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):  # a damaged directory; a name that is not UTF-8
        there = False
    except IsADirectoryError:
        raise ConfigError(f"{where} is a folder; expected a .keras file") from None
    except FileNotFoundError:
        raise ConfigError(f"{where} does not exist{_beside(path)}") from None
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror}") from None
    if not there:
        raise ConfigError(
            f"{where} is not a .keras file: it is no archive with {_NETWORK}; save the model with Keras 3"
        )


def check_module(path: str) -> None:
    """Raises ConfigError unless a Python file has a function `build(settings)`. Its code is read and not run."""
    where = f"training.module: {path}"
    try:
        with open(path, "rb") as f:
            body = ast.parse(f.read(), path).body
    except FileNotFoundError:
        raise ConfigError(f"{where} does not exist{_beside(path, '.py')}") from None
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror}") from None
    except SyntaxError as error:
        raise ConfigError(f"{where}, line {error.lineno}: {error.msg}") from None
    except ValueError as error:
        raise ConfigError(f"{where} is no Python file: {error}") from None
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    if _BUILD not in functions:
        found = f"it has {truncated_list(functions)}" if functions else "it has none"
        raise ConfigError(f"{where}: expected a function {_BUILD}(settings) that returns a Keras model; {found}")


def _beside(path: str, ending: str = _FILE) -> str:
    folder = os.path.dirname(path)
    others = [name for name in (os.listdir(folder) if os.path.isdir(folder) else ()) if name.endswith(ending)]
    near = difflib.get_close_matches(os.path.basename(path), others, 1)
    return f"; did you mean {near[0]}?" if near else ""


@functools.cache
def names() -> tuple[str, ...]:
    """The models of keras.applications, read from its source; none if it has another form."""
    found = importlib.util.find_spec("keras")
    for place in found.submodule_search_locations or () if found else ():
        try:
            with open(os.path.join(place, "applications", "__init__.py"), encoding="utf-8") as f:
                body = ast.parse(f.read()).body
        except (OSError, SyntaxError):
            continue
        imported = [
            alias.asname or alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names
        ]
        return tuple(sorted(name for name in imported if name[0].isupper()))
    return ()


def weight_bytes(backbone: str) -> int:
    """The bytes of a backbone's weights: of the file, or as measured without a head.

    >>> weight_bytes("ResNet50")
    95000000
    """
    if backbone.endswith(_FILE) and os.path.isfile(backbone):
        return os.path.getsize(backbone)
    known = catalogue.WEIGHTS.get(backbone)
    return (known.megabytes if known else _SMALL) * 1_000_000
