"""Error messages of the configuration, made from Pydantic's: "training.epochs: expected …, got …"."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

_LONGEST = 200  # characters of a value in a message
# Sections in which a value, or what stands in place of a key, may be a secret that was to stay in the environment.
_SECRET = (("notify",), ("sinks",), ("push", "sign"), ("push", "verify"))
_KEY = re.compile(r"[a-z_]{1,20}|\d+")
# The last parts of a union's location are Pydantic's names of its branches, not keys.
_BRANCH = re.compile(r"[\[(]|^(literal|tuple|str|bool|int|constrained-int)$")
# A type of Pydantic's errors -> what the documentation calls the expected type.
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
}


def sentences(errors: Sequence[Mapping[str, Any]], root: type[BaseModel]) -> list[str]:
    """Returns a message for every wrong key; what its value may be is joined by "or".

    Args:
        errors: what `ValidationError.errors()` returned.
        root: the class that was validated; its fields are the known keys.
    """
    # A key's location, the rest of its message, and the value: a union has an error for each of its branches.
    expected: dict[tuple[str, str], list[str]] = {}
    for error in errors:
        parts = [str(part) for part in error["loc"] if not _BRANCH.search(str(part))]
        location = ".".join(part if _KEY.fullmatch(part) or not _secret(parts) else "…" for part in parts)
        text, value = _problem(error, root)
        expected.setdefault((f"{location}: " if location else "", value), []).append(text)
    return [f"{prefix}{text}" for (prefix, value), texts in expected.items() for text in _joined(texts, value)]


def _secret(location: Sequence[object]) -> bool:
    return any(tuple(location[: len(section)]) == section for section in _SECRET)


def _joined(texts: Sequence[str], value: str) -> list[str]:
    if not value:
        return list(texts)
    return [f"expected {' or '.join(dict.fromkeys(texts))}, got {value}"]


def _problem(error: Mapping[str, Any], root: type[BaseModel]) -> tuple[str, str]:
    """Returns what was expected and the value that came, or a whole sentence and ""."""
    if error["type"] == "extra_forbidden":
        return f"unknown key; expected one of {', '.join(sorted(_keys_beside(error['loc'], root)))}", ""
    if error["type"] == "missing":
        return "this key is missing", ""
    if error["type"] == "value_error":
        return str(error["msg"]).removeprefix("Value error, "), ""
    value = "another value" if _secret(error["loc"]) else _shown(error["input"])
    return _expectation(error["type"], str(error["msg"])), value


def _expectation(kind: str, message: str) -> str:
    """Returns what Pydantic's message says was expected.

    >>> _expectation("int_parsing", "Input should be a valid integer, unable to parse string as an integer")
    'a whole number'
    >>> _expectation("greater_than", "Input should be greater than 0")
    'a value greater than 0'
    >>> _expectation("too_long", "Tuple should have at most 2 items after validation, not 3")
    'at most 2 items'
    """
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    text = re.sub(r"^\w+ should (be|have) ", "", message).partition(" after validation")[0]
    text = re.sub(r"^String should match pattern", "text that matches", text)
    return re.sub("^(?=greater|less)", "a value ", text)


def _shown(value: Any) -> str:
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)  # null and true, as in YAML
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _keys_beside(location: Sequence[str | int], root: type[BaseModel]) -> set[str]:
    """Returns the known keys of the section in which an unknown key was found."""
    section = root
    for part in location[:-1]:
        if isinstance(part, str) and part in section.model_fields:
            section = next(_sections(section.model_fields[part].annotation), section)
    return {name for name, field in section.model_fields.items() if not field.exclude}


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yields the settings classes in an annotation, such as those of a section or of the entries of a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _sections(argument)
