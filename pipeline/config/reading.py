"""One YAML file, and overrides -> frozen, validated settings. Every contradiction is an error that names the key."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from components.base.errors import ConfigError
from pipeline.config import messages, yaml
from pipeline.config.config import Config


def load(path: str, overrides: Sequence[str] = ()) -> Config:
    """Reads and validates a configuration file.

    Args:
        path: a YAML file.
        overrides: "KEY=VALUE" with dots in KEY and YAML in VALUE: "training.epochs=3".

    Raises:
        ConfigError: anything wrong with it, naming the file and the key, and the line where it is known.
    """
    try:
        with open(path, encoding="utf-8") as f:
            raw, lines = yaml.parse(f.read(), path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; expected a configuration file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(raw).__name__}")
    for key in raw:
        if not isinstance(key, str):
            raise ConfigError(f"{path}: {key!r}: unknown key; keys are names")
    for override in overrides:
        dotted = _override(raw, override)
        lines = {key: line for key, line in lines.items() if not f"{key}.".startswith(f"{dotted}.")}
    if "folder" in raw:
        raise ConfigError(f"{path}: folder: unknown key")
    return validated(raw | {"folder": os.path.dirname(os.path.abspath(path))}, path, lines)


def validated(
    raw: Mapping[str, Any], path: str = "the configuration", lines: Mapping[str, int] = MappingProxyType({})
) -> Config:
    """The settings, from keys and values, of which `folder` is one.

    Args:
        raw: as YAML or JSON has them.
        path: what messages call them.
        lines: dotted key -> line of the file that it is on, from 1.

    Raises:
        ConfigError: anything wrong, naming the key.
    """
    try:
        return Config(**raw)
    except ConfigError as error:
        sentences = [str(error)]
    except ValidationError as error:
        sentences = [messages.sentence(e, Config) for e in error.errors()]
    raise ConfigError("\n".join(f"{path}: {text}{_line(text, lines)}" for text in sentences)) from None


def _line(sentence: str, lines: Mapping[str, int]) -> str:
    """The line of the key that a sentence starts with, or of the section that lacks it; "" where it is not known."""
    key = sentence.partition(": ")[0]
    while key and key not in lines:
        key = key.rpartition(".")[0]
    return f" (line {lines[key]})" if key else ""


def _override(raw: dict[str, Any], override: str) -> str:
    """Sets what `override` says in `raw`, and returns its dotted key."""
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise ConfigError(f"--set {override}: expected KEY=VALUE, such as training.epochs=3")
    *parents, last = dotted.split(".")
    section: Any = raw
    for parent in parents:
        section = section.setdefault(parent, {})
        if not isinstance(section, dict):
            raise ConfigError(f"--set {override}: {parent} has no keys below it")
    section[last] = yaml.parse(text, f"--set {override}")[0]
    return dotted
