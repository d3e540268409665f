"""A compiled pipeline as it is uploaded to a server, and the values of its parameters."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from components.base.errors import ConfigError
from components.base.text import holds_password
from components.data.storage.entry import HOLDS_CREDENTIALS


@dataclass(frozen=True)
class Package:
    """A compiled pipeline as it is uploaded.

    Args:
        name: of the pipeline, its experiment and its schedule.
        spec: PipelineSpec, schema 2.1.0.
        platform: PlatformSpec; empty for none.
        root: where artifacts go; None for the server's default.
    """

    name: str
    spec: Mapping[str, Any]
    platform: Mapping[str, Any]
    root: str | None = None

    @property
    def text(self) -> str:
        """The YAML that the server takes."""
        return yaml.safe_dump_all([dict(d) for d in (self.spec, self.platform) if d], sort_keys=True)

    @property
    def tasks(self) -> list[str]:
        """Names of the stages, of which one may hold others."""
        outer, components = self.spec["root"]["dag"]["tasks"], self.spec["components"]
        inner = [components[task["componentRef"]["name"]].get("dag", {}).get("tasks", {}) for task in outer.values()]
        return [name for name, within in zip(outer, inner, strict=True) for name in (within or [name])]

    def version(self) -> str:
        """Returns a name for this version: the time and a fingerprint of the pipeline."""
        now = datetime.datetime.now(datetime.UTC)
        return f"{now:%Y-%m-%d-%H%M%S}-{hashlib.sha256(self.text.encode()).hexdigest()[:8]}"


def parameters(spec: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """Returns the values of `--param NAME=VALUE` in the types that the pipeline declares.

    Raises:
        ConfigError: an unknown name, a value of another type, or one that is needed and not given.
    """
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    values = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in declared:
            there_are = ", ".join(sorted(declared)) or "none"
            raise ConfigError(f"--param {text}: expected NAME=VALUE; the pipeline's parameters: {there_are}")
        values[name] = _value(name, value, declared[name]["parameterType"])
    needed = {n for n, d in declared.items() if "defaultValue" not in d and not d.get("isOptional")}
    if needed - set(values):
        raise ConfigError(f"the pipeline needs --param {min(needed - set(values))}=VALUE")
    return values


def _value(name: str, text: str, kind: str) -> Any:
    if kind == "STRING":
        if holds_password(text):
            raise ConfigError(f"--param {name}: {HOLDS_CREDENTIALS}")
        return text
    types = {"NUMBER_INTEGER": int, "NUMBER_DOUBLE": (int, float), "BOOLEAN": bool, "LIST": list, "STRUCT": dict}
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, types[kind]) or isinstance(value, bool) != (kind == "BOOLEAN"):  # type: ignore[arg-type]
        words = {"NUMBER_INTEGER": "a whole number", "NUMBER_DOUBLE": "a number", "BOOLEAN": "true or false"}
        raise ConfigError(f"--param {name}={text}: expected {words.get(kind, f'a JSON {kind.lower()}')}")
    return value
