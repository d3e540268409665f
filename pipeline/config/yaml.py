"""YAML 1.2 -> plain values, and the line of each key. Whatever the text is, the outcome is values or a sentence."""

from __future__ import annotations

from typing import Any

import ruamel.yaml
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from components.base.errors import ConfigError

_DEEPEST = 50  # levels
_MOST = 1_000_000  # values, each counted wherever an alias repeats it
_PREFIX = "tag:yaml.org,2002:"
_TEXT = (f"{_PREFIX}timestamp", f"{_PREFIX}value")  # dates and `=`, which YAML 1.2 takes for text
_TAGS = {f"{_PREFIX}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")} | {*_TEXT}


class _Composer(Composer):
    """Refuses deep nesting before Python does, which takes seconds."""

    _depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _error(f"nested more than {_DEEPEST} levels deep", self.loader.parser.peek_event())
        node: Node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Constructor(SafeConstructor):
    """Makes text of what is text in YAML 1.2."""


for _tag in _TEXT:
    _Constructor.add_constructor(_tag, _Constructor.construct_yaml_str)


def parse(text: str, path: str) -> tuple[Any, dict[str, int]]:
    """Reads one document.

    Args:
        text: the YAML.
        path: what messages call it.

    Returns:
        the values, and dotted key -> line, from 1.

    Raises:
        ConfigError: not YAML, a key that stands twice, a tag for which there is no plain value, or too deep or large.
    """
    loader = ruamel.yaml.YAML(typ="safe", pure=True)
    loader.Composer, loader.Constructor = _Composer, _Constructor
    lines: dict[str, int] = {}
    try:
        root = loader.compose(text)
        if root is None:
            return None, lines
        _Walk(lines).enter(root, "", 0)
        return loader.constructor.construct_document(root), lines
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        reason += f" (line {mark.line + 1})" if mark else ""
    except (YAMLError, ValueError, LookupError) as error:  # the latter two: `!!int x`, `!!bool x`
        reason = str(error)
    raise ConfigError(f"{path}: not valid YAML: {' '.join(reason.split())}")


class _Walk:
    """Notes the line of each key of a document, and refuses what has no plain value."""

    def __init__(self, lines: dict[str, int]) -> None:
        self._lines, self._count = lines, 0

    def enter(self, node: Node, key: str, depth: int) -> None:
        """Looks at `node`, the value of the dotted `key`, and everything below it."""
        self._count += 1
        if self._count > _MOST or depth > _DEEPEST:
            raise _error(f"aliases make more than {_MOST:,} values of it, or more than {_DEEPEST} levels", node)
        if str(node.tag) not in _TAGS:
            raise _error(f"the tag {node.tag} has no meaning here", node)
        prefix = f"{key}." if key else ""
        if isinstance(node, SequenceNode):
            for i, entry in enumerate(node.value):
                self._lines[f"{prefix}{i}"] = entry.start_mark.line + 1
                self.enter(entry, f"{prefix}{i}", depth + 1)
        elif isinstance(node, MappingNode):
            self._mapping(node, prefix, depth)

    def _mapping(self, node: MappingNode, prefix: str, depth: int) -> None:
        seen = set()
        for name, value in node.value:
            if not isinstance(name, ScalarNode):
                raise _error("a list or mapping is no key", name)
            if name.value in seen:
                raise _error(f"the key {name.value!r} stands twice", name)
            seen.add(name.value)
            self._lines[f"{prefix}{name.value}"] = name.start_mark.line + 1
            self.enter(value, f"{prefix}{name.value}", depth + 1)


def _error(problem: str, where: Any) -> MarkedYAMLError:
    return MarkedYAMLError(problem=problem, problem_mark=where.start_mark)
