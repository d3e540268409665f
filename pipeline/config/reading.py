"""Reads a YAML file and overrides of the command line into validated settings. Every error names its key."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from components.base.errors import ConfigError
from components.base.text import holds_password
from components.data.storage.entry import HOLDS_CREDENTIALS
from pipeline.config import messages, tuned, yaml
from pipeline.config.config import Config

_LARGEST = 500_000  # characters; YAML of nothing but brackets is read at about 35 KB a second
_NAMES = {list: "a list", str: "text", type(None): "nothing"}


def load(path: str, overrides: Sequence[str] = (), *, use_tuned: bool = True) -> Config:
    """Reads and validates a configuration file.

    Args:
        path: a YAML file.
        overrides: "KEY=VALUE" with dots in KEY and YAML in VALUE: "training.epochs=3".
        use_tuned: whether the values of `training.tuned` take the place of those in the file.

    Raises:
        ConfigError: the file cannot be read or is wrong. The message has a line for each mistake, which names the
            file, the key and, if it is known, the line.
    """
    try:
        with open(path, encoding="utf-8") as f:
            text = f.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; `imagegate init` writes a configuration file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error}; save it as UTF-8") from None
    if len(text) > _LARGEST:
        raise ConfigError(f"{path}: larger than {_LARGEST:,} characters, which no configuration needs; shorten it")
    raw, lines = yaml.parse(text, path)
    if not isinstance(raw, dict):
        raise ConfigError(
            f"{path}: expected keys and values, such as name: pets; got {_NAMES.get(type(raw), type(raw).__name__)}"
        )
    for key in raw:
        if not isinstance(key, str):
            raise ConfigError(f"{path}: {key!r}: unknown key; keys are text")
    given = []
    for override in overrides:
        given.append(dotted := _override(raw, override))
        lines = {key: line for key, line in lines.items() if not f"{key}.".startswith(f"{dotted}.")}
    for key in ("folder", "file"):
        if key in raw:
            raise ConfigError(f"{path}: {key}: unknown key")
    file = os.path.abspath(path)
    folder = os.path.dirname(file)
    complete, replaced = tuned.overlaid(raw, folder, given) if use_tuned else (tuned.without(raw), {})
    return validated(complete | {"folder": folder, "file": file}, path, {**lines, **replaced})


def validated(
    raw: Mapping[str, Any], path: str = "the configuration", lines: Mapping[str, int | str] = MappingProxyType({})
) -> Config:
    """Validates keys and values, which include `folder` and `file`.

    Args:
        raw: keys and values as in YAML or JSON.
        path: name of the source in messages.
        lines: dotted key -> its line in the file, counted from 1, or the path of the other file that it is from.

    Raises:
        ConfigError: a key is wrong; the message names it.
    """
    try:
        config = Config(**raw)
        sentences = [f"{key}: {HOLDS_CREDENTIALS}" for key in _with_passwords(raw)]
        if not sentences:
            return config
    except ConfigError as error:
        sentences = [str(error)]
    except ValidationError as error:
        sentences = messages.sentences(error.errors(), Config)
    raise ConfigError("\n".join(f"{path}: {text}{_line(text, lines)}" for text in sentences)) from None


def _with_passwords(value: object, key: str = "") -> Iterator[str]:
    """Yields the dotted keys of all texts that hold a URL with a password, whatever they are for."""
    if isinstance(value, str) and holds_password(value):
        yield key
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, part in parts:
        yield from _with_passwords(part, f"{key}.{name}" if key else str(name))


def _line(sentence: str, lines: Mapping[str, int | str]) -> str:
    """Returns " (line N)" for the key that a message starts with, or for the nearest section; "" if it is not known.

    For a key from another file, it names that file.

    >>> _line("data.root: this key is missing", {"data": 3})
    ' (line 3)'
    """
    key = sentence.partition(": ")[0]
    while key and key not in lines:
        key = key.rpartition(".")[0]
    where = lines.get(key, "")
    return f" (line {where})" if isinstance(where, int) else where and f" (from {where})"


def _override(raw: dict[str, Any], override: str) -> str:
    """Sets the key of an override in `raw`, and returns the dotted key.

    >>> raw = {"training": {"epochs": 20}}
    >>> _override(raw, "training.epochs=3"), raw
    ('training.epochs', {'training': {'epochs': 3}})
    """
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise ConfigError(f"--set {override}: expected KEY=VALUE, such as training.epochs=3")
    *parents, last = dotted.split(".")
    section: Any = raw
    if parents[:1] == ["output"] and isinstance(raw.get("output"), str):
        raw["output"] = {"folder": raw["output"]}  # its short form
    for parent in parents:
        if section.get(parent) is None:  # missing, or a section without keys
            section[parent] = {}
        section = section[parent]
        if not isinstance(section, dict):
            raise ConfigError(f"--set {override}: {parent} is a value, not a section; keys below it cannot be set")
    section[last] = yaml.parse(text, f"--set {override}")[0]
    return dotted
