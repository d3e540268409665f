"""Pydantic's errors as sentences that name the key: "training.epochs: expected …, got …"."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

_LONGEST = 200  # characters of a value in a sentence
# The last parts of a union's location are Pydantic's names of its branches, not keys.
_BRANCH = re.compile(r"[\[(]|^(literal|tuple|str|bool|int|constrained-int)$")


def sentence(error: Mapping[str, Any], root: type[BaseModel]) -> str:
    """One error of `ValidationError.errors()`, of the class `root`, as "key: expected …, got …"."""
    location = ".".join(str(part) for part in error["loc"] if not _BRANCH.search(str(part)))
    message = str(error["msg"]).removeprefix("Value error, ")
    prefix = f"{location}: " if location else ""
    if error["type"] == "extra_forbidden":
        return f"{prefix}unknown key; known here: {', '.join(sorted(_keys_beside(error['loc'], root)))}"
    if error["type"] == "missing":
        return f"{prefix}this key is missing"
    if error["type"] == "value_error":
        return prefix + message
    if error["type"] == "bool_type":
        message = "expected true or false"
    return f"{prefix}{message[0].lower()}{message[1:]}, got {_shown(error['input'])}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _keys_beside(location: Sequence[str | int], root: type[BaseModel]) -> set[str]:
    """The keys that the section of an unknown key knows."""
    section = root
    for part in location[:-1]:
        if isinstance(part, str) and part in section.model_fields:
            section = next(_sections(section.model_fields[part].annotation), section)
    return {name for name, field in section.model_fields.items() if not field.exclude}


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The classes of settings in an annotation: of a section, of a list of entries, or of options by name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _sections(argument)
