"""YAML -> plain values. Whatever the text is, the outcome is values or a sentence."""

from __future__ import annotations

import re
from typing import Any

import yaml

from components.base.errors import ConfigError


def parse(text: str, path: str) -> tuple[Any, dict[str, int]]:
    """Reads one document.

    Args:
        text: the YAML.
        path: what messages call it.

    Returns:
        the values, and dotted key -> line, as far as lines are known.

    Raises:
        ConfigError: not YAML, a key that stands twice, or a tag for which there is no plain value.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader), {}  # noqa: S506  a SafeLoader underneath
    # A date such as 2020-13-45 raises ValueError; thousands of nested brackets, RecursionError.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, where YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<: *base` may be overridden, and stand more than once
                continue
            key = self.construct_object(key_node, deep=True)
            if str(key) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(str(key))
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML speaks, takes 1e-3 for text; everyone else for a number.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)
