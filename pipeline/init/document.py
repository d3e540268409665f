"""Text of a configuration file: values as YAML that comes back as it was, with comments behind or above the keys."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from components.base.text import shown

_WIDTH = 120
_COLUMNS = (31, 56)  # of comments behind a line
# Text that needs no quotes, neither by itself nor in a list: it begins with a letter, so it is no number and no date.
_PLAIN = re.compile(r"[A-Za-z_/](?:[\w./ -]*[\w./-])?", re.ASCII)
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}  # of YAML 1.1 or 1.2


def text(values: Mapping[str, Any], comments: Mapping[str, str], head: Sequence[str]) -> str:
    """Returns a YAML document.

    Args:
        values: the sections; text, numbers, booleans, null, lists and mappings.
        comments: dotted key, such as "data.root" or "labels.names.0", -> what to write behind or above it.
        head: paragraphs of the comment at the top.

    >>> print(text({"name": "pets", "data": {"root": "no"}}, {"data.root": "a folder"}, ["Pets."]), end="")
    # Pets.
    <BLANKLINE>
    name: pets
    <BLANKLINE>
    data:
      root: "no"                    # a folder
    """
    lines = [line for paragraph in head for line in _comment(paragraph, "")]
    section = True
    for key, value in values.items():
        if section or isinstance(value, Mapping):
            lines.append("")
        section = isinstance(value, Mapping)
        lines += _entry(f"{scalar(key)}:", value, key, comments, "")
    return "\n".join(lines) + "\n"


def scalar(value: object) -> str:
    r"""Returns a value that is no list and no mapping as YAML.

    >>> print(scalar("t-shirt"), scalar("no"), scalar("010"), scalar(True), scalar("a\tb"))
    t-shirt "no" "010" true "a\tb"
    """
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return f'"{"".join(map(_escaped, value))}"'


def flow(value: object) -> str:
    """Returns a value on one line.

    >>> flow({"train": 0.8, "names": ["cat", "a, b"]})
    '{train: 0.8, names: [cat, "a, b"]}'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def _entry(start: str, value: object, path: str, comments: Mapping[str, str], pad: str) -> Iterator[str]:
    """Yields the lines of a key or of an item of a list; `start` is "key:" or "-"."""
    line = f"{pad}{start} {flow(value)}"
    if _in_block(value, line, path, comments):
        yield from _commented(f"{pad}{start}", comments.get(path, ""), pad)
        items = value.items() if isinstance(value, Mapping) else enumerate(cast("Sequence[object]", value))
        for key, item in items:
            name = f"{scalar(key)}:" if isinstance(value, Mapping) else "-"
            yield from _entry(name, item, f"{path}.{key}", comments, f"{pad}  ")
    elif len(line) > _WIDTH and isinstance(value, list | tuple):
        yield from _comment(comments.get(path, ""), pad)
        yield from _folded(f"{pad}{start} [", [flow(item) for item in value])
    else:
        yield from _commented(line, comments.get(path, ""), pad)


def _in_block(value: object, line: str, path: str, comments: Mapping[str, str]) -> bool:
    if not isinstance(value, Mapping | list | tuple) or not value:
        return False
    if isinstance(value, Mapping):
        whole = "." not in path or len(line) > _WIDTH
    else:
        whole = any(isinstance(item, Mapping) for item in value)
    return whole or any(key.startswith(f"{path}.") for key in comments)


def _folded(start: str, items: Sequence[str]) -> Iterator[str]:
    """Yields a list over several lines, indented behind its bracket."""
    line = start
    for i, item in enumerate(items):
        piece = item + ("," if i + 1 < len(items) else "]")
        if len(line) + len(piece) >= _WIDTH and line != start:
            yield line.rstrip()
            line = " " * len(start)
        line += piece + " "
    yield line.rstrip()


def _commented(line: str, comment: str, pad: str) -> Iterator[str]:
    """Yields a line with its comment: behind it, or above it where that would be too long."""
    comment = shown(" ".join(comment.split()))
    column = next((c for c in _COLUMNS if len(line) <= c), len(line) + 1)
    behind = f"{line:<{column}} # {comment}"
    if not comment:
        yield line
    elif len(behind) <= _WIDTH:
        yield behind
    else:
        yield from _comment(comment, pad)
        yield line


def _comment(paragraph: str, pad: str) -> Iterator[str]:
    room = _WIDTH - len(pad) - 2
    plain = shown(" ".join(paragraph.split()))
    for line in textwrap.wrap(plain, room, break_on_hyphens=False, break_long_words=False):
        yield f"{pad}# {line}"


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    number = ord(character)
    if character == "\t":
        return r"\t"
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
