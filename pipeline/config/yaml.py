"""Reads YAML 1.2 into plain values and the line of each key. Any other text is refused with a message."""

from __future__ import annotations

from typing import Any

import ruamel.yaml
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from components.base.errors import ConfigError

_DEEPEST = 50  # levels of nesting
_MOST = 1_000_000  # values; an alias counts as all the values that it repeats
_PREFIX = "tag:yaml.org,2002:"
_TEXT = (f"{_PREFIX}timestamp", f"{_PREFIX}value")  # dates and `=`, which are text in YAML 1.2
_TAGS = {f"{_PREFIX}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")} | {*_TEXT}


class _Composer(Composer):
    """Refuses deep nesting early; Python's own limit is reached only after seconds."""

    _depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _error(f"nested more than {_DEEPEST} levels deep", self.loader.parser.peek_event())
        node: Node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Constructor(SafeConstructor):
    """Reads the values with a tag of `_TEXT` as text."""


for _tag in _TEXT:
    _Constructor.add_constructor(_tag, _Constructor.construct_yaml_str)


def parse(text: str, path: str) -> tuple[Any, dict[str, int]]:
    """Reads one document.

    Args:
        text: the YAML.
        path: name of the source in messages.

    Returns:
        the values, and dotted key -> its line, counted from 1.

    Raises:
        ConfigError: the text is not YAML, repeats a key, has a tag without a plain value, or is too deep or too large.

    >>> parse("training: {epochs: 3}", "x.yaml")
    ({'training': {'epochs': 3}}, {'training': 1, 'training.epochs': 1})
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
    except (YAMLError, ValueError, LookupError) as error:  # such as `!!int x` and `!!bool x`
        reason = str(error)
    raise ConfigError(f"{path}: not valid YAML: {' '.join(reason.split())}")


class _Walk:
    """Records the line of each key of a document, and refuses nodes without a plain value."""

    def __init__(self, lines: dict[str, int]) -> None:
        self._lines, self._count = lines, 0

    def enter(self, node: Node, key: str, depth: int) -> None:
        """Walks through `node`, the value of the dotted `key`, and all nodes below it."""
        self._count += 1
        if self._count > _MOST or depth > _DEEPEST:
            raise _error(f"aliases expand to more than {_MOST:,} values, or to more than {_DEEPEST} levels", node)
        if str(node.tag) not in _TAGS:
            raise _error(f"the tag {node.tag} is not supported; remove it", node)
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
                raise _error("expected text as a key, got a list or a mapping", name)
            if name.value in seen:
                raise _error(f"the key {name.value!r} is repeated; remove one", name)
            seen.add(name.value)
            self._lines[f"{prefix}{name.value}"] = name.start_mark.line + 1
            self.enter(value, f"{prefix}{name.value}", depth + 1)


def _error(problem: str, where: Any) -> MarkedYAMLError:
    return MarkedYAMLError(problem=problem, problem_mark=where.start_mark)
